"""What only a person can decide: releasing what is parked, putting a dead letter through again or dropping it, going on
past a gap. Each names the partition that is to do it, who asks, and why.
"""

from typing import Annotated, Literal

from pydantic import Field

from contracts.message import NO_CONTROL_CHARACTERS, Count, FromOutside, Message, Name, Reason, Reference, Value

ServiceName = Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,31}$")]
PartitionNumber = Annotated[int, Field(ge=0, le=100_000)]
TopicName = Annotated[str, Field(pattern=r"^[a-z][a-z.-]{0,99}$")]
Offset = Annotated[int, Field(ge=0, le=1_000_000_000_000_000_000)]
Source = Annotated[str, Field(max_length=200, pattern=NO_CONTROL_CHARACTERS)]
Missing = Annotated[int, Field(ge=-1, le=1_000_000_000_000_000_000)]


class Repair(Value):
    """What each request for a repair and each answer to one says."""

    repair_id: Reference
    """Names the request: a second one with the same name to the same partition changes nothing."""
    service: ServiceName
    """The service that is to do it."""
    partition: PartitionNumber
    """The partition of the service that is to do it; the message is on the same partition of its topic."""
    by: Name
    """Who asks for it."""
    reason: Name
    """Why."""


class RepairCommand(Repair, FromOutside):
    """A request for a repair."""


class ReleaseParked(RepairCommand):
    """Go on with what is parked: take all that has waited, in order, beginning with the message that failed."""

    place: Name
    """What is parked: an order, or another key that its messages share."""


class RetryDeadLetter(RepairCommand):
    """Take the record that became a dead letter once more, as the same message."""

    topic: TopicName
    """The topic that it came on; it is on the partition that this is addressed to."""
    offset: Offset
    """Its offset there."""


class DropDeadLetter(RepairCommand):
    """Leave the record that became a dead letter as it is, for good."""

    topic: TopicName
    """The topic that it came on; it is on the partition that this is addressed to."""
    offset: Offset
    """Its offset there."""


class Loss(Value):
    """What exactly is missing where a partition stands still."""

    topic: TopicName
    """The topic on which something is missing, in the partition that this is addressed to."""
    source: Source
    """The source on whose link numbers are missing; empty if records of the topic are, whoever wrote them."""
    first: Offset
    """The first number that is missing, or the offset at which the partition would have gone on."""
    last: Missing
    """The last number that is missing, or the offset before the first record that the topic still has."""


class AcceptGap(Loss, RepairCommand):
    """Go on past a gap without what is missing. Only this gap is accepted: the next one stops the partition again."""


class RepairEvent(Repair, Message):
    """What came of a request for a repair."""


class ParkedReleased(RepairEvent):
    """What was parked goes on."""

    place: Name
    """What was parked."""
    records: Count
    """How many records had waited, and were taken."""
    parked_again: bool
    """Whether one of them failed again: it waits again, with all after it."""


class DeadLetterRetried(RepairEvent):
    """The record was taken once more."""

    topic: TopicName
    """The topic that it came on."""
    offset: Offset
    """Its offset there."""
    outcome: Literal["taken", "parked", "dead_letter"]
    """What came of it: it was taken; it waits, because its order is parked; or it is a dead letter again."""


class DeadLetterDropped(RepairEvent):
    """The record will not be taken any more: somebody decided so."""

    topic: TopicName
    """The topic that it came on."""
    offset: Offset
    """Its offset there."""


class GapAccepted(Loss, RepairEvent):
    """The partition went on past a gap, without what is missing."""


class RepairRefused(RepairEvent):
    """Nothing was done."""

    request: Name
    """The type of the request."""
    refusal: Reason
    """Why it was not done."""
