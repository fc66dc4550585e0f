from collections.abc import Callable
from typing import Any

from contracts.inventory import MovementRefused, StockReceived
from contracts.message import Message, Reason, SkuQuantity
from oms.placing.shelves import Arrivals

Write = Callable[[Message], Any]


def received(movement_id: str, location: str) -> StockReceived:
    return StockReceived(movement_id=movement_id, location=location, lines=(SkuQuantity(sku="MUG", quantity=1),))


def test_waits_until_every_location_has_its_part(pen: Write) -> None:
    arrivals = Arrivals({"d/LON/1": "LON", "d/LON/2": "LON", "d/MAN/1": "MAN"})

    for movement, location in [("d/LON/1", "LON"), ("d/MAN/1", "MAN")]:
        assert arrivals.see(pen(received(movement, location)).record)

    assert arrivals.missing == ["LON"]
    assert arrivals.see(pen(received("d/LON/2", "LON")).record)
    assert not arrivals.awaited


def test_hears_each_part_once_and_nothing_of_other_deliveries(pen: Write) -> None:
    arrivals = Arrivals({"d/LON/1": "LON"})

    assert not arrivals.see(pen(received("other/LON/1", "LON")).record)
    assert not arrivals.see(pen(received("d/LON/1", "MAN")).record)
    assert arrivals.see(pen(received("d/LON/1", "LON")).record)
    assert not arrivals.see(pen(received("d/LON/1", "LON")).record)


def test_a_refused_part_is_answered_and_says_why(pen: Write) -> None:
    arrivals = Arrivals({"d/LON/1": "LON"})
    reason = Reason(path="lines[0].quantity", code="too_many", message="a book counts up to 10 units")

    arrivals.see(pen(MovementRefused(movement_id="d/LON/1", location="LON", reasons=(reason,))).record)

    assert arrivals.missing == []
    assert [refusal.reasons for refusal in arrivals.refused] == [(reason,)]
