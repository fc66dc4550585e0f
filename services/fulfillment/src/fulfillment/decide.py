"""How an order is picked and packed, message by message."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.decision import AlarmRang, Decision, Documents, Input, id_of
from chassis.service import Decide
from contracts.fulfillment import (
    CancelFulfillment,
    FulfillmentCancelled,
    FulfillmentFailed,
    FulfillOrder,
    OrderPacked,
    OrderPicked,
    Pick,
    PickedLine,
    PickReport,
    ReportPacked,
    ReportPicked,
    ReportPutBack,
    ReportRefused,
    ReportShort,
    ShortLine,
)
from contracts.inventory import BinQuantity
from contracts.message import Message, Reason, SagaStep, names_of

from fulfillment.state import Fulfillment, PickLine, PickList, fulfillment_id, pick_lists

SHORT_PICK = "[simulate: short pick]"
"""In the special instructions: the simulated pickers find one unit less than the first line asks for."""
NOBODY_PICKS = "[simulate: nobody picks]"
"""In the special instructions: the simulated pickers never come."""

Report = ReportPicked | ReportShort | ReportPacked | ReportPutBack
Result = tuple[Fulfillment, tuple[Message, ...]]
"""The fulfillment as it is now, and what is said about it."""

MOST_TOLD = 3
"""The most shortages told in words; `not_found` has all of them."""
CANCELLED = Reason(path="", code="cancelled", message="the fulfillment was cancelled")
UNKNOWN_LIST = Reason(path="", code="unknown_list", message="nobody asked this location to pick that")
STILL_WANTED = Reason(path="", code="still_wanted", message="the order was not called off")


@dataclass(frozen=True, slots=True)
class SimulatedPickers:
    """Pickers who need no hands: they tell at a fixed pace that a list is picked, then packed, and put back at once."""

    pick_after: timedelta
    """From the command until everything is off the shelves."""
    pack_after: timedelta
    """From there until everything is in parcels."""


def needs(message: Input, _: Documents) -> Iterable[str]:
    match message:
        case FulfillOrder() | CancelFulfillment() | ReportPicked() | ReportShort() | ReportPacked() | ReportPutBack():
            return (Fulfillment.key_of(_id(message)),)
        case AlarmRang(document=key):
            return (key,)
        case _:
            return ()


def decider(pickers: SimulatedPickers | None) -> Decide:
    """`decide` with these simulated pickers, or with none when people pick."""

    def decide(documents: Documents, message: Input, now: datetime) -> Decision:
        match message:
            case (
                FulfillOrder() | CancelFulfillment() | ReportPicked() | ReportShort() | ReportPacked() | ReportPutBack()
            ):
                known = documents.get(Fulfillment, _id(message))
            case AlarmRang(document=key):
                known = documents.get(Fulfillment, id_of(key))
            case _:
                return Decision()
        after, said = _take(known, message, now, pickers)
        if after is None or after == known:
            return Decision(messages=said)
        if known is None or after.state != known.state:
            after = after.but(since=now)
        return Decision((after,), said)

    return decide


def _take(
    known: Fulfillment | None, message: Input, now: datetime, pickers: SimulatedPickers | None
) -> tuple[Fulfillment | None, tuple[Message, ...]]:
    match message:
        case FulfillOrder():
            return _fulfill(known, message, now, pickers)
        case CancelFulfillment():
            return _cancel(known, message, now, pickers)
        case ReportPicked() | ReportShort() | ReportPacked() | ReportPutBack():
            return _report(known, message, pickers)
        case _:
            return _work(known, now, pickers) if known is not None else (None, ())


def _id(message: SagaStep | PickReport) -> str:
    return fulfillment_id(**names_of(message))


def _fulfill(
    known: Fulfillment | None, command: FulfillOrder, now: datetime, pickers: SimulatedPickers | None
) -> Result:
    if known is not None:
        return known, _outcome(known)
    begun = Fulfillment.begin(command, "picking", now).but(
        lists=pick_lists(command.picks), special_instructions=command.special_instructions
    )
    if pickers is not None and NOBODY_PICKS not in command.special_instructions:
        begun = begun.but(alarm=now + pickers.pick_after)
    return _work(begun, now, pickers)


def _outcome(known: Fulfillment) -> tuple[Message, ...]:
    """What became of it so far, said again to whoever asks again."""
    match known.state:
        case "picking":
            return ()
        case "picked":
            return (OrderPicked(**names_of(known)),)
        case "packed":
            return OrderPicked(**names_of(known)), OrderPacked(**names_of(known))
        case "failed" | "cancelled" | "tombstone":
            reason = known.failure or CANCELLED
            return (FulfillmentFailed(**names_of(known), reason=reason, not_found=known.not_found),)


def _cancel(
    known: Fulfillment | None, command: CancelFulfillment, now: datetime, pickers: SimulatedPickers | None
) -> Result:
    if known is None:
        known = Fulfillment.begin(command, "tombstone", now)
    elif command.done and (known.at_work or known.state == "failed"):
        lists = tuple(pick_list.taken_as_packed() for pick_list in known.lists)
        known = known.but(state="packed", lists=lists, alarm=None)
    elif not command.done and known.state in {"picking", "picked", "packed"}:
        known = _end(known.but(state="cancelled"), pickers)
    return known, (FulfillmentCancelled(**names_of(known), done=command.done),)


def _end(known: Fulfillment, pickers: SimulatedPickers | None) -> Fulfillment:
    """Nobody goes on with it, and what is off the shelf is to be put back: its units are available to others."""
    lists = tuple(pick_list.put_back() if pickers else pick_list.called_off() for pick_list in known.lists)
    return known.but(lists=lists, alarm=None)


def reasons_against(report: Report, pick_list: PickList) -> tuple[Reason, ...]:
    """Why a report does not fit the list that it is about; nothing if it does."""
    match report:
        case ReportPicked():
            return tuple(
                _unknown_line(f"lines[{place}].sku", line)
                for place, line in enumerate(report.lines)
                if pick_list.line(line.sku, line.bin) is None
            )
        case ReportShort():
            return tuple(_against_short(report, pick_list))
        case ReportPacked():
            return ()
        case ReportPutBack():
            return (STILL_WANTED,) if pick_list.state in {"picking", "picked", "packed"} else ()


def _short_lines(report: ReportShort) -> Iterator[tuple[str, ReportShort | ShortLine]]:
    """The lines that are reported, each with where it stands in the report."""
    yield "", report
    yield from ((f"also[{place}].", line) for place, line in enumerate(report.also))


def _against_short(report: ReportShort, pick_list: PickList) -> Iterator[Reason]:
    named: set[tuple[str, str]] = set()
    for path, line in _short_lines(report):
        wanted = pick_list.line(line.sku, line.bin)
        if wanted is None:
            yield _unknown_line(f"{path}sku", line)
        elif (line.sku, line.bin) in named:
            # Nobody knows which of the two numbers is right.
            twice = f"the report has {line.sku} in bin {line.bin!r} twice"
            yield Reason(path=f"{path}sku", code="named_twice", message=twice)
        elif line.found >= wanted.quantity:
            all_wanted = f"{wanted.quantity} are all that is wanted"
            yield Reason(path=f"{path}found", code="not_short", message=all_wanted)
        named.add((line.sku, line.bin))


def _unknown_line(path: str, line: PickedLine | ReportShort | ShortLine) -> Reason:
    return Reason(path=path, code="unknown_line", message=f"the list has no {line.sku} in bin {line.bin!r}")


def _report(
    known: Fulfillment | None, report: Report, pickers: SimulatedPickers | None
) -> tuple[Fulfillment | None, tuple[Message, ...]]:
    """A report that does not fit is refused, so that whoever wrote it learns of it; one that comes late changes nothing
    but what is to be put back, for what became of the list was said, and reports may be repeated. A shortage that comes
    late is refused, too: nothing is written off for it, so somebody has to correct the stock.
    """
    before = known.list_at(report.location) if known is not None else None
    if known is None or before is None:
        return known, (_refusal(report, (UNKNOWN_LIST,)),)
    if reasons := reasons_against(report, before):
        return known, (_refusal(report, reasons),)
    if isinstance(report, ReportShort) and (before.state == "packed" or not known.at_work):
        late = tuple(too_late(known, before, report))
        return known, (_refusal(report, late),) if late else ()
    if before.state == "packed":
        return known, ()
    match report:
        case ReportShort():
            lines = {(line.sku, line.bin): line.found for _, line in _short_lines(report)}
            return _short(known, before, lines, pickers)
        case ReportPicked():
            after = before.with_picked(report.lines) if report.lines else before.all_picked()
        case ReportPacked():
            after = before.all_packed()
        case ReportPutBack():
            after = before.put_back()
    return _with(known, before, after)


def too_late(known: Fulfillment, pick_list: PickList, report: ReportShort) -> Iterator[Reason]:
    """Why a shortage on a list that nobody works on does not count, but for the lines that count already."""
    counted = [line for pick in known.not_found if pick.location == pick_list.location for line in pick.lines]
    for path, line in _short_lines(report):
        wanted = pick_list.line(line.sku, line.bin)
        if wanted is not None and _lacking(wanted, line.found) not in counted:
            what_then = f"correct the stock of {line.sku} by AdjustStock, once the order does not hold it any more"
            late = f"nobody works on the list any more: {what_then}"
            yield Reason(path=f"{path}sku", code="too_late", message=late)


def _refusal(report: Report, reasons: tuple[Reason, ...]) -> ReportRefused:
    what = type(report).__name__
    return ReportRefused(**names_of(report), location=report.location, report=what, reasons=reasons)


def _work(known: Fulfillment, now: datetime, pickers: SimulatedPickers | None) -> Result:
    """All that simulated pickers have done by now; those who take no time do everything at once."""
    said: tuple[Message, ...] = ()
    while known.alarm is not None and known.alarm <= now:
        known, more = _simulate(known, now, pickers)
        said += more
    return known, said


def _simulate(known: Fulfillment, now: datetime, pickers: SimulatedPickers | None) -> Result:
    """A simulated picker has something to tell, unless people have taken over since."""
    if pickers is None:
        return known.but(alarm=None), ()
    if known.state == "picked":
        return _progress(known, tuple(pick_list.all_packed() for pick_list in known.lists))
    first = next(((pick_list, line) for pick_list in known.lists for line in pick_list.lines), None)
    if first is not None and SHORT_PICK in known.special_instructions:
        pick_list, line = first
        return _short(known, pick_list, {(line.sku, line.bin): line.quantity - 1}, pickers)
    later = known.but(alarm=now + pickers.pack_after)
    return _progress(later, tuple(pick_list.all_picked() for pick_list in known.lists))


def _short(
    known: Fulfillment, pick_list: PickList, found: Mapping[tuple[str, str], int], pickers: SimulatedPickers | None
) -> Result:
    """Fail, naming all that is short of what was found, by item and bin."""
    short = [(line, found[line.sku, line.bin]) for line in pick_list.lines if (line.sku, line.bin) in found]
    told = [_shortage(pick_list.location, line, there) for line, there in short]
    message = "; ".join(told[:MOST_TOLD]) + ("; …" if len(told) > MOST_TOLD else "")
    lacking = tuple(_lacking(line, there) for line, there in short)
    failed = known.but(
        state="failed",
        failure=Reason(path="picks", code="short_pick", message=message),
        not_found=(Pick(location=pick_list.location, lines=lacking),),
    )
    return _end(failed, pickers), _outcome(failed)


def _lacking(wanted: PickLine, found: int) -> BinQuantity:
    return BinQuantity(sku=wanted.sku, quantity=wanted.quantity - found, bin=wanted.bin)


def _shortage(location: str, line: PickLine, found: int) -> str:
    place = f"{location}, bin {line.bin}" if line.bin else location
    return f"{place}: {found} of {line.quantity} {line.sku} were there"


def _with(known: Fulfillment, before: PickList, after: PickList) -> Result:
    """The fulfillment with one of its lists gone on, if it has."""
    if after == before:
        return known, ()
    lists = tuple(after if pick_list is before else pick_list for pick_list in known.lists)
    return _progress(known, lists) if known.at_work else (known.but(lists=lists), ())


def _progress(known: Fulfillment, lists: tuple[PickList, ...]) -> Result:
    """The fulfillment is as far as its last list is."""
    states = {pick_list.state for pick_list in lists}
    if "picking" in states:
        return known.but(lists=lists), ()
    said: tuple[Message, ...] = (OrderPicked(**names_of(known)),) if known.state == "picking" else ()
    if "picked" in states:
        return known.but(lists=lists, state="picked"), said
    packed = known.but(lists=lists, state="packed", alarm=None)
    return packed, (*said, OrderPacked(**names_of(known)))
