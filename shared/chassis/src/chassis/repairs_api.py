"""The HTTP API of every service for what is stuck in it: what, since when and why, and what people ask to be done.

Nothing is done here. Each request becomes a message to the partition concerned, which answers on the log.
"""

import asyncio
from base64 import b64encode
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import uuid4

from contracts.message import FromOutside, Name, Reason, Reference
from contracts.repair import (
    AcceptGap,
    DropDeadLetter,
    Loss,
    Offset,
    PartitionNumber,
    ReleaseParked,
    RepairCommand,
    RetryDeadLetter,
    TopicName,
)
from contracts.wire import Received
from fastapi import APIRouter, Path, Query, Response, status
from pydantic import BaseModel, Field

from chassis.body import AsJson
from chassis.dead_letter import CARD_NUMBER, DeadLetter
from chassis.decision import Document
from chassis.gap import Gap
from chassis.parking import Parked
from chassis.ports import Log, Publisher, Reader, Ward
from chassis.problem import Problem
from chassis.repair import Repair
from chassis.stuck import Stuck

LOOK_EVERY_S = 0.2
DEAD_LETTER = "/dead-letters/{topic}/{partition}/{offset}"


class Wish(FromOutside):
    """Who asks for a repair, and why."""

    by: Name
    """Who asks."""
    reason: Name
    """Why."""
    repair_id: Reference = Field(default_factory=lambda: str(uuid4()))
    """Names the request; a second one with the same id changes nothing. By default it gets one of its own."""


class Acceptance(Loss, Wish):
    """Which gap exactly is accepted, by whom, and why."""


class Asked(BaseModel):
    """The request is on its way to its partition; what comes of it is seen at `status_url`."""

    repair_id: str
    status_url: str


class StuckCount(BaseModel):
    """How much is stuck for one reason."""

    what: str
    """`parked`, `dead_letter`, `gap`, or what else the service counts as stuck, such as a `saga`."""
    why: str
    count: int
    since: datetime
    """Since when the oldest is."""


class StuckCounts(BaseModel):
    stuck: list[StuckCount]


class WaitingRecord(BaseModel):
    """A record that waits for its order to be released; it is on its topic."""

    topic: str
    offset: int
    timestamp_ms: int


class ParkedShown(BaseModel):
    """What waits because deciding on a message of it failed."""

    place: str
    """The order, or the key that its messages share."""
    partition: int
    since: datetime
    why: str
    reason: str
    times: int
    """How often it failed in a row."""
    waiting: list[WaitingRecord]
    """The record that failed, and what came after it, in order."""


class ParkedPage(BaseModel):
    parked: list[ParkedShown]
    next: str | None = None
    """The cursor of the next page; absent on the last one."""


class DeadLetterShown(BaseModel):
    """A record that could not be handled, and waits for somebody to retry or drop it."""

    id: str
    topic: str
    partition: int
    offset: int
    since: datetime
    about: str
    """What it belongs to, as far as that can be told: mostly an order."""
    reasons: tuple[Reason, ...]
    times: int
    """How often it could not be handled."""


class Content(BaseModel):
    """A record as it is on its topic. Bytes that are no text are in base64, and `encoding` says so."""

    encoding: str
    key: str | None
    value: str | None
    headers: list[tuple[str, str | None]]


class DeadLetterWhole(DeadLetterShown):
    """The same, with what it says."""

    content: Content | None
    """Absent if it holds card data, or if its topic does not have it any more."""


class DeadLetterPage(BaseModel):
    dead_letters: list[DeadLetterShown]
    next: str | None = None
    """The cursor of the next page; absent on the last one."""


class GapShown(BaseModel):
    """Where a partition stands still, and what exactly is missing there."""

    partition: int
    since: datetime
    topic: str
    source: str
    """The source on whose link numbers are missing; empty if it is the topic that lacks records."""
    first: int
    last: int
    text: str


class Gaps(BaseModel):
    gaps: list[GapShown]


class RepairShown(BaseModel):
    """A request for a repair that was dealt with."""

    repair_id: str
    at: datetime
    request: str
    about: str
    by: str
    reason: str
    outcome: str
    """`done` or `refused`."""
    detail: str
    partition: int


class RepairPage(BaseModel):
    repairs: list[RepairShown]


Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str, Query(max_length=400, description="`next` of the page before")]
Place = Annotated[str, Path(min_length=1, max_length=200)]
RepairId = Annotated[str, Path(min_length=1, max_length=128)]
WaitS = Annotated[float, Query(ge=0, le=30, description="how long to wait for one that is just on its way")]
S = TypeVar("S", bound=Stuck)


