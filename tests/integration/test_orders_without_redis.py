"""Services that were started while there was no Redis: it only makes answers faster, and orders go on without it."""

from collections.abc import Mapping

import pytest
from contracts.order import OrderCompleted
from oms.stack.ports import HOST, free_port

from tests.integration.shop import Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    """A Redis that nobody started."""
    return {"REDIS_URL": f"redis://{HOST}:{free_port()}/0"}


async def test_an_order_is_completed_and_shown_without_redis(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=3)

    order = await shop.place({mug: 2})

    await witness.hears(order, OrderCompleted)
    await witness.stands("LON", mug, available=1, shipped=2)
    await shop.reads(f"order/orders/{order}", lambda shown: shown.get("status") == "completed")
    await shop.reads(
        f"inventory/availability?sku={mug}", lambda page: [one["available"] for one in page["levels"]] == [1]
    )
