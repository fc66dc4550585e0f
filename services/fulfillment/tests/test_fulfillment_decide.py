"""What becomes of a pick list, message by message."""

from datetime import timedelta

import pytest
from chassis.decision import AlarmRang
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
    ReportRefused,
    ReportShort,
    ShortLine,
)
from contracts.inventory import BinQuantity
from contracts.message import Message, Reason
from fulfillment.decide import NOBODY_PICKS, SHORT_PICK, Report, SimulatedPickers, decider, needs
from fulfillment.state import Fulfillment

PACE = SimulatedPickers(pick_after=timedelta(seconds=2), pack_after=timedelta(seconds=1))
STEP = {"order_id": "webshop:1001", "revision": 1, "attempt": 1}
ID = "webshop:1001/1/1"
LEEDS = Pick(
    location="LEEDS",
    lines=(BinQuantity(sku="mug", quantity=3, bin="A-10"), BinQuantity(sku="lamp", quantity=1, bin="A-2")),
)
YORK = Pick(location="YORK", lines=(BinQuantity(sku="rug", quantity=2, bin="C-1"),))
TAKEN_AS_DONE = FulfillmentCancelled.model_validate(STEP | {"done": True})


def fulfill(*picks: Pick, instructions: str = "") -> FulfillOrder:
    return FulfillOrder.model_validate(STEP | {"picks": picks or (LEEDS,), "special_instructions": instructions})


def cancel(*, done: bool = False) -> CancelFulfillment:
    return CancelFulfillment.model_validate(STEP | {"done": done})


def picked(location: str = "LEEDS", **units: int) -> ReportPicked:
    bins = {"mug": "A-10", "lamp": "A-2", "rug": "C-1"}
    lines = tuple(PickedLine(sku=sku, bin=bins[sku], picked=count) for sku, count in units.items())
    return ReportPicked.model_validate(STEP | {"location": location, "reported_by": "Ann", "lines": lines})


def packed(location: str = "LEEDS") -> ReportPacked:
    return ReportPacked.model_validate(STEP | {"location": location, "reported_by": "Ann"})


def put_back(location: str = "LEEDS") -> ReportPutBack:
    return ReportPutBack.model_validate(STEP | {"location": location, "reported_by": "Ann"})


def short(sku: str = "mug", bin: str = "A-10", found: int = 1, also: tuple[ShortLine, ...] = ()) -> ReportShort:  # noqa: A002 - the field's name
    return ReportShort.model_validate(
        STEP | {"location": "LEEDS", "reported_by": "Ann", "sku": sku, "bin": bin, "found": found, "also": also}
    )


def said(*models: type[Message]) -> tuple[Message, ...]:
    return tuple(model.model_validate(STEP) for model in models)


def refused(said: tuple[Message, ...]) -> list[tuple[str, str, list[str]]]:
    """Of each refusal the type of the report, the location, and path and code of the reasons."""
    found = []
    for message in said:
        assert isinstance(message, ReportRefused)
        assert message.order_id == "webshop:1001"
        wrong = [f"{reason.path} {reason.code}" for reason in message.reasons]
        found.append((message.report, message.location, wrong))
    return found


def with_people() -> Rehearsal:
    return Rehearsal(needs, decider(None))


def with_simulated_pickers() -> Rehearsal:
    return Rehearsal(needs, decider(PACE))


def now(stage: Rehearsal) -> Fulfillment:
    fulfillment = stage.get(Fulfillment, ID)
    assert fulfillment is not None
    return fulfillment


def states(stage: Rehearsal) -> list[str]:
    """Of each list, in the order of the picks."""
    return [pick_list.state for pick_list in now(stage).lists]


def failure(messages: tuple[Message, ...]) -> Reason:
    (message,) = messages
    assert isinstance(message, FulfillmentFailed)
    return message.reason


def test_simulated_pickers_pick_then_pack_at_their_pace() -> None:
    stage = with_simulated_pickers()
    assert stage.take(fulfill(LEEDS, YORK)) == ()
    assert stage.advance(timedelta(seconds=1.9)) == ()
    assert stage.advance(timedelta(seconds=0.2)) == said(OrderPicked)
    assert stage.advance(timedelta(seconds=1)) == said(OrderPacked)
    assert now(stage).state == "packed"
    assert now(stage).alarm is None


