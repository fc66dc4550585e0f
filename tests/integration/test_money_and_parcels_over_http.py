"""What the HTTP APIs of payment and shipping read from the real database."""

from collections.abc import Mapping
from typing import Any

import pypdfium2  # type: ignore[import-untyped] # it ships no types
import pytest
from contracts.order import OrderCompleted, OrderShipped
from payment.gateway import CAPTURE_FAILS

from tests.integration.shop import Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    """The provider refuses to capture for long enough to be looked at: 0.5, 1, 2 and 4 s."""
    return {"SIMULATOR_CAPTURE_FAILURES": "4"}


async def test_a_label_is_printed_of_every_parcel(shop: Shop, witness: Witness) -> None:
    address = {**shop.fields({})["shipping_address"], "name": "Ελένη 山田"}
    order = await shop.place({await shop.stocked(LON=1): 1}, shipping_address=address)
    shipped = await witness.hears(order, OrderShipped)

    shown: Any = await shop.reads(f"shipping/shipments/{order}", lambda shown: "shipments" in shown)

    (parcel,) = shown["shipments"][0]["parcels"]
    assert parcel["tracking_number"] == shipped.parcels[0].tracking_number
    label = await shop.http.get(shop.url(f"shipping{parcel['label']}"))
    text = pypdfium2.PdfDocument(label.content)[0].get_textpage().get_text_range()
    assert parcel["tracking_number"] in text
    assert "Eleni ShanTian" in text


async def test_a_payment_is_listed_as_failing_until_the_provider_does_its_duty(shop: Shop, witness: Witness) -> None:
    order = await shop.place({await shop.stocked(LON=1): 1}, payment_token=CAPTURE_FAILS)

    def of_order(page: Any) -> list[Any]:  # noqa: ANN401 - JSON
        return [payment for payment in page["payments"] if payment["order_id"] == order]

    page = await shop.reads("payment/payments?state=capturing&failing=true", lambda page: bool(of_order(page)))
    (payment,) = of_order(page)
    assert payment["failing"]["call"].startswith(f"{order}/1/1/capture")
    assert payment["failing"]["why"] == "try_again_later: the provider cannot capture now"
    assert payment["held"] > payment["captured"] == 0

    await witness.hears(order, OrderCompleted)
    await shop.reads("payment/payments?failing=true", lambda page: not of_order(page))


async def test_shipments_are_paged_through(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=3)
    orders = {await shop.place({mug: 1}) for _ in range(3)}
    for order in orders:
        await witness.hears(order, OrderShipped)
        await shop.reads(f"shipping/shipments/{order}", lambda shown: "shipments" in shown)

    seen: list[str] = []
    params: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await shop.http.get(shop.url("shipping/shipments"), params=params)).json()
        seen.extend(shipment["order_id"] for shipment in page["shipments"])
        if page["next"] is None:
            break
        params["cursor"] = page["next"]

    assert orders <= set(seen)
    assert len(set(seen)) == len(seen)
