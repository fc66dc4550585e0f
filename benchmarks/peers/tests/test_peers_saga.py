from peers.saga import LINES, STAGES, STEPS, do, order, orders


def test_the_saga_validates_then_reserves_beside_authorizing_then_fulfills_ships_and_captures() -> None:
    assert STAGES == (("validate",), ("reserve", "authorize"), ("fulfill",), ("ship",), ("capture",))
    assert STEPS == ("validate", "reserve", "authorize", "fulfill", "ship", "capture")


def test_each_order_has_its_own_number_and_as_many_lines_as_ours() -> None:
    some = orders("backlog", 3)
    assert [one["order_id"] for one in some] == ["backlog-000000", "backlog-000001", "backlog-000002"]
    assert {len(one["lines"]) for one in some} == {LINES} == {3}


def test_a_step_answers_for_the_order_that_it_was_asked_about() -> None:
    done = do("ship", order("backlog", 7))
    assert done == {"order_id": "backlog-000007", "step": "ship", "units": 6, "amount": 6 * 1999}