def test_simulated_pickers_come_up_short_when_the_instructions_say_so() -> None:
    stage = with_simulated_pickers()
    stage.take(fulfill(instructions=f"Ring twice. {SHORT_PICK}"))
    reason = failure(stage.advance(timedelta(seconds=10)))
    assert reason.code == "short_pick"
    assert reason.message == "LEEDS, bin A-2: 0 of 1 lamp were there"
    assert now(stage).alarm is None


def test_simulated_pickers_who_take_no_time_do_everything_at_once() -> None:
    at_once = SimulatedPickers(pick_after=timedelta(), pack_after=timedelta())
    stage = Rehearsal(needs, decider(at_once))
    assert stage.take(fulfill()) == said(OrderPicked, OrderPacked)
    assert (now(stage).state, now(stage).alarm) == ("packed", None)
    assert stage.take(fulfill()) == said(OrderPicked, OrderPacked)


def test_simulated_pickers_who_take_no_time_to_pack_do_so_when_all_is_picked() -> None:
    stage = Rehearsal(needs, decider(SimulatedPickers(pick_after=timedelta(seconds=2), pack_after=timedelta())))
    assert stage.take(fulfill()) == ()
    assert stage.advance(timedelta(seconds=2)) == said(OrderPicked, OrderPacked)


def test_simulated_pickers_never_come_when_the_instructions_say_so() -> None:
    stage = with_simulated_pickers()
    stage.take(fulfill(instructions=NOBODY_PICKS))
    assert stage.advance(timedelta(days=1)) == ()
    assert now(stage).state == "picking"


def test_simulated_pickers_finish_a_list_with_nothing_on_it() -> None:
    stage = with_simulated_pickers()
    stage.take(fulfill(Pick(location="LEEDS", lines=()), instructions=SHORT_PICK))
    assert stage.advance(timedelta(seconds=10)) == said(OrderPicked, OrderPacked)


def test_nothing_happens_by_itself_when_people_pick() -> None:
    stage = with_people()
    stage.take(fulfill(instructions=SHORT_PICK))
    assert stage.advance(timedelta(days=1)) == ()


def test_people_take_over_what_simulated_pickers_had_begun() -> None:
    stage = with_simulated_pickers()
    stage.take(fulfill())
    stage.decide = decider(None)
    assert stage.advance(timedelta(days=1)) == ()
    assert stage.take(packed()) == said(OrderPicked, OrderPacked)


def test_simulated_pickers_do_not_unpack_what_people_have_packed() -> None:
    stage = with_simulated_pickers()
    stage.take(fulfill(LEEDS, YORK), packed("LEEDS"))
    assert stage.advance(timedelta(seconds=2)) == said(OrderPicked)
    assert [pick_list.state for pick_list in now(stage).lists] == ["packed", "picked"]


def test_bins_are_listed_in_walk_order_with_numbers_read_as_numbers() -> None:
    stage = with_people()
    bins = ["B-1", "A-10-2", "", "A-2", "A-10-1"]
    stage.take(fulfill(Pick(location="LEEDS", lines=tuple(BinQuantity(sku="mug", quantity=1, bin=b) for b in bins))))
    (pick_list,) = now(stage).lists
    assert [line.bin for line in pick_list.lines] == ["A-2", "A-10-1", "A-10-2", "B-1", ""]


def test_lines_of_one_item_in_one_bin_are_picked_together() -> None:
    stage = with_people()
    stage.take(fulfill(LEEDS, YORK, LEEDS))
    assert [(pick_list.location, len(pick_list.lines)) for pick_list in now(stage).lists] == [("LEEDS", 2), ("YORK", 1)]
    assert [line.quantity for line in now(stage).lists[0].lines] == [2, 6]


def test_an_order_is_picked_once_every_list_is() -> None:
    stage = with_people()
    stage.take(fulfill(LEEDS, YORK))
    assert stage.take(picked("LEEDS")) == ()
    assert stage.take(picked("YORK")) == said(OrderPicked)
    assert stage.take(packed("YORK")) == ()
    assert stage.take(packed("LEEDS")) == said(OrderPacked)


def test_a_list_can_be_picked_line_by_line() -> None:
    stage = with_people()
    stage.take(fulfill())
    assert stage.take(picked(mug=2)) == ()
    assert stage.take(picked(lamp=1)) == ()
    assert [line.picked for line in now(stage).lists[0].lines] == [1, 2]
    assert stage.take(picked(mug=3)) == said(OrderPicked)


