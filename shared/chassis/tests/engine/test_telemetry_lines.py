"""Every line of a log is one JSON object, and those about a message name its order and its trace."""

import asyncio
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from chassis.backoff import Failing
from chassis.cause import Cause
from chassis.decision import Call, Document
from chassis.engine.trouble import about
from chassis.telemetry import configure_logging, is_telling, logger
from chassis.testing.world import World
from pydantic import BaseModel, ValidationError

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01".encode()}


@pytest.fixture(autouse=True)
def lines(silence: None, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    before = logging.getLogger().handlers[:]
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before
    logging.getLogger("throughline").setLevel(logging.NOTSET)


def read(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_line_is_one_object_whoever_writes_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("order", "info")
    logger(partition=3).info("two\nlines", odd="\u2028 \x00", number=1)
    logging.getLogger("aiokafka").warning("a library %s", "says\nsomething")
    try:
        int("no\nnumber")
    except ValueError as bug:
        logger().error("failed", exc_info=bug)
        logging.getLogger("pymongo").exception("failed too")
    written = read(capsys)
    assert [(line["event"], line["level"]) for line in written] == [
        ("two\nlines", "info"),
        ("a library says\nsomething", "warning"),
        ("failed", "error"),
        ("failed too", "error"),
    ]
    assert all(line["service"] == "order" and line["timestamp"].endswith("Z") for line in written)
    assert all("ValueError" in line["exception"] for line in written[2:])


def test_a_line_that_cannot_be_json_is_told_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("order", "info")
    logger().info("odd", value=object(), raw=b"\xff", half="\ud800", error=ValueError("x"), keys={1: 2})
    assert [line["event"] for line in read(capsys)] == ["odd"]


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("order", "warning")
    logger().info("nothing")
    assert not is_telling()
    configure_logging("order", "debug")
    assert is_telling()
    assert read(capsys) == []


@pytest.mark.parametrize("model", [Call, Document, Failing])
def test_an_error_in_what_is_remembered_does_not_repeat_what_was_to_be(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as wrong:
        model(id=["Ada"], call=["Ada"])
    assert "Input should be a valid string" in str(wrong.value)
    assert "Ada" not in str(wrong.value)


async def test_lines_about_a_message_name_its_order_and_its_trace(
    toys: SimpleNamespace, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("order", "debug")
    counter = toys.counter_with(gateway=SimpleNamespace(perform=None))
    good, sick, odd = toys.orders_on(world, 0, 3)
    process = world.start(counter)
    for order_id, reason in ((good, "call bank"), (good, "alarm 1"), (sick, "bug"), (sick, "waits")):
        world.send(toys.ask(order_id, reason), headers=TRACE)
    world.send(toys.ask(odd, "unreadable"), headers={**TRACE, "ce_type": b"Nothing"})
    await asyncio.sleep(4)
    await process.stop()
    written = read(capsys)
    about: dict[str, set[str]] = {}
    for line in written:
        if "order_id" in line:
            about.setdefault(line["order_id"], set()).add(line["event"])
            assert line["trace_id"] == TRACE_ID
    assert about == {
        good: {"decided", "outcome unknown"},
        sick: {"a bug; the order is parked", "dead letter"},
        odd: {"dead letter"},
    }
    assert not any("about" in line for line in written)
    decided = [(line["input"], line["said"]) for line in written if line["event"] == "decided"]
    assert ("CancelOrder", ["VoidPayment"]) in decided
    assert ("AlarmRang", []) in decided


def test_a_line_about_a_location_names_no_order() -> None:
    named = about(Cause(id="m-1", correlation_id="LON", traceparent=TRACE["traceparent"].decode()), 3)
    assert named == {"partition": 3, "about": "LON", "trace_id": TRACE_ID}