def repairs_router(service: str, reader: Reader, publisher: Publisher, ward: Ward, log: Log) -> APIRouter:
    """The routes for what is stuck in a service."""
    routes = APIRouter(tags=["repairs"])
    desk = _Desk(service, reader, publisher)
    _counts(routes, ward)
    _parked(routes, reader, desk)
    _dead_letters(routes, reader, log, desk)
    _gaps(routes, reader, desk)
    _repairs(routes, reader)
    return routes


class _Desk:
    """Takes requests, and sends them to the partition concerned."""

    def __init__(self, service: str, reader: Reader, publisher: Publisher) -> None:
        self._service = service
        self._reader = reader
        self._publisher = publisher

    async def find(self, model: type[S], id_: str) -> S:
        """What is stuck there. Raises Problem if nothing is."""
        found = await self._reader.get(model, id_)
        if found is None or not found.open:
            detail = (
                f"No {model.kind.replace('_', ' ')} {id_} waits here; what came about a second ago may not be seen yet."
            )
            raise Problem(404, "Nothing is stuck there", detail)
        return found

    async def ask(
        self, model: type[RepairCommand], wish: Wish, partition: int, response: Response, **about: object
    ) -> Asked:
        fields = {"service": self._service, "partition": partition, **wish.model_dump(), **about}
        await self._publisher.publish(model.model_validate(fields))
        response.headers["Location"] = url = f"/repairs/{wish.repair_id}"
        return Asked(repair_id=wish.repair_id, status_url=url)


def _counts(routes: APIRouter, ward: Ward) -> None:
    @routes.get("/stuck")
    async def stuck() -> StuckCounts:
        """How much waits for a person in this service, since when, and why."""
        counts: dict[tuple[str, str], StuckCount] = {}
        for one in await ward.stuck():
            found = counts.setdefault(
                (one.what, one.why), StuckCount(what=one.what, why=one.why, count=0, since=one.since)
            )
            found.count += one.count
            found.since = min(found.since, one.since)
        return StuckCounts(stuck=[counts[key] for key in sorted(counts)])


def _parked(routes: APIRouter, reader: Reader, desk: _Desk) -> None:
    @routes.get("/parked")
    async def parked(limit: Limit = 50, cursor: Cursor = "") -> ParkedPage:
        """What is parked because deciding on a message of it failed, in the order of its ids."""
        found = await reader.find(Parked, {"open": True, "id": {"$gt": cursor}}, limit=limit + 1)
        page = found[:limit]
        return ParkedPage(parked=[_parked_shown(one) for one in page], next=page[-1].id if len(found) > limit else None)

    @routes.get("/parked/{place:path}")
    async def parked_at(place: Place) -> ParkedShown:
        """One parked order, or whatever else shares a key."""
        return _parked_shown(await desk.find(Parked, place))

    @routes.post("/parked/{place:path}/release", status_code=status.HTTP_202_ACCEPTED)
    async def release(place: Place, wish: Annotated[Wish, AsJson], response: Response) -> Asked:
        """Ask for it to go on, with all that has waited, in order. What fails again is parked again."""
        found = await desk.find(Parked, place)
        return await desk.ask(ReleaseParked, wish, found.partition, response, place=found.id)


def _parked_shown(parked: Parked) -> ParkedShown:
    return ParkedShown(
        place=parked.id,
        partition=parked.partition,
        since=parked.since,
        why=parked.why,
        reason=parked.reason,
        times=parked.times,
        waiting=[
            WaitingRecord(topic=one.topic, offset=one.offset, timestamp_ms=one.timestamp) for one in parked.records
        ],
    )


