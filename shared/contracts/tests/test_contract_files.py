"""Schemas, examples and AsyncAPI documents in the repository are in step with the models, and stay so."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from contracts.check import PROJECT, Kept, faults, main
from contracts.example import fault_of
from contracts.order import OrderPlaced
from contracts.topics import MESSAGES, SERVICES
from jsonschema import Draft7Validator, Draft202012Validator  # type: ignore[import-untyped] # it ships no types

KEPT = Kept(PROJECT)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the repository keeps, to do wrong to."""
    for part in ("shared/contracts/schemas", "shared/contracts/examples", "docs/asyncapi"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    return tmp_path


def edit(path: Path, *place: str, **changes: Any) -> None:  # noqa: ANN401 - JSON
    """Change an object in a JSON file; None removes what has the name."""
    document = json.loads(path.read_text())
    part = document
    for step in place:
        part = part[step]
    part.update(changes)
    for name in [name for name, value in changes.items() if value is None]:
        del part[name]
    path.write_text(json.dumps(document, indent=2) + "\n")


def schema_in(project: Path, name: str) -> Path:
    return project / "shared/contracts/schemas" / f"{name}.json"


def example_in(project: Path, name: str) -> Path:
    return project / "shared/contracts/examples" / f"{name}.json"


def test_everything_is_in_step_with_the_models() -> None:
    assert faults(KEPT) == [], "run `uv run python -m contracts.check --write`"


@pytest.mark.parametrize("name", MESSAGES)
def test_the_example_fits_the_schema(name: str) -> None:
    schema = json.loads(schema_in(PROJECT, name).read_text())
    Draft202012Validator.check_schema(schema)
    for example in KEPT.examples_of(name):
        Draft202012Validator(schema).validate(json.loads(example.read_text())["body"])


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        (("shipping_address",), "country", "ZZ"),
        ((), "currency", "ZZZ"),
        ((), "placed_at", "2024-05-01T12:00:00+01:00"),
        ((), "placed_at", "2024-05-01T12:00:00"),
        ((), "placed_at", "2024-05-01T12:00:00+00"),
        ((), "placed_at", "20240501"),
        ((), "placed_at", "1714564800Z"),
    ],
)
def test_what_a_validator_refuses_the_schema_refuses_too(
    copy: Path, place: tuple[str, ...], field: str, value: str
) -> None:
    example = example_in(copy, "OrderPlaced")
    edit(example, "body", *place, **{field: value})
    assert f"{field}: " in str(fault_of("OrderPlaced", example.read_text(), current=True))
    schema = json.loads(schema_in(PROJECT, "OrderPlaced").read_text())
    assert not Draft202012Validator(schema).is_valid(json.loads(example.read_text())["body"])


@pytest.mark.parametrize(
    "written", ["T12:00:00Z", "t12:00z", " 12:00:00.5-00:00", "T12:00:00+0000", "T12:00:00\u221200:00"]
)
def test_a_moment_that_a_validator_takes_the_schema_takes_too(copy: Path, written: str) -> None:
    example = example_in(copy, "OrderPlaced")
    edit(example, "body", placed_at=f"2024-05-01{written}")
    body = json.loads(example.read_text())["body"]
    OrderPlaced.model_validate_json(json.dumps(body))
    Draft202012Validator(json.loads(schema_in(PROJECT, "OrderPlaced").read_text())).validate(body)


@pytest.mark.parametrize("service", SERVICES)
def test_the_asyncapi_document_is_valid(service: str) -> None:
    specification = json.loads((Path(__file__).parent / "asyncapi-3.0.0.schema.json").read_text())
    document = json.loads((KEPT.asyncapi / f"{service}.json").read_text())
    assert [error.json_path for error in Draft7Validator(specification).iter_errors(document)] == []
    for message in document["components"]["messages"].values():
        if "$ref" in message["payload"]:
            assert (KEPT.asyncapi / message["payload"]["$ref"]).is_file()


def test_an_asyncapi_document_says_what_its_service_receives_and_sends() -> None:
    document = json.loads((KEPT.asyncapi / "fulfillment.json").read_text())
    assert set(document["operations"]) == {
        "receive.fulfillment.commands",
        "receive.fulfillment.work",
        "receive.repair.requests",
        "send.fulfillment.events",
        "send.fulfillment.work",
        "send.repair.requests",
        "send.repair.results",
        "send.fulfillment.commands.dead-letter",
        "send.fulfillment.work.dead-letter",
        "send.repair.requests.dead-letter",
    }
    reports = {"ReportPicked", "ReportShort", "ReportPacked", "ReportPutBack"}
    assert set(document["channels"]["fulfillment.work"]["messages"]) == reports


def test_a_copy_is_in_step_too(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], copy) == 0
    assert capsys.readouterr().out == ""


