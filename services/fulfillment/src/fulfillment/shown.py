"""What the HTTP API shows of what is to be picked and packed."""

from datetime import datetime
from typing import Self

from chassis.http.paging import Page
from chassis.http.shown import Accepted, Shown
from contracts.fulfillment import Pick
from contracts.message import Reason, names_of

from fulfillment.state import Fulfillment, ListState, PickLine, PickList, State


class PickListShown(Shown):
    """What a picker needs to know, bin by bin in walk order."""

    order_id: str
    revision: int
    attempt: int
    location: str
    state: ListState
    requested_at: datetime
    special_instructions: str
    lines: tuple[PickLine, ...]

    @classmethod
    def of(cls, fulfillment: Fulfillment, pick_list: PickList) -> Self:
        return cls(
            **names_of(fulfillment),
            location=pick_list.location,
            state=pick_list.state,
            requested_at=fulfillment.requested_at,
            special_instructions=fulfillment.special_instructions,
            lines=pick_list.lines,
        )


class PickListPage(Page):
    pick_lists: list[PickListShown]


class FulfillmentShown(Shown):
    """One attempt and what became of it."""

    revision: int
    attempt: int
    state: State
    since: datetime | None
    """When it came into this state; absent where an older version brought it there."""
    requested_at: datetime
    failure: Reason | None
    not_found: tuple[Pick, ...]
    """All that pickers did not find."""
    pick_lists: list[PickListShown]

    @classmethod
    def of(cls, fulfillment: Fulfillment) -> Self:
        return cls(
            revision=fulfillment.revision,
            attempt=fulfillment.attempt,
            state=fulfillment.state,
            since=fulfillment.since,
            requested_at=fulfillment.requested_at,
            failure=fulfillment.failure,
            not_found=fulfillment.not_found,
            pick_lists=[PickListShown.of(fulfillment, pick_list) for pick_list in fulfillment.lists],
        )


class FulfillmentsShown(Shown):
    order_id: str
    fulfillments: list[FulfillmentShown]


class ReportAccepted(Accepted):
    """A report that is on its way."""

    message_id: str
    """The id of the message that carries it."""