def test_what_was_picked_so_far_never_goes_back() -> None:
    stage = with_people()
    stage.take(fulfill(), picked(mug=2), picked(mug=1))
    assert now(stage).lists[0].line("mug", "A-10") == now(stage).lists[0].lines[1]
    assert now(stage).lists[0].lines[1].picked == 2


def test_more_than_is_wanted_is_never_counted() -> None:
    stage = with_people()
    stage.take(fulfill(), picked(mug=50))
    assert now(stage).lists[0].lines[1].picked == 3


def test_what_is_packed_has_been_picked() -> None:
    stage = with_people()
    stage.take(fulfill())
    assert stage.take(packed()) == said(OrderPicked, OrderPacked)


def test_a_short_pick_fails_the_fulfillment_and_names_the_place_and_the_item() -> None:
    stage = with_people()
    stage.take(fulfill())
    (failed,) = said = stage.take(short(found=1))
    reason = Reason(path="picks", code="short_pick", message="LEEDS, bin A-10: 1 of 3 mug were there")
    assert failure(said) == reason
    lacking = Pick(location="LEEDS", lines=(BinQuantity(sku="mug", quantity=2, bin="A-10"),))
    assert isinstance(failed, FulfillmentFailed)
    assert failed.not_found == (lacking,)
    assert now(stage).state == "failed"
    assert stage.take(fulfill()) == (failed,)


def test_one_report_names_all_that_is_short_of_a_list() -> None:
    stage = with_people()
    stage.take(fulfill(LEEDS, YORK))
    lamp = ShortLine(sku="lamp", bin="A-2", found=0)
    (failed,) = said = stage.take(short(found=1, also=(lamp,)))
    assert failure(said).message == "LEEDS, bin A-2: 0 of 1 lamp were there; LEEDS, bin A-10: 1 of 3 mug were there"
    assert isinstance(failed, FulfillmentFailed)
    lacking = (BinQuantity(sku="lamp", quantity=1, bin="A-2"), BinQuantity(sku="mug", quantity=2, bin="A-10"))
    assert failed.not_found == (Pick(location="LEEDS", lines=lacking),)


def test_many_shortages_are_not_all_told_in_words() -> None:
    stage = with_people()
    names = [f"{'s' * 60}-{number:03}" for number in range(200)]
    lines = tuple(BinQuantity(sku=sku, quantity=10_000_000, bin="b" * 32) for sku in names)
    stage.take(fulfill(Pick(location="L" * 32, lines=lines)))
    report = {"location": "L" * 32, "reported_by": "Ann", "sku": names[0], "bin": "b" * 32, "found": 1}
    also = tuple(ShortLine(sku=sku, bin="b" * 32, found=1) for sku in names[1:])
    (failed,) = stage.take(ReportShort.model_validate(STEP | report | {"also": also}))
    assert isinstance(failed, FulfillmentFailed)
    assert failed.reason.message.endswith("were there; …")
    assert len(failed.not_found[0].lines) == 200


@pytest.mark.parametrize(
    ("report", "wrong"),
    [
        (short(found=3), ["found not_short"]),
        (short(sku="kettle"), ["sku unknown_line"]),
        (short(bin="Z-9"), ["sku unknown_line"]),
        (
            short(found=1, also=(ShortLine(sku="lamp", bin="A-2", found=1), ShortLine(sku="kettle", found=0))),
            ["also[0].found not_short", "also[1].sku unknown_line"],
        ),
        (short(found=1, also=(ShortLine(sku="mug", bin="A-10", found=2),)), ["also[0].sku named_twice"]),
        (picked(mug=1, rug=1), ["lines[1].sku unknown_line"]),
    ],
)
def test_a_report_that_does_not_fit_the_list_is_refused_by_field(report: Report, wrong: list[str]) -> None:
    stage = with_people()
    stage.take(fulfill())
    before = now(stage)
    assert refused(stage.take(report)) == [(type(report).__name__, "LEEDS", wrong)]
    assert now(stage) == before


def test_reports_on_a_list_that_nobody_asked_for_are_refused() -> None:
    stage = with_people()
    unknown = [" unknown_list"]
    assert refused(stage.take(picked(), packed(), short(), put_back())) == [
        ("ReportPicked", "LEEDS", unknown),
        ("ReportPacked", "LEEDS", unknown),
        ("ReportShort", "LEEDS", unknown),
        ("ReportPutBack", "LEEDS", unknown),
    ]
    assert stage.documents == {}
    stage.take(fulfill(LEEDS))
    assert refused(stage.take(packed("YORK"))) == [("ReportPacked", "YORK", unknown)]


