"""Whether what was ordered is what was sold: it is easy to be fast and lose an order, or sell what is not there."""

from collections import Counter
from collections.abc import Mapping

from contracts.message import Sku
from inventory.state import Stock
from pymongo import AsyncMongoClient

from oms.stack.process import until

WITHIN_S = 30.0
"""Documents follow the log by about a second, and by more under load."""


class Missold(Exception):  # noqa: N818 - named for what happened
    """The books of stock do not say what was ordered."""


async def check(mongo_url: str, ordered: Mapping[Sku, int]) -> None:
    """Wait until the books say that what was ordered has left, and make sure that nothing was sold twice.

    Raises Missold.
    """
    shipped: Counter[Sku] = Counter()
    short: list[str] = []
    async with AsyncMongoClient[dict[str, dict[str, int]]](mongo_url) as mongo:
        books = mongo["inventory"][Stock.kind]

        async def are_done() -> bool:
            shipped.clear()
            short.clear()
            async for one in books.find({}, {"body": 1}):
                level = Stock.model_validate(one["body"], strict=False)
                shipped[level.sku] += level.shipped
                if level.available < 0 or level.received != level.available + level.reserved + level.shipped:
                    short.append(level.id)
            return +shipped == Counter(ordered)

        if not await until(are_done, WITHIN_S) or short:
            wrong = [sku for sku in shipped.keys() | ordered.keys() if shipped[sku] != ordered.get(sku, 0)]
            raise Missold(f"oversold: {short[:3]}; sold {len(wrong)} items otherwise than ordered, such as {wrong[:3]}")
