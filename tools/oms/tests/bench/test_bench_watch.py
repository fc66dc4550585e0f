import pytest
from contracts.order import OrderCompleted, OrderConfirmed
from contracts.record import Record
from oms.bench.watch import Stalled, Watch


def placed(order: bytes, at_ms: int) -> Record:
    return Record("order.intake", 0, 0, at_ms, order, b"", ())


def event(order: bytes, at_ms: int, model: type = OrderCompleted) -> Record:
    return Record("order.events", 0, 0, at_ms, order, b"", (("ce_type", model.__name__.encode()),))


def test_throughput_is_from_the_first_order_placed_to_the_last_completed() -> None:
    watch = Watch()

    watch.see([placed(b"web:1", 1000), placed(b"web:2", 1500)])
    watch.see([event(b"web:1", 2000, OrderConfirmed), event(b"web:1", 2600), event(b"web:2", 3000)])

    assert watch.orders_per_s == 1.0


def test_an_order_is_completed_once_however_often_it_is_said() -> None:
    watch = Watch()

    watch.see([placed(b"web:1", 1000), event(b"web:1", 2000), event(b"web:1", 9000)])

    assert watch.completed_ms == {b"web:1": 2000}


async def test_waits_only_for_as_many_as_it_is_told() -> None:
    watch = Watch()
    watch.see([placed(b"web:1", 1000), event(b"web:1", 2000)])

    await watch.until(1)

    assert len(watch.completed_ms) == 1


async def test_says_how_far_it_came_when_nothing_happens_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.bench.watch.STALLED_S", 0.01)
    watch = Watch()
    watch.see([placed(b"web:1", 1000)])

    with pytest.raises(Stalled, match="0 of 1"):
        await watch.until(1)
