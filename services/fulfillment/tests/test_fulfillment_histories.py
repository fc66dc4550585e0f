"""Whatever comes, in whatever order and however often: what the service says stays true."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from chassis.decision import AlarmRang, Input
from chassis.testing.stage import Rehearsal
from contracts.fulfillment import (
    CancelFulfillment,
    FulfillmentCancelled,
    FulfillmentFailed,
    FulfillOrder,
    OrderPacked,
    OrderPicked,
    Pick,
    PickedLine,
    ReportPacked,
    ReportPicked,
    ReportPutBack,
    ReportShort,
    ShortLine,
)
from contracts.inventory import BinQuantity
from contracts.message import Message, SagaStep
from fulfillment.decide import NOBODY_PICKS, SHORT_PICK, SimulatedPickers, decider, needs
from fulfillment.state import Fulfillment
from hypothesis import given
from hypothesis import strategies as st

LOCATIONS = st.sampled_from(["LEEDS", "YORK"])
SKUS = st.sampled_from(["mug", "lamp"])
BINS = st.sampled_from(["", "A-1"])
NAMES = st.fixed_dictionaries({"order_id": st.just("shop:1"), "revision": st.just(1), "attempt": st.integers(1, 2)})
REPORTS = st.fixed_dictionaries({"location": LOCATIONS, "reported_by": st.just("Ann")})
LINES = st.lists(st.builds(BinQuantity, sku=SKUS, bin=BINS, quantity=st.integers(1, 3)), max_size=3).map(tuple)
PICKS = st.lists(st.builds(Pick, location=LOCATIONS, lines=LINES), min_size=1, max_size=3).map(tuple)
SHORT = st.lists(st.builds(ShortLine, sku=SKUS, bin=BINS, found=st.integers(0, 3)), max_size=2).map(tuple)
PROGRESS = st.lists(st.builds(PickedLine, sku=SKUS, bin=BINS, picked=st.integers(0, 5)), max_size=3).map(tuple)

MESSAGES: st.SearchStrategy[Input | timedelta] = st.one_of(
    st.builds(
        lambda names, picks, text: FulfillOrder(**names, picks=picks, special_instructions=text),
        NAMES,
        PICKS,
        st.sampled_from(["", SHORT_PICK, NOBODY_PICKS]),
    ),
    st.builds(lambda names, done: CancelFulfillment(**names, done=done), NAMES, st.booleans()),
    st.builds(lambda names, report, lines: ReportPicked(**names, **report, lines=lines), NAMES, REPORTS, PROGRESS),
    st.builds(lambda names, report: ReportPacked(**names, **report), NAMES, REPORTS),
    st.builds(lambda names, report: ReportPutBack(**names, **report), NAMES, REPORTS),
    st.builds(
        lambda names, report, sku, bin_, found, also: ReportShort(
            **names, **report, sku=sku, bin=bin_, found=found, also=also
        ),
        NAMES,
        REPORTS,
        SKUS,
        BINS,
        st.integers(0, 3),
        SHORT,
    ),
    st.builds(lambda attempt: AlarmRang(f"fulfillments/shop:1/1/{attempt}"), st.integers(1, 2)),
    st.builds(timedelta, seconds=st.integers(0, 3)),
)
PICKERS = st.sampled_from([None, SimulatedPickers(timedelta(seconds=1), timedelta(seconds=1))])


def play(stage: Rehearsal, history: Sequence[Input | timedelta]) -> list[Message]:
    said: list[Message] = []
    for happening in history:
        said += stage.advance(happening) if isinstance(happening, timedelta) else stage.take(happening)
    return said


@given(pickers=PICKERS, history=st.lists(MESSAGES, max_size=25))
def test_an_attempt_is_packed_or_failed_and_over_once_cancelled(
    pickers: SimulatedPickers | None, history: list[Input | timedelta]
) -> None:
    by_attempt: dict[int, list[SagaStep]] = defaultdict(list)
    for message in play(Rehearsal(needs, decider(pickers)), history):
        assert isinstance(message, SagaStep)
        by_attempt[message.attempt].append(message)
    for messages in by_attempt.values():
        kinds = [type(message) for message in messages]
        codes = {message.reason.code for message in messages if isinstance(message, FulfillmentFailed)}
        taken_as_done = {m.attempt for m in history if isinstance(m, CancelFulfillment) and m.done}
        is_taken_as_done = not taken_as_done.isdisjoint({message.attempt for message in messages})
        assert is_taken_as_done or not (OrderPacked in kinds and "short_pick" in codes)
        if OrderPacked in kinds:
            assert kinds.index(OrderPicked) < kinds.index(OrderPacked)
        if FulfillmentCancelled in kinds and not is_taken_as_done:
            assert not {OrderPicked, OrderPacked} & set(kinds[kinds.index(FulfillmentCancelled) :])
        elif FulfillmentCancelled not in kinds:
            assert "cancelled" not in codes


@given(pickers=PICKERS, history=st.lists(MESSAGES, max_size=15))
def test_hearing_every_message_twice_changes_nothing(
    pickers: SimulatedPickers | None, history: list[Input | timedelta]
) -> None:
    once, twice = Rehearsal(needs, decider(pickers)), Rehearsal(needs, decider(pickers))
    messages = [happening for happening in history if not isinstance(happening, AlarmRang)]
    play(once, messages)
    for happening in messages:
        play(twice, [happening] if isinstance(happening, timedelta) else [happening, happening])
    assert once.documents == twice.documents


@given(pickers=PICKERS, history=st.lists(MESSAGES, max_size=25))
def test_what_is_remembered_survives_being_stored(
    pickers: SimulatedPickers | None, history: list[Input | timedelta]
) -> None:
    stage = Rehearsal(needs, decider(pickers))
    play(stage, history)
    for document in stage.documents.values():
        assert isinstance(document, Fulfillment)
        stored = json.loads(document.model_dump_json())
        assert Fulfillment.model_validate(stored, strict=False) == document
        assert document.at_work or document.alarm is None
        assert (document.failure is not None) == (document.not_found != ())
        if document.state == "failed" or document.at_work:
            assert (document.failure is not None) == (document.state == "failed")
        assert all(0 <= line.picked <= line.quantity for pick_list in document.lists for line in pick_list.lines)
        states = {pick_list.state for pick_list in document.lists}
        if document.state == "packed":
            assert states == {"packed"}
        if document.state in {"failed", "cancelled"}:
            assert states <= {"to_put_back", "called_off"}
        else:
            assert not states & {"to_put_back", "called_off"}
        for pick_list in document.lists:
            assert pick_list.state != "to_put_back" or any(line.picked for line in pick_list.lines)
