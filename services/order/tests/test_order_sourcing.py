"""Who is asked for stock, in which order."""

import pytest
from order.sourcing import Question, Routes, questions

ROUTE = ("LON", "MAN", "ROT")
WHOLE = [("LON", "refuse"), ("MAN", "refuse"), ("ROT", "refuse")]


@pytest.mark.parametrize(
    ("allow_split", "allow_backorder", "then"),
    [
        (False, False, []),
        (True, False, [("LON", "split"), ("MAN", "split"), ("ROT", "split")]),
        (False, True, [("ROT", "backorder")]),
        (True, True, [("LON", "split"), ("MAN", "split"), ("ROT", "backorder")]),
    ],
)
def test_everybody_is_asked_for_all_of_it_before_anybody_for_a_part(
    *, allow_split: bool, allow_backorder: bool, then: list[tuple[str, str]]
) -> None:
    asked = questions(ROUTE, allow_split=allow_split, allow_backorder=allow_backorder)
    assert [tuple(question) for question in asked] == WHOLE + then


def test_a_single_location_is_not_asked_to_split() -> None:
    assert questions(("LON",), allow_split=True, allow_backorder=False) == (Question("LON", "refuse"),)


def test_a_destination_without_a_route_of_its_own_takes_the_default() -> None:
    routes = Routes(ROUTE, {"DE": ("ROT",)})
    assert routes.to("DE") == ("ROT",)
    assert routes.to("GB") == ROUTE