@pytest.mark.parametrize("ended", [short(), cancel()])
def test_reports_after_the_end_change_nothing(ended: Message) -> None:
    stage = with_people()
    stage.take(fulfill(), picked(), ended)
    before = now(stage)
    assert stage.take(picked(), packed()) == ()
    refusals = stage.take(short())
    assert refused(refusals) == ([] if isinstance(ended, ReportShort) else [("ReportShort", "LEEDS", ["sku too_late"])])
    assert now(stage) == before


def test_a_shortage_that_crosses_one_of_another_location_is_refused_in_words_that_say_what_to_do() -> None:
    stage = with_people()
    stage.take(fulfill(LEEDS, YORK), short())
    rug = ReportShort.model_validate(
        STEP | {"location": "YORK", "reported_by": "Ben", "sku": "rug", "bin": "C-1", "found": 1}
    )
    (refusal,) = said = stage.take(rug)
    assert refused(said) == [("ReportShort", "YORK", ["sku too_late"])]
    assert isinstance(refusal, ReportRefused)
    assert "AdjustStock" in refusal.reasons[0].message


def test_of_a_shortage_that_comes_late_what_was_reported_before_is_not_refused() -> None:
    stage = with_people()
    stage.take(fulfill(), short(found=1))
    assert stage.take(short(found=1)) == ()
    lamp = ShortLine(sku="lamp", bin="A-2", found=0)
    assert refused(stage.take(short(found=1, also=(lamp,)))) == [("ReportShort", "LEEDS", ["also[0].sku too_late"])]
    assert refused(stage.take(short(found=0))) == [("ReportShort", "LEEDS", ["sku too_late"])]


@pytest.mark.parametrize("other", [(), (YORK,)])
def test_a_shortage_of_a_list_that_is_packed_is_refused(other: tuple[Pick, ...]) -> None:
    stage = with_people()
    stage.take(fulfill(LEEDS, *other), packed())
    before = now(stage)
    assert refused(stage.take(short())) == [("ReportShort", "LEEDS", ["sku too_late"])]
    assert now(stage) == before


def test_what_is_off_the_shelf_of_a_cancelled_order_is_to_be_put_back_in_each_location() -> None:
    stage = with_people()
    stage.take(fulfill(LEEDS, YORK), packed("LEEDS"))
    assert stage.take(cancel()) == said(FulfillmentCancelled)
    assert states(stage) == ["to_put_back", "called_off"]
    assert stage.take(put_back("LEEDS")) == ()
    assert states(stage) == ["called_off", "called_off"]
    assert now(stage).state == "cancelled"


@pytest.mark.parametrize("before", [(), (picked(mug=1),), (picked(),), (packed(),), (picked("YORK"), short())])
def test_what_a_person_has_taken_as_done_is_put_back_only_when_it_is_undone(before: tuple[Message, ...]) -> None:
    stage = with_people()
    stage.take(fulfill(LEEDS, YORK), *before)
    assert stage.take(cancel(done=True), cancel(done=True)) == (TAKEN_AS_DONE, TAKEN_AS_DONE)
    assert (now(stage).state, states(stage)) == ("packed", ["packed", "packed"])
    assert stage.take(packed(), picked("YORK")) == ()
    assert refused(stage.take(put_back())) == [("ReportPutBack", "LEEDS", [" still_wanted"])]
    assert stage.take(cancel()) == said(FulfillmentCancelled)
    assert (now(stage).state, states(stage)) == ("cancelled", ["to_put_back", "to_put_back"])
    assert stage.take(cancel(done=True)) == (TAKEN_AS_DONE,)
    assert states(stage) == ["to_put_back", "to_put_back"]


def test_a_shortage_that_is_written_off_is_still_known_when_a_person_has_taken_it_as_done() -> None:
    stage = with_people()
    stage.take(fulfill(), short())
    not_found = now(stage).not_found
    stage.take(cancel(done=True))
    assert stage.take(short()) == ()
    assert stage.take(fulfill()) == said(OrderPicked, OrderPacked)
    stage.take(cancel())
    assert (now(stage).state, now(stage).not_found) == ("cancelled", not_found)
    assert failure(stage.take(fulfill())).code == "short_pick"


def test_simulated_pickers_do_not_go_on_with_what_a_person_has_taken_as_done() -> None:
    stage = Rehearsal(needs, decider(PACE))
    stage.take(fulfill(), cancel(done=True))
    assert stage.advance(timedelta(hours=1)) == ()
    assert (now(stage).state, now(stage).alarm) == ("packed", None)


