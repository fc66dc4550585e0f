"""How deliveries are called that come again."""

import re
from pathlib import Path

import pytest
from oms.cli import app
from oms.connection import Unreachable
from oms.placing import shelves
from typer.testing import CliRunner


@pytest.fixture
def stock(tmp_path: Path) -> str:
    file = tmp_path / "stock.csv"
    file.write_text("location,sku,quantity\nLON,MUG,5\n")
    return str(file)


@pytest.fixture
def deliveries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of those that were begun; each breaks off."""
    begun: list[str] = []

    async def deliver(_brokers: str, _rows: object, delivery: str, **_: object) -> None:
        begun.append(delivery)
        raise Unreachable("Kafka went away")

    monkeypatch.setattr(shelves, "deliver", deliver)
    return begun


def test_another_delivery_of_the_same_that_broke_off_can_be_gone_on_with(stock: str, deliveries: list[str]) -> None:
    command = ["stock", "load", stock, "--brokers", "kafka:1"]

    broken_off = CliRunner().invoke(app, [*command, "--again"])
    (told,) = re.findall(r"go on with (--delivery \S+)", broken_off.stderr)
    CliRunner().invoke(app, [*command, *told.split()])

    first, second = deliveries
    assert first == second
    assert broken_off.exit_code == 2


@pytest.mark.parametrize("name", ["", "a/b", "x" * 65, "\n"])
def test_a_delivery_has_a_name_that_fits_into_those_of_its_movements(
    stock: str, deliveries: list[str], name: str
) -> None:
    done = CliRunner().invoke(app, ["stock", "load", stock, "--brokers", "kafka:1", "--delivery", name])

    assert (done.exit_code, deliveries) == (2, [])
    assert "Invalid value for '--delivery'" in done.stderr
