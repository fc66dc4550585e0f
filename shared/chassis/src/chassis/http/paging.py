"""Lists of documents, page by page: how a page is asked for over HTTP, and how it says where the next one begins."""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from contracts.message import Reason
from fastapi import Depends, Query
from pydantic import Field, TypeAdapter
from pydantic_core import to_json

from chassis.decision import D
from chassis.http.problem import Problem
from chassis.http.shown import Shown
from chassis.ports import BY_ID, Reader, Sort

PLACE = TypeAdapter(dict[str, Annotated[int, Field(strict=True, ge=0, lt=2**63)] | str])
"""A place in a list: what it is sorted by, as the document there has it. The store knows no larger number."""


class Page(Shown):
    """A part of a list; each kind of page says of what."""

    next: str | None
    """The cursor of the next page; null on the last one."""


@dataclass(frozen=True, slots=True)
class Pager:
    """What is asked for: how many documents, from the beginning or from where the page before ended."""

    limit: int
    cursor: str | None

    async def page(
        self, reader: Reader, model: type[D], where: Mapping[str, Any], sort: Sort = BY_ID
    ) -> tuple[list[D], str | None]:
        """The documents of the page, and the cursor of the next one; it stays where it is whatever comes in.

        Raises Problem for a cursor that is none of a list with this sort, and Unavailable.
        """
        if self.cursor is not None:
            where = {**where, "$or": _after(_place_of(self.cursor, sort), sort)}
        found = await reader.find(model, where, sort=sort, limit=self.limit + 1)
        shown = found[: self.limit]
        return shown, _cursor_of(shown[-1], sort) if len(found) > self.limit else None


# It awaits nothing, but what is no coroutine FastAPI gives to a thread.
async def _asked_for(
    limit: Annotated[int, Query(ge=1, le=200, description="how many at most")] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the previous page")] = None,
) -> Pager:
    return Pager(limit, cursor)


Paging = Annotated[Pager, Depends(_asked_for)]
"""The parameter of a route that lists something."""


def _cursor_of(last: D, sort: Sort) -> str:
    place = last.model_dump(mode="json", include={name for name, _ in sort})
    return urlsafe_b64encode(to_json(place)).decode()


def _place_of(cursor: str, sort: Sort) -> Mapping[str, int | str]:
    try:
        place = PLACE.validate_json(b64decode(cursor, altchars=b"-_", validate=True))
    except ValueError:
        place = {}
    if place.keys() != {name for name, _ in sort}:
        reason = Reason(path="cursor", code="unknown_cursor", message="this is not the `next` of an earlier page")
        raise Problem(422, "Invalid request", reasons=(reason,))
    return place


def _after(place: Mapping[str, int | str], sort: Sort) -> list[dict[str, object]]:
    """What a document there is beyond this place: beyond it in one field, and the same in the fields before that."""
    names = [name for name, _ in sort]
    return [
        {same: place[same] for same in names[:depth]} | {name: {"$gt" if direction > 0 else "$lt": place[name]}}
        for depth, (name, direction) in enumerate(sort)
    ]
