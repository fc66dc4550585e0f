"""Asks the services over HTTP: what they know, what is stuck in them, and to put it right."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import Any, Literal
from urllib.parse import quote
from uuid import uuid4

import httpx
from contracts.topics import SERVICES

from oms import connection
from oms.connection import Unreachable

ANSWERS_WITHIN_S = 10.0
LONGEST_WAIT_S = 30.0
"""The longest that a service lets anybody wait in one request."""
MOST_A_PAGE = 200
CameTo = Literal["done", "refused", "not answered", "not asked"]
Shown = dict[str, Any]
"""Something as a service shows it."""


class Declined(Exception):  # noqa: N818 - named for what the service did
    """The service does not take the request; the message says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.is_unknown = status == HTTPStatus.NOT_FOUND
        self.is_refusal = status == HTTPStatus.CONFLICT


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a service."""

    service: str
    path: str
    """Where it is posted."""
    about: str
    """What it is about, for people."""
    fields: Mapping[str, object] = field(default_factory=dict)
    """What it says beside who and why."""
    repair_id: str = field(default_factory=lambda: str(uuid4()))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request."""

    service: str
    about: str
    repair_id: str
    outcome: CameTo
    detail: str


class Desk:
    """The services, or one of them alone; each is asked at whichever of its instances answers first."""

    def __init__(self, client: httpx.Client, urls: Sequence[str] = (), only: str | None = None) -> None:
        self._client = client
        self._told = urls
        self.services = SERVICES if only is None else (only,)
        self.silent: list[Unreachable] = []
        """The services that did not answer where others did: what they have is not in what was found."""

    def get(self, service: str, path: str, **query: object) -> Shown:
        """What is at this path. Raises Unreachable and Declined."""
        return self._send(
            service, "GET", path, params={name: value for name, value in query.items() if value is not None}
        )

    def wait_for(self, service: str, path: str, wait_s: float) -> Shown:
        """What is at this path, as soon as it is there. Raises Unreachable, and Declined if it is not there in time."""
        return self._send(service, "GET", path, params={"wait_s": wait_s}, timeout=wait_s + ANSWERS_WITHIN_S)

    def post(self, service: str, path: str, body: Mapping[str, object]) -> Shown:
        """What is answered to this at this path. Raises Unreachable and Declined."""
        return self._send(service, "POST", path, json=body)

    def listed(self, path: str, name: str, services: Sequence[str] | None = None, **query: object) -> list[Shown]:
        """All that is listed at this path under this name, of every service, which it then says, too.

        Raises Declined, and Unreachable if nothing is found and not every service answers.
        """
        return self._of_each(services, lambda service: self._pages(service, path, name, query))

    def find(self, path: str, services: Sequence[str] | None = None) -> list[Shown]:
        """What is at this path in those services that know it. Raises as `listed` does."""
        return self._of_each(services, lambda service: self._known(service, path))

    def _of_each(self, services: Sequence[str] | None, fetch: Callable[[str], Iterator[Shown]]) -> list[Shown]:
        """What is fetched from each; one that does not answer keeps nothing of the others back."""
        found: list[Shown] = []
        silent: list[Unreachable] = []
        for service in self.services if services is None else services:
            try:
                found += ({"service": service, **shown} for shown in fetch(service))
            except Unreachable as failure:
                silent.append(failure)
        if silent and not found:  # one that does not answer may have it
            raise silent[0]
        self.silent += silent
        return found

    def _pages(self, service: str, path: str, name: str, query: Mapping[str, object]) -> Iterator[Shown]:
        cursor: str | None = None
        while True:
            page = self.get(service, path, **query, limit=MOST_A_PAGE, cursor=cursor)
            yield from page[name]
            cursor = page.get("next")
            if cursor is None:
                break

    def _known(self, service: str, path: str) -> Iterator[Shown]:
        try:
            yield self.get(service, path)
        except Declined as declined:
            if not declined.is_unknown:
                raise

    def carry_out(self, requests: Sequence[Request], by: str, reason: str, wait_s: float) -> list[Outcome]:
        """Ask for all of it, then wait for what comes of each, for `wait_s` in all.

        A service that does not answer is asked for nothing more, and the others are.
        """
        silent: dict[str, Unreachable] = {}
        asked = [(request, self._ask(request, by, reason, silent)) for request in requests]
        until = monotonic() + wait_s
        return [
            Outcome(request.service, request.about, request.repair_id, *self._outcome(request.service, answer, until))
            for request, answer in asked
        ]

    def _ask(
        self, request: Request, by: str, reason: str, silent: dict[str, Unreachable]
    ) -> str | Declined | Unreachable:
        """Where what comes of the request will be seen, or why it was not taken."""
        if request.service in silent:
            return silent[request.service]
        body = {**request.fields, "repair_id": request.repair_id, "by": by, "reason": reason}
        try:
            return str(self.post(request.service, request.path, body)["status_url"])
        except Declined as declined:
            return declined
        except Unreachable as failure:
            silent[request.service] = failure
            return failure

    def _outcome(self, service: str, answer: str | Declined | Unreachable, until: float) -> tuple[CameTo, str]:
        """What came of a request by then, and the details."""
        if not isinstance(answer, str):
            return "not asked", str(answer)
        while True:
            wait_s = min(max(until - monotonic(), 0.0), LONGEST_WAIT_S)
            try:
                shown = self.wait_for(service, answer, wait_s)
            except Declined:
                if wait_s == 0:
                    return "not answered", "it is on its topic, but its partition has not answered: see `oms status`"
            except Unreachable as silent:
                return "not answered", f"it is on its topic, but {silent}"
            else:
                return shown["outcome"], shown["detail"]

    def _send(self, service: str, method: str, path: str, **how: Any) -> Shown:  # noqa: ANN401 - httpx's own arguments
        urls = connection.service_urls(service, self._told)
        failure: Exception  # of the last one; there is at least one
        for url in urls:
            try:
                answer = self._client.request(method, f"{url}{quote(path, safe='/:@')}", **how)
                said: Shown = answer.json()
            except (httpx.HTTPError, ValueError) as error:
                failure = error
                continue
            if answer.is_success:
                return said
            reasons = "; ".join(f"{reason['path']}: {reason['message']}" for reason in said.get("errors", ()))
            why = ": ".join(filter(None, [said.get("title"), said.get("detail"), reasons]))
            if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise Declined(answer.status_code, why)
            failure = Unreachable(why)
        raise Unreachable.service(service, urls, failure)
