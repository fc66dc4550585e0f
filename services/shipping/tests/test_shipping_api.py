"""What people see of shipments."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import httpx
import pypdfium2  # type: ignore[import-untyped] # it ships no types
import pytest
from chassis.backoff import Backoff
from chassis.decision import Call, Unknown
from chassis.http.shell import create_app
from chassis.telemetry import Meters
from chassis.testing.stage import Rehearsal, Shelf
from contracts.message import CountryAlpha2, Currency, Reason
from contracts.shipping import CancelShipment, CreateShipment, Parcel, Recipient, TrackedParcel
from shipping.api import router
from shipping.decide import Policy, decider, needs
from shipping.state import Booked, BookParcels, Cancelled, Refused

SECOND = timedelta(seconds=1)
ANN = Recipient(name="Ann", street="High Street 1", city="Leeds", country=CountryAlpha2("GB"))


@pytest.fixture
def stage() -> Rehearsal:
    return Rehearsal(needs, decider(Policy(Backoff(SECOND, 60 * SECOND), 5 * SECOND, 10 * SECOND)))


@pytest.fixture
async def http(stage: Rehearsal) -> AsyncIterator[httpx.AsyncClient]:
    async def measure() -> None: ...

    shelf = Shelf(stage)
    app = create_app("shipping", "", [router(shelf, shelf)], lambda: (True, {}), measure, Meters())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shipping") as client:
        yield client


def create(number: int, attempt: int = 1) -> CreateShipment:
    parcels = (Parcel(location="LEEDS", units=3), Parcel(location="YORK", units=1))
    fields: dict[str, Any] = {"order_id": f"web:{number}", "revision": 1, "attempt": attempt}
    return CreateShipment(**fields, recipient=ANN, method="standard", parcels=parcels)


def cancel(number: int) -> CancelShipment:
    return CancelShipment(order_id=f"web:{number}", revision=1, attempt=1)


def carry(call: Call, number: str = "") -> Booked | Cancelled:
    if not isinstance(call, BookParcels):
        return Cancelled()
    return Booked(
        parcels=tuple(
            TrackedParcel(
                location=parcel.location,
                carrier="Parcel Post",
                tracking_number=number or f"TL{parcel.location}",
                cost=405,
                currency=Currency("GBP"),
                estimated_delivery=date(2026, 1, 9),
            )
            for parcel in call.parcels
        )
    )


async def test_shows_where_the_parcels_of_an_order_are(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(create(1))
    stage.answer(carry)
    stage.advance(5 * SECOND)
    stage.take(create(1, attempt=2), create(2))
    shown: dict[str, Any] = (await http.get("/shipments/web:1")).json()
    first, second = shown["shipments"]
    assert (first["state"], first["dispatched_at"], first["recipient"]["city"]) == (
        "dispatched",
        "2026-01-05T12:00:05Z",
        "Leeds",
    )
    assert first["parcels"][0] == {
        "location": "LEEDS",
        "carrier": "Parcel Post",
        "tracking_number": "TLLEEDS",
        "cost": 405,
        "currency": "GBP",
        "estimated_delivery": "2026-01-09",
        "units": 3,
        "label": "/shipments/web:1/labels/TLLEEDS.pdf",
    }
    assert (second["attempt"], second["state"], second["parcels"]) == (2, "booking", [])


async def test_says_why_the_carrier_refused(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(create(1))
    reason = Reason(path="recipient.country", code="no_service", message="no carrier goes there")
    stage.answer(lambda _: Refused(reason=reason))
    (shipment,) = (await http.get("/shipments/web:1")).json()["shipments"]
    assert (shipment["state"], shipment["refusal"]) == ("refused", reason.model_dump())


async def test_says_since_when_and_why_a_shipment_is_failing(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(create(1))
    stage.answer(lambda _: Unknown("no answer within 10 s"))
    stage.take(create(2), cancel(1))
    (shipment,) = (await http.get("/shipments", params={"failing": True})).json()["shipments"]
    assert (shipment["order_id"], shipment["cancel_wanted"]) == ("web:1", True)
    assert shipment["failing"] == {
        "call": "web:1/1/1/book",
        "since": "2026-01-05T12:00:00Z",
        "times": 1,
        "why": "no answer within 10 s",
        "again_at": "2026-01-05T12:00:01Z",
    }


async def test_pages_through_the_shipments_of_a_state(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(*(create(number) for number in range(10, 15)))
    stage.answer(carry)
    stage.take(create(15))
    seen: list[str] = []
    params = {"state": "booked", "limit": "2"}
    while True:
        page = (await http.get("/shipments", params=params)).json()
        assert len(page["shipments"]) <= 2
        seen.extend(shipment["order_id"] for shipment in page["shipments"])
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert seen == [f"web:{number}" for number in range(10, 15)]


async def test_prints_the_label_of_a_parcel(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(create(1))
    stage.answer(carry)
    (shipment,) = (await http.get("/shipments/web:1")).json()["shipments"]
    response = await http.get(shipment["parcels"][1]["label"])
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/pdf"
    text = pypdfium2.PdfDocument(response.content)[0].get_textpage().get_text_range()
    assert "TLYORK" in text
    assert "parcel 2 of 2 · units: 1" in text


@pytest.mark.parametrize("number", ["TL/1", "../1", "TL 1?%2F#~{`}"])
async def test_prints_the_label_of_a_parcel_whatever_characters_its_number_has(
    stage: Rehearsal, http: httpx.AsyncClient, number: str
) -> None:
    stage.take(create(1))
    stage.answer(lambda call: carry(call, number))
    (shipment,) = (await http.get("/shipments/web:1")).json()["shipments"]
    response = await http.get(shipment["parcels"][0]["label"])
    assert response.status_code == 200
    assert number in pypdfium2.PdfDocument(response.content)[0].get_textpage().get_text_range()


async def test_a_number_that_no_barcode_can_be_made_of_is_refused(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(create(1))
    stage.answer(lambda call: carry(call, "Ж-1"))
    (shipment,) = (await http.get("/shipments/web:1")).json()["shipments"]
    response = await http.get(shipment["parcels"][0]["label"])
    assert (response.status_code, response.json()["title"]) == (422, "No barcode")
    assert [error["path"] for error in response.json()["errors"]] == ["tracking_number"]


async def test_there_is_no_label_before_the_carrier_has_answered_nor_after_it_refused(
    stage: Rehearsal, http: httpx.AsyncClient
) -> None:
    stage.take(create(1))
    assert (await http.get("/shipments/web:1/labels/TLLEEDS.pdf")).status_code == 404
    stage.answer(lambda _: Refused(reason=Reason(path="recipient", code="undeliverable", message="nobody goes there")))
    assert (await http.get("/shipments/web:1/labels/TLLEEDS.pdf")).status_code == 404


async def test_prints_no_label_for_a_parcel_that_is_not_to_be_sent(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(create(1))
    stage.answer(carry)
    stage.take(cancel(1))
    stage.answer(carry)
    (shipment,) = (await http.get("/shipments/web:1")).json()["shipments"]
    assert shipment["parcels"][0]["label"] is None
    assert (await http.get("/shipments/web:1/labels/TLLEEDS.pdf")).status_code == 410


async def test_shows_what_was_cancelled_before_it_was_asked_for(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(cancel(1))
    (shipment,) = (await http.get("/shipments/web:1")).json()["shipments"]
    assert (shipment["state"], shipment["recipient"]) == ("cancelled", None)


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/shipments/web:404", 404, None),
        ("/shipments/web:404/labels/TL1.pdf", 404, None),
        ("/shipments/web:1/labels/TL1.pdf", 404, None),
        ("/shipments/no-such-id", 422, "order_id"),
        ("/shipments/no-such-id/labels/TL1.pdf", 422, "order_id"),
        ("/shipments?state=lost", 422, "state"),
        ("/shipments?limit=0", 422, "limit"),
    ],
)
async def test_names_what_is_wrong_with_a_request(
    stage: Rehearsal, http: httpx.AsyncClient, path: str, status: int, field: str | None
) -> None:
    stage.take(create(1))
    stage.answer(carry)
    response = await http.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["path"] for error in response.json().get("errors", [])] == ([field] if field else [])
