"""The HTTP API of every service for what is stuck in it: what, since when and why, and what people ask to be done.

Nothing is done here. Each request becomes a message to the partition concerned, which answers on the log.
"""

from collections.abc import Sequence
from typing import Annotated, TypeVar
from urllib.parse import quote
from uuid import uuid4

from contracts.message import FromOutside, Name, Reason, Reference
from contracts.reasons import CARD_NUMBER
from contracts.record import Received, place_on_log
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
from contracts.topics import topics_read_by
from fastapi import APIRouter, Path, Query, Response, status
from pydantic import Field

from chassis.decision import id_in_partition
from chassis.http.body import AsJson
from chassis.http.openapi import refused, taken
from chassis.http.paging import Paging
from chassis.http.problem import Problem
from chassis.http.readable import WaitS, once_readable
from chassis.http.repairs_shown import (
    Asked,
    Content,
    DeadLetterPage,
    DeadLetterShown,
    DeadLetterWhole,
    Gaps,
    GapShown,
    ParkedPage,
    ParkedShown,
    RepairPage,
    RepairShown,
    StuckCount,
    StuckCounts,
)
from chassis.http.shown import accepted
from chassis.ports import Damaged, Log, Publisher, Reader, RecordPlace, Unavailable, Unread
from chassis.stuck.dead_letter import BY_PLACE, DeadLetter
from chassis.stuck.document import Stuck
from chassis.stuck.gap import Gap
from chassis.stuck.parking import Parked
from chassis.stuck.repair import Repair

NOT_YET_READABLE = "What came of a request is readable about a second after it was carried out."
LATEST_FIRST = (("at", -1), ("id", 1))
PARKED = "/parked/{partition}/{place:path}"
DEAD_LETTER = "/dead-letters/{topic}/{partition}/{offset}"


class Wish(FromOutside):
    """Who asks for a repair, and why."""

    by: Name
    """Who asks."""
    reason: Name
    """Why."""
    repair_id: Reference = Field(default_factory=lambda: str(uuid4()))
    """Names the request; a second one with the same id to the same partition changes nothing. By default it gets one of
    its own.
    """


class Acceptance(Loss, Wish):
    """Which gap exactly is accepted, by whom, and why."""


Place = Annotated[str, Path(min_length=1, max_length=200)]
AtPlace = Annotated[str | None, Query(min_length=1, max_length=200, description="only what is parked under this name")]
RepairId = Annotated[str, Path(min_length=1, max_length=128)]
S = TypeVar("S", bound=Stuck)


def repairs_router(service: str, reader: Reader, publisher: Publisher, log: Log) -> APIRouter:
    """The routes for what is stuck in a service."""
    routes = APIRouter(tags=["repairs"])
    desk = _Desk(service, reader, publisher)
    _counts(routes, reader)
    _parked(routes, reader, desk)
    _dead_letters(routes, reader, log, desk, topics_read_by(service))
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
        whose = {"service": self._service, "partition": partition, "repair_id": wish.repair_id}
        fields = whose | wish.said | about
        await self._publisher.publish(model.model_validate(fields))
        url = f"/repairs/{quote(wish.repair_id, safe='')}"
        return accepted(Asked(status_url=url, repair_id=wish.repair_id), response)


def _counts(routes: APIRouter, reader: Reader) -> None:
    @routes.get("/stuck")
    async def stuck() -> StuckCounts:
        """How much waits for a person in this service, since when, and why."""
        counts: dict[tuple[str, str], StuckCount] = {}
        async for one in reader.stuck():
            found = counts.setdefault(
                (one.what, one.why), StuckCount(what=one.what, why=one.why, count=0, since=one.since)
            )
            found.count += one.count
            found.since = min(found.since, one.since)
        return StuckCounts(stuck=[counts[key] for key in sorted(counts)])


def _parked(routes: APIRouter, reader: Reader, desk: _Desk) -> None:
    @routes.get("/parked")
    async def parked(paging: Paging, place: AtPlace = None) -> ParkedPage:
        """What is parked because deciding on a message of it failed; one place may be, in several partitions."""
        # No index knows the place: what a service ever parked is soon looked through, and only people ask.
        where = {"open": True} if place is None else {"open": True, "place": place}
        found, after = await paging.page(reader, Parked, where)
        return ParkedPage(parked=[ParkedShown.model_validate(one) for one in found], next=after)

    @routes.get(PARKED, responses=refused(404))
    async def parked_at(partition: PartitionNumber, place: Place) -> ParkedShown:
        """One parked order, or whatever else shares a key, in one partition."""
        return ParkedShown.model_validate(await desk.find(Parked, id_in_partition(partition, place)))

    @routes.post(f"{PARKED}/release", status_code=status.HTTP_202_ACCEPTED, responses=taken(404))
    async def release(
        partition: PartitionNumber, place: Place, wish: Annotated[Wish, AsJson], response: Response
    ) -> Asked:
        """Ask for it to go on, with all that has waited, in order. What fails again is parked again."""
        found = await desk.find(Parked, id_in_partition(partition, place))
        return await desk.ask(ReleaseParked, wish, partition, response, place=found.place)


