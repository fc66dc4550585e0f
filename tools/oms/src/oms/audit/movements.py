"""Every movement of stock that was asked for was booked or refused, or is still to be taken.

So stock that one location sent to another arrives there: a transfer asks the other location to receive it.
"""

from collections.abc import Iterator

from contracts.inventory import (
    AdjustStock,
    MovementRefused,
    ReceiveStock,
    ReceiveTransfer,
    StockAdjusted,
    StockReceived,
    StockTransferred,
    TransferStock,
)

from oms.audit.finding import Waiting
from oms.history import Logged

Asked = ReceiveStock | ReceiveTransfer | AdjustStock | TransferStock
Booked = StockReceived | StockAdjusted | StockTransferred | MovementRefused


class Movements:
    """Takes the movements and the ledger of the inventory service, in any order."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], str] = {}
        self._booked: set[tuple[str, str]] = set()

    def take(self, logged: Logged) -> None:
        message = logged.message
        if isinstance(message, Asked):
            self._asked.setdefault((message.location, message.movement_id), logged.place)
        elif isinstance(message, Booked):
            self._booked.add((message.location, message.movement_id))

    def conclude(self) -> Iterator[Waiting]:
        """What is still to be booked."""
        for (location, movement_id), place in self._asked.items():
            if (location, movement_id) not in self._booked:
                yield Waiting(f"movement {movement_id}", "not booked", f"{location} has not booked it yet: {place}")
