"""A list comes page by page, and a page says where the next one begins."""

import asyncio
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta

import pytest
from chassis.decision import Decision, Document
from chassis.http.paging import Pager
from chassis.http.problem import Problem
from chassis.ports import Sort
from chassis.testing.stage import NOON, Rehearsal, Shelf
from hypothesis import given
from hypothesis import strategies as st


class Letter(Document):
    """Something that is listed."""

    kind = "letter"
    number: int
    at: datetime


SORTS: list[Sort] = [
    (("id", 1),),
    (("number", -1), ("id", 1)),
    (("at", 1), ("id", -1)),
    (("at", -1), ("number", 1), ("id", 1)),
]


def shelf_of(numbers: list[int]) -> Shelf:
    stage = Rehearsal(lambda *_: (), lambda *_: Decision())
    for place, number in enumerate(numbers):
        letter = Letter(id=f"é/{place}", number=number, at=NOON + timedelta(seconds=number % 2))
        stage.documents[letter.key] = letter
    return Shelf(stage)


def cursor(place: str) -> str:
    return urlsafe_b64encode(place.encode()).decode()


@given(numbers=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 5), sort=st.sampled_from(SORTS))
def test_pages_hold_everything_once_and_in_order(numbers: list[int], limit: int, sort: Sort) -> None:
    async def pages() -> list[list[Letter]]:
        found, after = await Pager(limit, None).page(shelf, Letter, {}, sort)
        pages = [found]
        while after is not None:
            found, after = await Pager(limit, after).page(shelf, Letter, {}, sort)
            pages.append(found)
        return pages

    shelf = shelf_of(numbers)
    *full, last = asyncio.run(pages())
    assert [len(page) for page in full] == [limit] * len(full)
    assert last or not full
    all_at_once = asyncio.run(shelf.find(Letter, {}, sort=sort, limit=100))
    assert [letter for page in (*full, last) for letter in page] == all_at_once


async def test_what_comes_in_meanwhile_moves_no_page() -> None:
    newest_first = (("number", -1), ("id", 1))
    shelf = shelf_of([1, 2, 3])
    _, after = await Pager(2, None).page(shelf, Letter, {}, newest_first)
    newer = Letter(id="new", number=4, at=NOON)
    shelf.stage.documents[newer.key] = newer
    found, after = await Pager(2, after).page(shelf, Letter, {}, newest_first)
    assert ([letter.number for letter in found], after) == ([1], None)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "é",
        "e30",
        "*" + cursor('{"number": 1, "id": "é/1"}'),
        cursor("nope"),
        cursor("[1, 2]"),
        cursor("{}"),
        cursor('{"id": "é/1"}'),
        cursor('{"number": 1, "id": "é/1", "at": ""}'),
        cursor('{"number": true, "id": "é/1"}'),
        cursor('{"number": {"$gt": 0}, "id": "é/1"}'),
        cursor('{"number": 9223372036854775808, "id": "é/1"}'),
        cursor('{"number": 1, "id": "\\ud800"}'),
    ],
)
async def test_what_is_no_cursor_of_such_a_list_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(Problem) as refused:
        await Pager(2, wrong).page(shelf_of([1]), Letter, {}, (("number", 1), ("id", 1)))
    (reason,) = refused.value.reasons
    assert (refused.value.status, reason.path) == (422, "cursor")
