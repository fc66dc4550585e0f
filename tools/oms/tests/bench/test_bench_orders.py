import json
from itertools import islice
from pathlib import Path

import pytest
from oms.bench.orders import HOT, NoOrders, from_file, hot, spread


def test_ordinary_orders_are_spread_over_all_items_and_add_up() -> None:
    orders = [*islice(spread(3).orders("bench"), 600)]

    assert len({line.sku for order in orders for line in order.lines}) == 300
    assert len({order.order_id for order in orders}) == 600
    assert {len(order.lines) for order in orders} == {3}
    assert all(order.total == 300 + sum(line.quantity * line.unit_price for line in order.lines) for order in orders)


def test_with_a_hot_item_every_order_takes_it_and_is_as_large_as_before() -> None:
    ordinary, hottest = ([*islice(some.orders("bench"), 300)] for some in (spread(3), hot(3)))

    assert all(order.lines[0].sku == HOT for order in hottest)
    assert [order.total for order in hottest] == [order.total for order in ordinary]
    assert [order.lines[1:] for order in hottest] == [order.lines[1:] for order in ordinary]


def test_counts_what_the_first_orders_want() -> None:
    wanted = hot(1).wanted("bench", 4)

    assert wanted == {HOT: sum(order.lines[0].quantity for order in islice(hot(1).orders("bench"), 4))}


def test_has_plenty_of_everything_that_is_ordered() -> None:
    assortment = spread(2)

    assert assortment.plenty().keys() == assortment.wanted("bench", 300).keys()


def test_takes_the_baskets_of_real_orders_and_nothing_else_of_them(tmp_path: Path) -> None:
    line = {"sku": "84947", "quantity": 72, "unit_price": 106}
    file = tmp_path / "orders.ndjson"
    file.write_text(
        json.dumps({"channel": "shop", "number": "1", "lines": [line], "payment_token": "tok_declined_x"})
        + "\n"
        + json.dumps({"channel": "shop", "number": "2", "lines": [line, line | {"sku": "21326"}]})
        + "\n"
        + json.dumps({"channel": "shop", "number": "3", "lines": [line | {"quantity": 0}]})
        + "\n"
    )

    real = from_file(file)
    orders = [*islice(real.orders("bench"), 3)]

    assert real.lines_per_order == 1.5
    assert [len(order.lines) for order in orders] == [2, 1, 2]
    assert {order.payment_token for order in orders} == {"tok_ok"}


@pytest.mark.parametrize("content", ["", '{"lines": []}\n', "no JSON\n"])
def test_a_file_without_orders_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "orders.ndjson"
    file.write_text(content)

    with pytest.raises(NoOrders):
        from_file(file)
