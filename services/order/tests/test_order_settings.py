"""An order service that is set wrongly says which variable is wrong, and why, and ends."""

import pytest
from order.settings import Settings


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("DEFAULT_ROUTE", '["LON", "MAN", "LON"]', "DEFAULT_ROUTE: "),
        ("ROUTES_BY_COUNTRY", '{"GB": ["LON"], "FR": ["MAN", "MAN"]}', "ROUTES_BY_COUNTRY.FR: "),
    ],
)
def test_a_route_that_names_a_location_twice_is_refused(
    variable: str, value: str, named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as end:
        Settings.from_environment()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith(named)
    assert "names a location twice" in said


def test_a_route_names_each_location_once_in_the_order_in_which_they_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULT_ROUTE", '["MAN", "LON"]')
    monkeypatch.setenv("ROUTES_BY_COUNTRY", '{"FR": ["LON", "MAN"]}')
    routes = Settings.from_environment().policy.routes
    assert (routes.default, routes.by_country) == (("MAN", "LON"), {"FR": ("LON", "MAN")})
