"""Whatever participants do, and however messages travel, an order ends, and what it ends as is true."""

from datetime import date, timedelta
from typing import Any, NamedTuple

from chassis.testing.stage import NOON, Rehearsal
from contracts.fulfillment import (
    CancelFulfillment,
    FulfillmentCancelled,
    FulfillmentFailed,
    FulfillOrder,
    OrderPacked,
    OrderPicked,
    ReportRefused,
)
from contracts.inventory import (
    BinQuantity,
    IssueStock,
    ReleaseStock,
    ReserveStock,
    Shortage,
    StockBackordered,
    StockIssued,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.message import CountryAlpha2, Currency, Message, Reason, SagaStep, SkuQuantity
from contracts.order import (
    Address,
    CancelOrder,
    CompensateOrder,
    Customer,
    OrderCancelled,
    OrderCompleted,
    OrderEvent,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    RetryStep,
    SkipStep,
    StepSkipped,
)
from contracts.payment import (
    AuthorizePayment,
    CapturePayment,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    VoidPayment,
)
from contracts.shipping import (
    CancelShipment,
    CreateShipment,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentRefused,
    TrackedParcel,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from order.decide import decider, needs
from order.definition import Policy
from order.sourcing import Routes
from order.state import Order

ID = "web:1001"
GBP = Currency("GBP")
WHO = {"reason": "somebody must", "requested_by": "Ben"}
WHY = Reason(path="", code="because", message="because")
POLICY = Policy(
    definition=1,
    routes=Routes(("LON", "MAN"), {}),
    reserve_within=timedelta(minutes=1),
    authorize_within=timedelta(minutes=2),
    fulfill_within=timedelta(minutes=4),
    ship_within=timedelta(minutes=3),
    backorder_within=timedelta(minutes=10),
    undo_again_after=timedelta(minutes=1),
    forward_again_after=timedelta(minutes=2),
)
ENDS = (OrderRejected, OrderCancelled, OrderCompleted)
DOES: dict[str, type[SagaStep]] = {
    "reserve": ReserveStock,
    "authorize": AuthorizePayment,
    "fulfill": FulfillOrder,
    "ship": CreateShipment,
    "capture": CapturePayment,
    "issue": IssueStock,
}
"""By step, what it asks for."""
UNDOS = (ReleaseStock, VoidPayment, CancelFulfillment, CancelShipment)


def order(revision: int = 1, *, allow_split: bool = False, allow_backorder: bool = False) -> OrderPlaced:
    address = Address(name="Ada", street="1 High St", city="Leeds", country=CountryAlpha2("GB"))
    return OrderPlaced(
        channel="web",
        number="1001",
        revision=revision,
        customer=Customer(id="c-1", name="Ada"),
        shipping_address=address,
        billing_address=address,
        lines=(OrderLine(sku="MUG", quantity=2, unit_price=500), OrderLine(sku="TEA", quantity=1, unit_price=450)),
        total=1450,
        currency=GBP,
        payment_token="tok_ok",  # noqa: S106 - a token of the simulated provider
        allow_split=allow_split,
        allow_backorder=allow_backorder,
    )


PARTICIPANT: dict[type[SagaStep], str] = {
    **dict.fromkeys((ReserveStock, ReleaseStock, IssueStock), "inventory"),
    **dict.fromkeys((StockReserved, StockBackordered, StockRejected, StockReleased, StockIssued), "inventory"),
    **dict.fromkeys((AuthorizePayment, VoidPayment, CapturePayment), "payment"),
    **dict.fromkeys((PaymentAuthorized, PaymentDeclined, PaymentVoided, PaymentCaptured), "payment"),
    **dict.fromkeys((FulfillOrder, CancelFulfillment), "fulfillment"),
    **dict.fromkeys((OrderPicked, OrderPacked, FulfillmentFailed, FulfillmentCancelled), "fulfillment"),
    **dict.fromkeys((CreateShipment, CancelShipment), "shipping"),
    **dict.fromkeys((ShipmentCreated, ShipmentRefused, ShipmentCancelled, ShipmentDispatched), "shipping"),
}
UNDONE: dict[type[SagaStep], type[SagaStep]] = {
    ReleaseStock: StockReleased,
    VoidPayment: PaymentVoided,
    CancelFulfillment: FulfillmentCancelled,
    CancelShipment: ShipmentCancelled,
}


class Matter(NamedTuple):
    """What a command or an answer is about."""

    participant: str
    revision: int
    attempt: int
    location: str

    @classmethod
    def of(cls, step: SagaStep) -> "Matter":
        return cls(PARTICIPANT[type(step)], step.revision, step.attempt, getattr(step, "location", ""))


class Participants:
    """All four other services in one: what each matter has come to, and the answers that this leads to."""

    def __init__(self, *, careful: bool) -> None:
        self.careful = careful
        """Whether an undo that overtakes its do is remembered, as it should be."""
        self.matters: dict[Matter, str] = {}
        """`held`, `waits`, `refused`, `undone`, or `final`: captured, issued; `gone`: dispatched."""
        self.asked: dict[Matter, SagaStep] = {}
        self.called_off: set[Matter] = set()
        """What a person has taken as done, so that nobody is to do it any more."""

    def obey(self, command: SagaStep, will: str) -> list[SagaStep]:
        """Do it if they will (`do`, `part`, `wait` or `refuse`), and say what is true then."""
        matter = Matter.of(command)
        state = self.matters.get(matter, "")
        if isinstance(command, CancelShipment) and state == "gone":
            return [dispatched(command)]
        if undone := UNDONE.get(type(command)):
            assert state != "final" or matter in self.called_off, "what can only go forward was undone"
            self.matters[matter] = "undone" if state or self.careful else ""
            return [undone(**command.model_dump(), **{"lines": ()} if undone is StockReleased else {})]
        if isinstance(command, IssueStock | CapturePayment):
            if isinstance(command, CapturePayment) and matter in self.called_off and state != "final":
                return [PaymentDeclined(order_id=ID, revision=command.revision, attempt=1, code="voided", message="")]
            assert state in {"held", "final"}, "what is not held was captured or issued"
            self.matters[matter] = "final"
            more = {"lines": ()} if isinstance(command, IssueStock) else {"currency": GBP}
            return [
                (StockIssued if isinstance(command, IssueStock) else PaymentCaptured)(**command.model_dump(), **more)
            ]
        self.asked[matter] = command
        if not state or (state == "undone" and not self.careful):
            if not (isinstance(command, ReserveStock) and command.when_short == "backorder"):
                will = "refuse" if will == "wait" else will
            self.matters[matter] = {"do": "held", "part": "held", "wait": "waits", "refuse": "refused"}[will]
        return self.outcome(matter, part=will == "part")

    def outcome(self, matter: Matter, *, part: bool = False) -> list[SagaStep]:
        """What is true of a matter that was asked for."""
        command = self.asked[matter]
        names = {"order_id": ID, "revision": command.revision, "attempt": command.attempt}
        held = self.matters[matter] in {"held", "final", "gone"}
        match command:
            case ReserveStock():
                return [self._stock(command, matter, names | {"location": command.location}, part=part)]
            case AuthorizePayment():
                authorized = PaymentAuthorized(**names, amount=command.amount, currency=GBP, authorization_id="a")
                return [authorized if held else PaymentDeclined(**names, code="no", message="")]
            case FulfillOrder():
                done = [OrderPicked(**names), OrderPacked(**names)]
                return done if held else [FulfillmentFailed(**names, reason=WHY)]
            case CreateShipment():
                parcels = tuple(parcel_at(parcel.location) for parcel in command.parcels)
                return [ShipmentCreated(**names, parcels=parcels) if held else ShipmentRefused(**names, reason=WHY)]
        raise NotImplementedError(command)

    def _stock(self, command: ReserveStock, matter: Matter, names: dict[str, Any], *, part: bool) -> SagaStep:
        lines = tuple(BinQuantity(sku=line.sku, quantity=line.quantity) for line in command.lines)
        match self.matters[matter]:
            case "held" | "final" if part and command.when_short == "split":
                return StockReserved(**names, lines=lines[1:], missing=command.lines[:1])
            case "held" | "final":
                return StockReserved(**names, lines=lines)
            case "waits":
                return StockBackordered(**names, lines=(), missing=command.lines)
            case state:
                shortage = Shortage(sku="MUG", requested=2, available=0)
                return StockRejected(**names, shortages=() if state == "undone" else (shortage,))

    def stock_arrives(self) -> list[SagaStep]:
        waiting = [matter for matter, state in self.matters.items() if state == "waits"]
        self.matters |= dict.fromkeys(waiting, "held")
        return [answer for matter in waiting for answer in self.outcome(matter)]

    def vans_leave(self) -> list[SagaStep]:
        """What is booked cannot be called off any more."""
        booked = [
            matter for matter, state in self.matters.items() if (matter.participant, state) == ("shipping", "held")
        ]
        self.matters |= dict.fromkeys(booked, "gone")
        return [dispatched(self.asked[matter]) for matter in booked]


def dispatched(command: SagaStep) -> ShipmentDispatched:
    return ShipmentDispatched(order_id=ID, revision=command.revision, attempt=command.attempt, dispatched_at=NOON)


def parcel_at(location: str) -> TrackedParcel:
    return TrackedParcel(
        location=location,
        carrier="Swift",
        tracking_number="SW1",
        cost=1,
        currency=GBP,
        estimated_delivery=date(2026, 1, 8),
    )


class OrderHistory(RuleBasedStateMachine):
    """One order and its participants; messages between them may be late, overtake each other, come twice or never."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Rehearsal(needs, decider(POLICY))
        self.commands: list[SagaStep] = []
        self.answers: list[SagaStep] = []
        self.said: list[Message] = []
        self.repairs = 0

    @property
    def order(self) -> Order:
        found = self.stage.get(Order, ID)
        assert found is not None
        return found

    def take(self, *messages: Message) -> None:
        self.hear(self.stage.take(*messages))

    def hear(self, said: tuple[Message, ...]) -> None:
        self.said += said
        self.commands += [message for message in said if isinstance(message, SagaStep)]
        if any(isinstance(message, StepSkipped) and not message.is_undo for message in said):
            self.participants.called_off |= {Matter.of(message) for message in said if isinstance(message, UNDOS)}

    @initialize(
        careful=st.booleans(),
        allow_split=st.booleans(),
        allow_backorder=st.booleans(),
        good=st.sampled_from([0, 0, 1, 2, 3, 3, 3, 4, 5]),
    )
    def place(self, *, careful: bool, allow_split: bool, allow_backorder: bool, good: int) -> None:
        """Place the order, and have its first commands done, so that its last ones are often come to."""
        self.participants = Participants(careful=careful)
        self.flags = {"allow_split": allow_split, "allow_backorder": allow_backorder}
        self.take(order(**self.flags))
        for _ in range(good):
            self.take(*self.participants.obey(self.commands.pop(0), "do"))

    @precondition(lambda self: self.order.status == "rejected")
    @rule()
    def place_again(self) -> None:
        self.take(order(self.order.revision + 1, **self.flags))

    @precondition(lambda self: self.commands)
    @rule(data=st.data(), will=st.sampled_from(["do", "do", "do", "part", "wait", "refuse", "ignore", "twice"]))
    def obey(self, data: st.DataObject, will: str) -> None:
        place = data.draw(st.integers(0, len(self.commands) - 1))
        command = self.commands[place] if will == "twice" else self.commands.pop(place)
        if will != "ignore":
            self.answers += self.participants.obey(command, "do" if will == "twice" else will)

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), travels=st.sampled_from(["well", "well", "well", "twice", "never"]))
    def answer(self, data: st.DataObject, travels: str) -> None:
        """Answers about one matter come in their order, as a topic keeps them; otherwise they overtake each other.

        One that travels twice comes again before the later ones: a copy that is published behind them has an older
        sequence number than its link has heard, and is dropped before `decide`. Were it not, the copy of an undo's
        answer could be taken for the answer to the next undo, which a careless participant still has to obey.

        Those of a careless participant always come: what it forgot, nobody else could know of.
        """
        matter = Matter.of(self.answers[data.draw(st.integers(0, len(self.answers) - 1))])
        answer = next(answer for answer in self.answers if Matter.of(answer) == matter)
        if travels != "twice":
            self.answers.remove(answer)
        if travels != "never" or not self.participants.careful:
            self.take(answer)

    @rule()
    def stock_arrives(self) -> None:
        self.answers += self.participants.stock_arrives()

    @rule()
    def vans_leave(self) -> None:
        self.answers += self.participants.vans_leave()

    @rule(step=st.sampled_from([None, *DOES]))
    def retry(self, step: str | None) -> None:
        self.take(RetryStep(order_id=ID, repair_id=self.next_name(), step=step, **WHO))

    @rule(step=st.sampled_from(sorted(DOES)))
    def skip(self, step: str) -> None:
        self.take(SkipStep(order_id=ID, repair_id=self.next_name(), step=step, **WHO))

    @rule()
    def compensate(self) -> None:
        self.take(CompensateOrder(order_id=ID, repair_id=self.next_name(), **WHO))

    def next_name(self) -> str:
        self.repairs += 1
        return str(self.repairs)

    @rule()
    def cancel(self) -> None:
        self.take(CancelOrder(order_id=ID, reason="changed my mind", requested_by="Ada"))

    @rule(minutes=st.sampled_from([1, 3, 11]))
    def wait(self, minutes: int) -> None:
        self.hear(self.stage.advance(timedelta(minutes=minutes)))

    @invariant()
    def an_open_order_waits_with_a_deadline(self) -> None:
        assert self.order.ended or self.order.alarm is not None

    @invariant()
    def an_undone_order_has_a_reason(self) -> None:
        turned_back = self.order.status in {"undoing", "rejected", "cancelled"}
        assert turned_back == (self.order.ending is not None)
        assert self.order.ending is None or self.order.ending.reasons

    @invariant()
    def a_revision_ends_once_and_only_after_all_is_undone(self) -> None:
        ends = [message.revision for message in self.said if isinstance(message, ENDS)]
        assert ends == list(range(1, self.order.revision + self.order.ended))

    @invariant()
    def nothing_is_undone_after_the_pivot(self) -> None:
        shipped: set[int] = set()
        for message in self.said:
            if isinstance(message, OrderShipped):
                shipped.add(message.revision)
            if not isinstance(message, UNDOS) or Matter.of(message) in self.participants.called_off:
                continue
            if message.revision in shipped:
                assert self.participants.matters.get(Matter.of(message)) != "final"
                assert isinstance(message, ReleaseStock)

    def teardown(self) -> None:
        """Sooner or later everybody answers, and a person gives up what cannot be undone any more."""
        if not hasattr(self, "participants"):
            return
        for minute in range(200):
            self.answers += self.participants.stock_arrives()
            while self.commands:
                self.answers += self.participants.obey(self.commands.pop(), "do")
            while self.answers:
                self.take(self.answers.pop(0))
            if self.order.ended and self.order.alarm is None and not self.commands:
                break
            self.hear(self.stage.advance(timedelta(minutes=1)))
            if minute > 100:
                assert "gone" in self.participants.matters.values(), "it would have to go on by itself"
                self.skip("ship")
        assert self.order.ended
        assert self.order.alarm is None
        self._ends_as_it_says()
        assert Order.model_validate(self.order.model_dump(mode="json"), strict=False) == self.order

    def _ends_as_it_says(self) -> None:
        """Nothing is left but what the end says, and what a person took upon himself."""
        skipped = {PARTICIPANT[DOES[message.step]] for message in self.said if isinstance(message, StepSkipped)}
        left = {
            matter: state.replace("gone", "held")
            for matter, state in self.participants.matters.items()
            if state not in {"", "undone", "refused"} and matter.participant not in skipped
        }
        if self.order.status == "completed":
            whole = {("inventory", "final"), ("payment", "final"), ("fulfillment", "held"), ("shipping", "held")}
            assert {(matter.participant, state) for matter, state in left.items()} == {
                (participant, state) for participant, state in whole if participant not in skipped
            }
            assert {matter.revision for matter in left} <= {self.order.revision}
        else:
            assert left == {}


OrderHistory.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestOrderHistory = OrderHistory.TestCase


NAMES = {"order_id": st.just(ID), "revision": st.integers(1, 3), "attempt": st.integers(1, 6)}
PERSON = {
    "order_id": st.just(ID),
    "repair_id": st.sampled_from("abcdefgh"),
    **{name: st.just(text) for name, text in WHO.items()},
}
PLACE = {"location": st.sampled_from(["LON", "MAN", "ROT"])}
UNITS = st.lists(st.builds(SkuQuantity, sku=st.sampled_from(["MUG", "TEA", "JAR"]), quantity=st.integers(1, 3)))
BINS = st.lists(
    st.builds(BinQuantity, sku=st.sampled_from(["MUG", "TEA"]), quantity=st.sampled_from([1, 2, 10_000_000]))
)
SHORTAGES = st.lists(
    st.builds(Shortage, sku=st.sampled_from(["MUG", "JAR"]), requested=st.just(2), available=st.just(0)), max_size=2
)
ANYTHING = st.one_of(
    st.builds(order, st.integers(1, 3), allow_split=st.booleans(), allow_backorder=st.booleans()),
    st.builds(CancelOrder, order_id=st.just(ID), reason=st.just("why"), requested_by=st.just("Ada")),
    st.builds(RetryStep, **PERSON, step=st.sampled_from([None, *DOES, "nothing"])),
    st.builds(SkipStep, **PERSON, step=st.sampled_from([*DOES, "nothing"])),
    st.builds(CompensateOrder, **PERSON),
    st.builds(StockReserved, **NAMES, **PLACE, lines=BINS.map(tuple), missing=UNITS.map(tuple)),
    st.builds(StockBackordered, **NAMES, **PLACE, lines=UNITS.map(tuple), missing=UNITS.map(tuple)),
    st.builds(StockRejected, **NAMES, **PLACE, shortages=SHORTAGES.map(tuple)),
    st.builds(StockReleased, **NAMES, **PLACE, lines=st.just(())),
    st.builds(StockIssued, **NAMES, **PLACE, lines=st.just(())),
    st.builds(
        PaymentAuthorized,
        **NAMES,
        amount=st.sampled_from([0, 1450]),
        currency=st.just(GBP),
        authorization_id=st.just("a"),
    ),
    st.builds(PaymentDeclined, **NAMES, code=st.just("no"), message=st.just("")),
    st.builds(PaymentCaptured, **NAMES, amount=st.just(1450), currency=st.just(GBP)),
    st.builds(FulfillmentFailed, **NAMES, reason=st.just(WHY)),
    st.builds(FulfillmentCancelled, **NAMES, done=st.booleans()),
    st.builds(ReportRefused, **NAMES, **PLACE, report=st.just("ReportShort"), reasons=st.just((WHY,))),
    st.builds(ShipmentCreated, **NAMES, parcels=st.just(())),
    st.builds(ShipmentDispatched, **NAMES, dispatched_at=st.just(NOON)),
    st.builds(ShipmentDelivered, **NAMES, delivered_at=st.just(NOON)),
    st.builds(ShipmentRefused, **NAMES, reason=st.just(WHY)),
    *(st.builds(model, **NAMES) for model in (PaymentVoided, OrderPicked, OrderPacked, ShipmentCancelled)),
    st.sampled_from([timedelta(minutes=1), timedelta(minutes=11)]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ANYTHING, max_size=40))
def test_no_sequence_of_valid_messages_is_too_much_and_each_revision_ends_at_most_once(
    inputs: list[Message | timedelta],
) -> None:
    stage = Rehearsal(needs, decider(POLICY))
    said: list[Message] = []
    for one in inputs:
        said += stage.advance(one) if isinstance(one, timedelta) else stage.take(one)
    ends = [message.revision for message in said if isinstance(message, OrderEvent) and isinstance(message, ENDS)]
    assert len(ends) == len(set(ends))