def _dead_letters(routes: APIRouter, reader: Reader, log: Log, desk: _Desk) -> None:
    @routes.get("/dead-letters")
    async def dead_letters(topic: TopicName | None = None, limit: Limit = 50, cursor: Cursor = "") -> DeadLetterPage:
        """Records that could not be handled, and that nobody has retried with success or dropped."""
        where: dict[str, object] = {"open": True, "id": {"$gt": cursor}}
        if topic is not None:
            where["topic"] = topic
        found = await reader.find(DeadLetter, where, limit=limit + 1)
        page = found[:limit]
        shown = [DeadLetterShown(**_fields(letter)) for letter in page]
        return DeadLetterPage(dead_letters=shown, next=page[-1].id if len(found) > limit else None)

    @routes.get(DEAD_LETTER)
    async def dead_letter(topic: TopicName, partition: PartitionNumber, offset: Offset) -> DeadLetterWhole:
        """One of them, with what it says."""
        letter = await desk.find(DeadLetter, f"{topic}/{partition}/{offset}")
        is_card_data = any(reason.code == CARD_NUMBER for reason in letter.reasons)
        record = None if is_card_data else await log.read(topic, partition, offset)
        return DeadLetterWhole(**_fields(letter), content=_content(record) if record else None)

    @routes.post(f"{DEAD_LETTER}/retry", status_code=status.HTTP_202_ACCEPTED)
    async def retry(
        topic: TopicName,
        partition: PartitionNumber,
        offset: Offset,
        wish: Annotated[Wish, AsJson],
        response: Response,
    ) -> Asked:
        """Ask for it to be taken once more, as the same message. What cannot be handled now either stays here."""
        letter = await desk.find(DeadLetter, f"{topic}/{partition}/{offset}")
        return await desk.ask(RetryDeadLetter, wish, partition, response, topic=letter.topic, offset=letter.offset)

    @routes.post(f"{DEAD_LETTER}/drop", status_code=status.HTTP_202_ACCEPTED)
    async def drop(
        topic: TopicName,
        partition: PartitionNumber,
        offset: Offset,
        wish: Annotated[Wish, AsJson],
        response: Response,
    ) -> Asked:
        """Ask for it to be left as it is, for good. It stays on its topic and on the dead letters' topic."""
        letter = await desk.find(DeadLetter, f"{topic}/{partition}/{offset}")
        return await desk.ask(DropDeadLetter, wish, partition, response, topic=letter.topic, offset=letter.offset)


def _fields(document: Document) -> dict[str, Any]:
    return {name: getattr(document, name) for name in DeadLetterShown.model_fields}


def _content(record: Received) -> Content:
    raw = [record.key, record.value, *(value for _, value in record.headers)]
    try:
        texts = [None if part is None else part.decode() for part in raw]
        encoding = "utf-8"
    except UnicodeDecodeError:
        texts = [None if part is None else b64encode(part).decode() for part in raw]
        encoding = "base64"
    names = [name for name, _ in record.headers]
    return Content(encoding=encoding, key=texts[0], value=texts[1], headers=[*zip(names, texts[2:], strict=True)])


def _gaps(routes: APIRouter, reader: Reader, desk: _Desk) -> None:
    @routes.get("/gaps")
    async def gaps() -> Gaps:
        """The partitions that stand still because something is missing, and what."""
        found = await reader.find(Gap, {"open": True}, sort=(("partition", 1),), limit=1000)
        return Gaps(gaps=[_gap_shown(gap) for gap in found])

    @routes.get("/gaps/{partition}")
    async def gap(partition: PartitionNumber) -> GapShown:
        """Where one partition stands still."""
        return _gap_shown(await desk.find(Gap, str(partition)))

    @routes.post("/gaps/{partition}/accept", status_code=status.HTTP_202_ACCEPTED)
    async def accept(
        partition: PartitionNumber, acceptance: Annotated[Acceptance, AsJson], response: Response
    ) -> Asked:
        """Ask for the partition to go on without what is missing: exactly this, so that no other gap is accepted."""
        found = await desk.find(Gap, str(partition))
        if found.loss != (acceptance.topic, acceptance.source, acceptance.first, acceptance.last):
            raise Problem(409, "This is not what is missing", found.text)
        return await desk.ask(AcceptGap, acceptance, partition, response)


def _gap_shown(gap: Gap) -> GapShown:
    return GapShown(
        partition=gap.partition,
        since=gap.since,
        topic=gap.topic,
        source=gap.source,
        first=gap.first,
        last=gap.last,
        text=gap.text,
    )


def _repairs(routes: APIRouter, reader: Reader) -> None:
    @routes.get("/repairs")
    async def repairs(limit: Limit = 50) -> RepairPage:
        """What people asked for, and what came of it, the latest first."""
        found = await reader.find(Repair, {}, sort=(("at", -1), ("id", 1)), limit=limit)
        return RepairPage(repairs=[_repair_shown(one) for one in found])

    @routes.get("/repairs/{repair_id:path}")
    async def repair(repair_id: RepairId, wait_s: WaitS = 0) -> RepairShown:
        """What came of one request."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while (found := await reader.get(Repair, repair_id)) is None:
            if loop.time() >= until:
                detail = "What came of a request is readable about a second after it was carried out."
                raise Problem(404, "Unknown repair", detail)
            await asyncio.sleep(LOOK_EVERY_S)
        return _repair_shown(found)


def _repair_shown(repair: Repair) -> RepairShown:
    names = set(RepairShown.model_fields) - {"repair_id"}
    return RepairShown(repair_id=repair.id, **{name: getattr(repair, name) for name in names})
