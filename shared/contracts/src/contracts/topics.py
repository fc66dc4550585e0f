"""The table of topics: the one place that says who writes what, where, and by which key.

Topic creation, the AsyncAPI documents, the audit and the tests are derived from it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from contracts import fulfillment, inventory, order, payment, repair, shipping
from contracts.message import Message

PARTITIONS = 4
"""How many partitions each topic has, unless the installation says otherwise. It is chosen once: changing it would move
orders between partitions."""

SERVICES = ("order", "inventory", "payment", "fulfillment", "shipping")
EVERY_SERVICE = "*"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, its writer and what may be on it."""

    name: str
    owner: str
    """The service that writes it, or EVERY_SERVICE."""
    key: tuple[str, ...]
    """The fields that make the key, joined by `/`: what has the same key meets in one partition, in order."""
    messages: tuple[type[Message], ...]
    readers: tuple[str, ...] = ()
    """The services that listen to it; channels, analysts and the audit may read any topic."""
    open: bool = False
    """Whether channels and people may write here, too: nothing is counted there, for anyone could sign as anyone."""
    begins: bool = False
    """Whether its messages begin something new, so that they wait here until there is room. Those on any other topic,
    open or not, carry on what was begun: that makes room, so they do not wait for it."""
    compacted: bool = False
    """Whether only the last message of each key is kept."""
    addressed: bool = False
    """Whether a message names its partition itself, in its field `partition`, whatever its key is."""

    @property
    def writers(self) -> tuple[str, ...]:
        """The services that write it."""
        return SERVICES if self.owner == EVERY_SERVICE else (self.owner,)

    @property
    def dead_letter(self) -> str:
        """Where records go that could not be handled."""
        return f"{self.name}.dead-letter"

    def key_of(self, message: Message) -> str:
        if len(self.key) == 1:  # as nearly always, and asked for every message
            return str(getattr(message, self.key[0]))
        return "/".join(str(getattr(message, field)) for field in self.key)

    def partition_of(self, message: Message, home_of: Callable[[str], int]) -> int:
        """The partition where it belongs; `home_of` says that of a key."""
        return int(getattr(message, "partition")) if self.addressed else home_of(self.key_of(message))  # noqa: B009 - only addressed messages have it


TOPICS: tuple[Topic, ...] = (
    Topic(
        "order.intake",
        "order",
        ("order_id",),
        # A cancellation waits with the orders: it must not overtake the one that it is about.
        (order.OrderPlaced, order.CancelOrder),
        readers=("order",),
        open=True,
        begins=True,
    ),
    Topic(
        "order.repairs",
        "order",
        ("order_id",),
        (order.RetryStep, order.SkipStep, order.CompensateOrder),
        readers=("order",),
        open=True,
    ),
    Topic(
        "order.events",
        "order",
        ("order_id",),
        (
            order.OrderValidated,
            order.OrderRejected,
            order.PlacementRefused,
            order.OrderConfirmed,
            order.OrderBackordered,
            order.OrderShipped,
            order.OrderCompleted,
            order.OrderCancelled,
            order.CancellationRefused,
            order.StepRetried,
            order.StepSkipped,
            order.OrderTurnedBack,
            order.OrderRepairRefused,
        ),
    ),
    Topic(
        "inventory.commands",
        "order",
        ("location",),
        (inventory.ReserveStock, inventory.ReleaseStock, inventory.IssueStock),
        readers=("inventory",),
    ),
    Topic(
        "inventory.movements",
        "inventory",
        ("location",),
        (inventory.ReceiveStock, inventory.AdjustStock, inventory.TransferStock, inventory.ConfigureItem),
        readers=("inventory",),
        open=True,
        begins=True,
    ),
    Topic("inventory.transfers", "inventory", ("location",), (inventory.ReceiveTransfer,), readers=("inventory",)),
    Topic(
        "inventory.events",
        "inventory",
        ("order_id",),
        (
            inventory.StockReserved,
            inventory.StockBackordered,
            inventory.StockRejected,
            inventory.StockReleased,
            inventory.StockIssued,
        ),
        readers=("order",),
    ),
    Topic(
        "inventory.ledger",
        "inventory",
        ("location",),
        (
            inventory.StockReceived,
            inventory.StockAdjusted,
            inventory.StockTransferred,
            inventory.MovementRefused,
            inventory.ItemConfigured,
            inventory.StockLow,
        ),
    ),
    Topic("inventory.stock", "inventory", ("location", "sku"), (inventory.StockLevel,), compacted=True),
    Topic(
        "payment.commands",
        "order",
        ("order_id",),
        (payment.AuthorizePayment, payment.CapturePayment, payment.VoidPayment),
        readers=("payment",),
    ),
    Topic(
        "payment.events",
        "payment",
        ("order_id",),
        (
            payment.PaymentAuthorized,
            payment.PaymentDeclined,
            payment.PaymentCaptured,
            payment.PaymentVoided,
            payment.PaymentRefunded,
        ),
        readers=("order",),
    ),
    Topic(
        "fulfillment.commands",
        "order",
        ("order_id",),
        (fulfillment.FulfillOrder, fulfillment.CancelFulfillment),
        readers=("fulfillment",),
    ),
    Topic(
        "fulfillment.work",
        "fulfillment",
        ("order_id",),
        (fulfillment.ReportPicked, fulfillment.ReportShort, fulfillment.ReportPacked, fulfillment.ReportPutBack),
        readers=("fulfillment",),
        open=True,
    ),
    Topic(
        "fulfillment.events",
        "fulfillment",
        ("order_id",),
        (
            fulfillment.OrderPicked,
            fulfillment.OrderPacked,
            fulfillment.FulfillmentFailed,
            fulfillment.FulfillmentCancelled,
            fulfillment.ReportRefused,
        ),
        readers=("order",),
    ),
    Topic(
        "shipping.commands",
        "order",
        ("order_id",),
        (shipping.CreateShipment, shipping.CancelShipment),
        readers=("shipping",),
    ),
    Topic(
        "shipping.events",
        "shipping",
        ("order_id",),
        (
            shipping.ShipmentCreated,
            shipping.ShipmentRefused,
            shipping.ShipmentCancelled,
            shipping.ShipmentDispatched,
            shipping.ShipmentDelivered,
        ),
        readers=("order",),
    ),
    Topic(
        "repair.requests",
        EVERY_SERVICE,
        ("service", "partition"),
        (repair.ReleaseParked, repair.RetryDeadLetter, repair.DropDeadLetter, repair.AcceptGap),
        readers=SERVICES,
        open=True,
        addressed=True,
    ),
    Topic(
        "repair.results",
        EVERY_SERVICE,
        ("service", "partition"),
        (
            repair.ParkedReleased,
            repair.DeadLetterRetried,
            repair.DeadLetterDropped,
            repair.GapAccepted,
            repair.RepairRefused,
        ),
        addressed=True,
    ),
)

BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TOPICS}
MESSAGES: dict[str, type[Message]] = {model.__name__: model for topic in TOPICS for model in topic.messages}
TOPIC_OF: dict[type[Message], Topic] = {model: topic for topic in TOPICS for model in topic.messages}
HELD_IN_DOCUMENTS: tuple[type[Message], ...] = (order.OrderPlaced,)
"""The messages from open topics that services keep in their documents as they came. An older instance may have to read
what a newer one took."""
REPAIRS = BY_NAME["repair.requests"]
"""Every service listens to it, also a partition that takes nothing else because it stands still."""


def topics_read_by(service: str) -> tuple[str, ...]:
    """The names of the topics that a service listens to."""
    return tuple(topic.name for topic in TOPICS if service in topic.readers)
