"""How the simulated carrier behaves."""

from datetime import date, timedelta

import pytest
from chassis.decision import Call
from contracts.message import CountryAlpha2, Currency
from contracts.shipping import Parcel, Recipient, ShippingMethod
from hypothesis import given
from hypothesis import strategies as st
from shipping.gateway import RATES, Simulator, tracking_number, working_days_after
from shipping.state import Booked, BookParcels, Cancelled, CancelParcels, Collected, Refused

FRIDAY = date(2026, 1, 9)


def simulator() -> Simulator:
    return Simulator(home_country="GB", currency=Currency("GBP"), slow=timedelta(0))


def booking(
    *,
    street: str = "High Street 1",
    postal_code: str = "LS1 1AA",
    country: str = "GB",
    method: ShippingMethod = "standard",
    units: tuple[int, ...] = (3,),
    tries: int = 0,
) -> BookParcels:
    return BookParcels(
        id="web:1001/1/1/book",
        tries=tries,
        recipient=Recipient(
            name="Ann", street=street, city="Leeds", postal_code=postal_code, country=CountryAlpha2(country)
        ),
        method=method,
        parcels=tuple(Parcel(location=f"WH-{place}", units=count) for place, count in enumerate(units)),
        ready_on=FRIDAY,
    )


async def booked(call: BookParcels) -> Booked:
    answer = await simulator().perform(call)
    assert isinstance(answer, Booked)
    return answer


async def test_books_every_parcel_under_a_number_of_its_own() -> None:
    parcels = (await booked(booking(units=(3, 1, 40)))).parcels
    assert [parcel.location for parcel in parcels] == ["WH-0", "WH-1", "WH-2"]
    assert len({parcel.tracking_number for parcel in parcels}) == 3
    assert [parcel.cost for parcel in parcels] == [425, 405, 795]
    assert {parcel.currency for parcel in parcels} == {"GBP"}


@pytest.mark.parametrize(
    ("method", "country", "carrier", "cost", "day"),
    [
        ("standard", "GB", "Parcel Post", 405, date(2026, 1, 14)),
        ("standard", "FR", "Parcel Post", 1220, date(2026, 1, 20)),
        ("express", "GB", "Swift Express", 915, date(2026, 1, 12)),
        ("express", "FR", "Swift Express", 3045, date(2026, 1, 14)),
        ("pickup", "GB", "Store Counter", 0, date(2026, 1, 12)),
    ],
)
async def test_charges_and_promises_by_method_and_distance(
    method: ShippingMethod, country: str, carrier: str, cost: int, day: date
) -> None:
    (parcel,) = (await booked(booking(method=method, country=country, units=(1,)))).parcels
    assert (parcel.carrier, parcel.cost, parcel.estimated_delivery) == (carrier, cost, day)


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 20))
def test_promises_no_delivery_at_the_weekend(day: date, days: int) -> None:
    arrives = working_days_after(day, days)
    assert days == 0 or arrives.weekday() < 5
    between = [day + timedelta(days=n + 1) for n in range((arrives - day).days)]
    assert sum(each.weekday() < 5 for each in between) == days


@given(st.text(), st.text())
def test_tracking_numbers_have_a_check_digit_and_do_not_meet(one: str, other: str) -> None:
    number = tracking_number(one, "GB")
    assert number[:2] == "TL"
    assert number[-2:] == "GB"
    assert len(number) == 21
    serial, check = number[2:18], int(number[18])
    total = sum(int(digit) * weight for digit, weight in zip(serial, [8, 6, 4, 2, 3, 5, 9, 7] * 2, strict=True))
    assert (total + check) % 11 == 0 or (check == 0 and total % 11 == 1) or (check == 5 and total % 11 == 0)
    assert (tracking_number(other, "GB") == number) == (one == other)


@pytest.mark.parametrize("street", ["High Street 1", "9 Slow Lane", "Lost Lane 3"])
async def test_answers_the_same_key_the_same_also_after_a_restart(street: str) -> None:
    assert await booked(booking(street=street, tries=1)) == await booked(booking(street=street, tries=2))


@pytest.mark.parametrize(
    ("call", "path", "code"),
    [
        (booking(postal_code="00000"), "recipient.postal_code", "undeliverable_address"),
        (booking(country="AQ"), "recipient.country", "no_service"),
        (booking(method="express", street="PO Box 7"), "recipient.street", "no_express_to_po_box"),
        (booking(method="express", street="c/o Ann, p.o.box 7"), "recipient.street", "no_express_to_po_box"),
    ],
)
async def test_refuses_what_cannot_be_delivered(call: BookParcels, path: str, code: str) -> None:
    answer = await simulator().perform(call)
    assert isinstance(answer, Refused)
    assert (answer.reason.path, answer.reason.code) == (path, code)


@pytest.mark.parametrize(
    "call",
    [
        booking(street="PO Box 7"),
        booking(method="express", street="Depot Boxer Road 1"),
        booking(method="pickup", country="AQ", postal_code="00000"),
    ],
)
async def test_takes_on_what_can_be_delivered_or_fetched(call: BookParcels) -> None:
    assert await booked(call)


async def test_calls_a_booking_off() -> None:
    assert await simulator().perform(CancelParcels(id="web:1001/1/1/cancel", tracking_numbers=("TL1",))) == Cancelled()


async def test_calls_nothing_off_that_was_fetched_at_once() -> None:
    parcels = (await booked(booking(street="3 Early Lane", units=(3, 1)))).parcels
    numbers = tuple(parcel.tracking_number for parcel in parcels)
    assert {number[:2] for number in numbers} == {"TE"}
    assert await simulator().perform(CancelParcels(id="web:1001/1/1/cancel", tracking_numbers=numbers)) == Collected()


async def test_is_slow_and_forgetful_when_the_street_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("shipping.gateway.asyncio.sleep", sleep)
    carrier = Simulator("GB", Currency("GBP"), timedelta(seconds=2))
    assert isinstance(await carrier.perform(booking(street="9 SLOW LANE")), Booked)
    with pytest.raises(TimeoutError):
        await carrier.perform(booking(street="Lost Lane 3"))
    assert isinstance(await carrier.perform(booking(street="Lost Lane 3", tries=1)), Booked)
    assert slept == [2, 2]


async def test_refuses_a_call_that_is_none_of_its_own() -> None:
    with pytest.raises(TypeError):
        await simulator().perform(Call(id="x"))


def test_every_method_has_a_rate_at_home_and_abroad() -> None:
    methods: tuple[ShippingMethod, ...] = ("standard", "express", "pickup")
    assert set(RATES) == {(method, abroad) for method in methods for abroad in (False, True)}