def test_what_other_locations_have_picked_is_to_be_put_back_when_one_finds_too_few() -> None:
    stage = with_people()
    stage.take(fulfill(LEEDS, YORK), picked("YORK", rug=1), short())
    assert states(stage) == ["called_off", "to_put_back"]
    stage.take(cancel(), put_back("YORK"))
    assert states(stage) == ["called_off", "called_off"]
    assert now(stage).state == "failed"


@pytest.mark.parametrize("late", [picked(mug=1), picked(), packed()])
def test_what_a_picker_took_while_the_order_was_cancelled_is_to_be_put_back(late: Message) -> None:
    stage = with_people()
    stage.take(fulfill(), cancel())
    assert states(stage) == ["called_off"]
    assert stage.take(late, late) == ()
    assert states(stage) == ["to_put_back"]
    assert stage.take(put_back(), late, put_back()) == ()
    assert states(stage) == ["called_off"]
    assert now(stage).state == "cancelled"


@pytest.mark.parametrize("before", [(), (picked(mug=1),), (picked(),), (packed(),)])
def test_what_is_still_wanted_is_not_put_back(before: tuple[Message, ...]) -> None:
    stage = with_people()
    stage.take(fulfill(), *before)
    unchanged = now(stage)
    assert refused(stage.take(put_back())) == [("ReportPutBack", "LEEDS", [" still_wanted"])]
    assert now(stage) == unchanged


@pytest.mark.parametrize("ended", [short(), cancel()])
def test_simulated_pickers_put_back_at_once(ended: Message) -> None:
    stage = with_simulated_pickers()
    stage.take(fulfill(LEEDS, YORK))
    stage.advance(timedelta(seconds=2))
    assert states(stage) == ["picked", "picked"]
    stage.take(ended)
    assert states(stage) == ["called_off", "called_off"]


def test_nothing_is_packed_after_a_cancel() -> None:
    stage = with_simulated_pickers()
    stage.take(fulfill())
    assert stage.take(cancel()) == said(FulfillmentCancelled)
    assert stage.advance(timedelta(days=1)) == ()
    assert now(stage).state == "cancelled"


def test_a_packed_order_can_still_be_cancelled() -> None:
    stage = with_people()
    stage.take(fulfill(), packed())
    assert stage.take(cancel()) == said(FulfillmentCancelled)
    assert now(stage).state == "cancelled"


def test_a_cancel_that_overtakes_its_fulfill_leaves_a_tombstone() -> None:
    stage = with_simulated_pickers()
    assert stage.take(cancel()) == said(FulfillmentCancelled)
    assert failure(stage.take(fulfill())).code == "cancelled"
    assert stage.advance(timedelta(days=1)) == ()
    assert now(stage).state == "tombstone"


def test_a_failed_fulfillment_is_cancelled_without_forgetting_why_it_failed() -> None:
    stage = with_people()
    stage.take(fulfill(), short())
    assert stage.take(cancel(), cancel()) == said(FulfillmentCancelled, FulfillmentCancelled)
    assert failure(stage.take(fulfill())).code == "short_pick"


def test_a_repeated_command_hears_what_is_known_so_far() -> None:
    stage = with_people()
    assert stage.take(fulfill(), fulfill()) == ()
    stage.take(picked())
    assert stage.take(fulfill()) == said(OrderPicked)
    stage.take(packed())
    assert stage.take(fulfill()) == said(OrderPicked, OrderPacked)
    stage.take(cancel())
    assert failure(stage.take(fulfill())).code == "cancelled"


def test_a_repeated_command_does_not_start_the_pickers_again() -> None:
    stage = with_simulated_pickers()
    stage.take(fulfill())
    stage.now += timedelta(seconds=1)
    stage.take(fulfill())
    assert stage.advance(timedelta(seconds=1)) == said(OrderPicked)


def test_another_attempt_is_a_fulfillment_of_its_own() -> None:
    stage = with_people()
    stage.take(cancel())
    stage.take(fulfill().model_copy(update={"attempt": 2}))
    assert now(stage).state == "tombstone"
    second = stage.get(Fulfillment, "webshop:1001/1/2")
    assert second is not None
    assert second.state == "picking"


def test_an_alarm_of_something_unknown_changes_nothing() -> None:
    assert with_simulated_pickers().take(AlarmRang(f"fulfillments/{ID}")) == ()