async def _record(log: Log, place: RecordPlace) -> Received | None:
    found = await log.read([place])
    if place not in found:
        raise Unavailable("Kafka does not give the record; try again")
    record = found[place]
    if record is not None and isinstance(record.value, Damaged):
        raise Unavailable(f"what Kafka keeps of the record is damaged: {record.value.decode()}")
    return record


def _dead_letters(routes: APIRouter, reader: Reader, log: Log, desk: _Desk, topics: Sequence[str]) -> None:
    @routes.get("/dead-letters")
    async def dead_letters(paging: Paging, topic: TopicName | None = None) -> DeadLetterPage:
        """Records that could not be handled, and that nobody has retried with success or dropped.

        They come by topic and partition, the oldest of each partition first.
        """
        if topic is not None and topic not in topics:
            # A mistyped one would have none, which sounds as if all were well.
            message = f"the topics that are read here are {', '.join(topics)}"
            raise Problem(422, "Invalid request", reasons=(Reason(path="topic", code="not_read", message=message),))
        where = {"open": True} if topic is None else {"open": True, "topic": topic}
        found, after = await paging.page(reader, DeadLetter, where, BY_PLACE)
        return DeadLetterPage(dead_letters=[DeadLetterShown.model_validate(letter) for letter in found], next=after)

    @routes.get(DEAD_LETTER, responses=refused(404))
    async def dead_letter(topic: TopicName, partition: PartitionNumber, offset: Offset) -> DeadLetterWhole:
        """One of them, with what it says."""
        letter = await desk.find(DeadLetter, place_on_log(topic, partition, offset))
        is_card_data = any(reason.code == CARD_NUMBER for reason in letter.reasons)
        record = None if is_card_data else await _record(log, (topic, partition, offset))
        content = None if record is None or isinstance(record.value, Unread) else Content.of(record)
        return DeadLetterWhole(**dict(DeadLetterShown.model_validate(letter)), content=content)

    @routes.post(f"{DEAD_LETTER}/retry", status_code=status.HTTP_202_ACCEPTED, responses=taken(404))
    async def retry(
        topic: TopicName,
        partition: PartitionNumber,
        offset: Offset,
        wish: Annotated[Wish, AsJson],
        response: Response,
    ) -> Asked:
        """Ask for it to be taken once more, as the same message. What cannot be handled now either stays here."""
        letter = await desk.find(DeadLetter, place_on_log(topic, partition, offset))
        return await desk.ask(RetryDeadLetter, wish, partition, response, topic=letter.topic, offset=letter.offset)

    @routes.post(f"{DEAD_LETTER}/drop", status_code=status.HTTP_202_ACCEPTED, responses=taken(404))
    async def drop(
        topic: TopicName,
        partition: PartitionNumber,
        offset: Offset,
        wish: Annotated[Wish, AsJson],
        response: Response,
    ) -> Asked:
        """Ask for it to be left as it is, for good. It stays on its topic and on the dead letters' topic."""
        letter = await desk.find(DeadLetter, place_on_log(topic, partition, offset))
        return await desk.ask(DropDeadLetter, wish, partition, response, topic=letter.topic, offset=letter.offset)


def _gaps(routes: APIRouter, reader: Reader, desk: _Desk) -> None:
    @routes.get("/gaps")
    async def gaps() -> Gaps:
        """The partitions that stand still because something is missing, and what."""
        found = await reader.find(Gap, {"open": True}, sort=(("partition", 1),), limit=1000)
        return Gaps(gaps=[GapShown.model_validate(gap) for gap in found])

    @routes.get("/gaps/{partition}", responses=refused(404))
    async def gap(partition: PartitionNumber) -> GapShown:
        """Where one partition stands still."""
        return GapShown.model_validate(await desk.find(Gap, str(partition)))

    @routes.post("/gaps/{partition}/accept", status_code=status.HTTP_202_ACCEPTED, responses=taken(404, 409))
    async def accept(
        partition: PartitionNumber, acceptance: Annotated[Acceptance, AsJson], response: Response
    ) -> Asked:
        """Ask for the partition to go on without what is missing: exactly this, so that no other gap is accepted."""
        found = await desk.find(Gap, str(partition))
        if found.loss != (acceptance.topic, acceptance.source, acceptance.first, acceptance.last):
            raise Problem(409, "This is not what is missing", found.text)
        return await desk.ask(AcceptGap, acceptance, partition, response)


def _repairs(routes: APIRouter, reader: Reader) -> None:
    @routes.get("/repairs")
    async def repairs(paging: Paging) -> RepairPage:
        """What people asked for, and what came of it, the latest first."""
        found, after = await paging.page(reader, Repair, {}, LATEST_FIRST)
        return RepairPage(repairs=[RepairShown.model_validate(one) for one in found], next=after)

    @routes.get("/repairs/{repair_id:path}", responses=refused(404))
    async def repair(repair_id: RepairId, wait_s: WaitS = 0) -> RepairShown:
        """What came of one request; of several that have this name in several partitions, the latest."""

        async def latest() -> Repair | None:
            found = await reader.find(Repair, {"repair_id": repair_id}, sort=LATEST_FIRST, limit=1)
            return found[0] if found else None

        found = await once_readable(latest, wait_s)
        if found is None:
            raise Problem(404, "Unknown repair", NOT_YET_READABLE)
        return RepairShown.model_validate(found)