def test_a_break_is_reported_and_not_written(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The models lack what this schema promises: just as if somebody had removed the field from the model.
    edit(schema_in(copy, "OrderValidated"), "properties", priority={"type": "integer"})
    promised = schema_in(copy, "OrderValidated").read_text()
    for arguments in ([], ["--write"]):
        assert main(arguments, copy) == 1
        assert "OrderValidated.priority: the field was removed (a new reader" in capsys.readouterr().out
        assert schema_in(copy, "OrderValidated").read_text() == promised


def test_a_wider_range_is_a_break_where_documents_hold_the_message(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(schema_in(copy, "OrderPlaced"), "properties", "total", maximum=5)
    edit(schema_in(copy, "CancelOrder"), "properties", "reason", maxLength=5)
    assert main(["--write"], copy) == 1
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "OrderPlaced.total: maximum was 5, is 1000000000000 (an older instance cannot read documents that hold it)"
    ]


def test_a_declared_break_is_written_with_its_reason(copy: Path) -> None:
    edit(schema_in(copy, "OrderValidated"), "properties", priority={"type": "integer"})
    assert main(["--write", "--break", "nobody ever set it"], copy) == 0
    declared = json.loads((copy / "shared/contracts/breaks.json").read_text())
    (said,) = declared
    assert said.startswith("OrderValidated.priority: the field was removed")
    assert declared[said] == "nobody ever set it"
    assert main([], copy) == 0


def test_a_removed_message_is_a_break(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema_in(copy, "OrderBlessed").write_text(schema_in(copy, "OrderValidated").read_text())
    assert main(["--write"], copy) == 1
    assert "OrderBlessed: the message was removed" in capsys.readouterr().out
    assert main(["--write", "--break", "it was blasphemy"], copy) == 0
    assert not schema_in(copy, "OrderBlessed").exists()


def test_a_harmless_change_is_only_out_of_date_and_can_be_written(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # As if the models had learned an optional field.
    edit(schema_in(copy, "StockReserved"), "properties", missing=None)
    assert main([], copy) == 1
    assert capsys.readouterr().out == "StockReserved.json is out of date\n"
    assert main(["--write"], copy) == 0
    assert schema_in(copy, "StockReserved").read_text() == schema_in(PROJECT, "StockReserved").read_text()


def test_an_example_of_earlier_days_stays_and_must_remain_readable(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(example_in(copy, "StockReserved"), "body", missing=None)
    assert main([], copy) == 1
    assert "examples/StockReserved.json: it would be written differently now" in capsys.readouterr().out
    assert main(["--write"], copy) == 0
    earlier = example_in(copy, "StockReserved.1")
    assert "missing" not in json.loads(earlier.read_text())["body"]
    assert json.loads(example_in(copy, "StockReserved").read_text())["body"]["missing"] == []
    edit(earlier, "body", location="leeds")
    assert main([], copy) == 1
    assert "examples/StockReserved.1.json: it can no longer be read: location: " in capsys.readouterr().out


def test_an_example_of_earlier_days_is_never_overwritten(copy: Path) -> None:
    second = example_in(copy, "StockReserved.2")
    shutil.copy(example_in(copy, "StockReserved"), second)
    edit(second, "headers", ce_id="kept")
    edit(example_in(copy, "StockReserved"), "body", missing=None)
    kept = second.read_text()
    assert main(["--write"], copy) == 0
    assert second.read_text() == kept
    assert "missing" not in json.loads(example_in(copy, "StockReserved.3").read_text())["body"]


def test_an_example_of_a_message_that_is_gone_is_reported(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("OrderBlessed", "OrderBlessed.1"):
        shutil.copy(example_in(copy, "OrderValidated"), example_in(copy, name))
    assert main(["--write"], copy) == 1  # a person thought of them, and takes them away
    assert capsys.readouterr().out.splitlines() == [
        "examples/OrderBlessed.1.json belongs to no message",
        "examples/OrderBlessed.json belongs to no message",
    ]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"topic": "order.rumors"}, "there is no topic order.rumors any more"),
        ({"topic": "order.intake"}, "it can no longer be read: ce_type: "),
        ({"key": "webshop:1002"}, "it would be written differently now"),
    ],
)
def test_an_example_that_goes_elsewhere_is_reported(
    copy: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], fault: str
) -> None:
    edit(example_in(copy, "OrderValidated"), **changes)
    assert main([], copy) == 1
    assert f"examples/OrderValidated.json: {fault}" in capsys.readouterr().out


def test_an_example_of_another_message_is_reported(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(example_in(copy, "OrderCompleted"), example_in(copy, "OrderValidated"))
    assert main([], copy) == 1
    assert "examples/OrderValidated.json: it is a OrderCompleted" in capsys.readouterr().out


def test_what_is_missing_or_left_over_is_reported(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example_in(copy, "OrderPicked").unlink()
    schema_in(copy, "CancelOrder").unlink()
    (copy / "docs/asyncapi/billing.json").write_text("{}")
    assert main([], copy) == 1
    assert capsys.readouterr().out.splitlines() == [
        "CancelOrder.json is out of date",
        "billing.json belongs to no message or service",
        "examples/OrderPicked.json is missing",
    ]
    assert main(["--write"], copy) == 1  # an example has to be thought of
    assert capsys.readouterr().out.splitlines() == ["examples/OrderPicked.json is missing"]
