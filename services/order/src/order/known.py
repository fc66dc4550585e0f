"""An order as the HTTP API reads it, which may be there only in a moment."""

from chassis.http.problem import Problem
from chassis.http.readable import once_readable
from chassis.ports import Reader

from order.state import Order


async def known_order(reader: Reader, order_id: str, wait_s: float = 0.0) -> Order:
    """The order, waiting until it is readable. Raises Problem if it is not by then."""
    order = await once_readable(lambda: reader.get(Order, order_id), wait_s)
    if order is None:
        waiting = f"`/orders/{order_id}?wait_s=5` waits for that"
        raise Problem(404, "Unknown order", f"An order is readable about a second after it was taken; {waiting}.")
    return order
