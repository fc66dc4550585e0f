import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from contracts.message import Message, Reason
from contracts.order import CancelOrder, OrderCompleted, OrderConfirmed, OrderPlaced, OrderValidated, PlacementRefused
from contracts.record import Record
from contracts.wire import decode
from oms.cli import app
from oms.commands import place as command
from oms.placing import orders_file, sending
from oms.placing.orders_file import BadLine, Line
from oms.placing.place import Tally, send
from oms.placing.sending import Letter, Sender
from typer.testing import CliRunner

Write = Callable[[Message], Any]
AN_ORDER = b'{"channel": "web", "number": "1"}'


class Post(Sender):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__("nowhere")
        self.sent: list[Letter] = []

    async def send(self, message: Letter) -> None:
        self.sent.append(message)

    async def flush(self) -> None:
        """Nothing is on its way."""


async def each(lines: Sequence[Line | BadLine]) -> AsyncIterator[Line | BadLine]:
    for line in lines:
        yield line


async def sent_of(text: bytes, model: type[Message] = OrderPlaced) -> tuple[list[Letter], list[BadLine], Tally]:
    post, bad, tally = Post(), list[BadLine](), Tally()
    lines = list(orders_file.read(text.splitlines()))
    await send(each(lines), post, model, on_sent=tally.placed, on_bad=bad.append)
    return post.sent, bad, tally


def completed(order_id: str, revision: int = 1) -> OrderCompleted:
    return OrderCompleted(order_id=order_id, revision=revision, captured=1, currency="GBP")


def dead_letter(letter: Letter) -> Record:
    return Record("order.intake.dead-letter", 0, 0, 0, letter.key, letter.value, letter.headers)


async def test_sends_each_line_as_it_came_by_the_key_of_its_order() -> None:
    [letter], bad, _ = await sent_of(AN_ORDER)

    assert (letter.topic, letter.key, letter.value) == ("order.intake", b"web:1", AN_ORDER)
    assert bad == []


async def test_sends_the_first_line_without_the_mark_that_some_programs_begin_a_text_with() -> None:
    sent, bad, _ = await sent_of(b"\xef\xbb\xbf" + AN_ORDER + b"\n" + AN_ORDER)

    assert [letter.value for letter in sent] == [AN_ORDER, AN_ORDER]
    assert bad == []


async def test_sends_messages_that_the_services_can_read(placed: Callable[..., OrderPlaced]) -> None:
    order = placed("1")
    [letter], _, _ = await sent_of(order.model_dump_json().encode())

    envelope = decode(Record(letter.topic, 0, 0, 0, letter.key, letter.value, letter.headers))

    assert envelope.message == order
    assert (envelope.id, envelope.source, envelope.sequence) == (letter.id, "oms", None)


async def test_leaves_it_to_the_order_service_whether_an_order_makes_sense() -> None:
    [letter], bad, _ = await sent_of(b'{"channel": 5, "lines": "none"}')

    assert letter.key is None
    assert bad == []


async def test_names_the_lines_that_are_no_json_object_and_sends_the_others() -> None:
    text = b"\n".join([AN_ORDER, b"{", b"", b"[1]", AN_ORDER])

    sent, bad, _ = await sent_of(text)

    assert len(sent) == 2
    assert [line.number for line in bad] == [2, 4]
    assert bad[0].reason.startswith("no JSON: ")
    assert bad[1].reason == "expected a JSON object, one order a line"


@pytest.mark.parametrize(
    "fields",
    [{"number": "1", "note": "x" * sending.MOST_BYTES}, {"number": "1" * (sending.MOST_BYTES // 2)}],
    ids=["body", "body and key"],
)
async def test_does_not_send_what_kafka_would_not_take(fields: dict[str, str]) -> None:
    sent, [bad], tally = await sent_of(json.dumps({"channel": "web", **fields}).encode())

    assert sent == []
    assert "more than Kafka takes" in bad.reason
    assert tally.open == []


async def test_keys_cancellations_by_the_order_they_name() -> None:
    [letter], _, _ = await sent_of(b'{"order_id": "web:1", "reason": "r", "requested_by": "Ada"}', CancelOrder)

    assert letter.key == b"web:1"
    assert dict(letter.headers)["ce_type"] == b"CancelOrder"


async def test_sends_no_faster_than_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waits = [0.0], list[float]()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: now[0])

    async def sleep(delay: float) -> None:
        waits.append(delay)
        now[0] += max(0.0, delay)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    lines = list(orders_file.read([AN_ORDER] * 5))
    await send(each(lines), Post(), OrderPlaced, rate=10, on_sent=lambda *_: None, on_bad=lambda _: None)

    assert now[0] == pytest.approx(0.4)
    assert len(waits) == 5


async def test_follows_each_order_to_its_end(pen: Write) -> None:
    _, _, tally = await sent_of(AN_ORDER)
    validated = OrderValidated(order_id="web:1", revision=1, total=1, currency="GBP", route=("LON",))

    assert tally.states == {"placed": 1}
    assert tally.see(pen(validated).record)
    assert tally.open == ["web:1"]
    assert tally.see(pen(completed("web:1")).record)
    assert tally.open == []
    assert tally.states == {"completed": 1}


async def test_an_event_that_comes_again_after_later_ones_changes_nothing(pen: Write) -> None:
    """As when a process that had lost its partition unknown to itself still publishes what its successor has."""
    _, _, tally = await sent_of(AN_ORDER)
    confirmed = pen(OrderConfirmed(order_id="web:1", revision=1, allocations=())).record

    assert tally.see(confirmed)
    assert tally.see(pen(completed("web:1")).record)
    assert not tally.see(confirmed)
    assert tally.states == {"completed": 1}


async def test_passes_over_other_peoples_orders(pen: Write) -> None:
    _, _, tally = await sent_of(AN_ORDER)

    assert not tally.see(pen(completed("web:2")).record)
    assert tally.states == {"placed": 1}


async def test_takes_a_refused_placing_for_the_end_only_of_an_order_that_is_not_under_way(pen: Write) -> None:
    refused = PlacementRefused(
        order_id="web:1", revision=1, reason=Reason(path="", code="other_content", message="different")
    )
    _, _, known_before = await sent_of(AN_ORDER)
    _, _, under_way = await sent_of(AN_ORDER)
    under_way.see(pen(OrderValidated(order_id="web:1", revision=1, total=1, currency="GBP", route=("LON",))).record)

    known_before.see(pen(refused).record)
    under_way.see(pen(refused).record)

    assert known_before.states == {"refused": 1}
    assert under_way.states == {"validated": 1}


@pytest.mark.parametrize("again", [b"", b', "revision": 1'], ids=["the first again", "the first again by its number"])
async def test_what_becomes_of_an_earlier_placing_is_not_what_becomes_of_the_newest(pen: Write, again: bytes) -> None:
    first, second = AN_ORDER[:-1] + again + b"}", b'{"channel": "web", "number": "1", "revision": 2}'
    letters, _, tally = await sent_of(b"\n".join([first, second, first]))

    assert not tally.see(pen(completed("web:1")).record)
    assert not tally.see(dead_letter(letters[0]))
    assert tally.states == {"placed": 1}
    assert tally.see(pen(completed("web:1", revision=2)).record)
    assert tally.states == {"completed": 1}


async def test_an_order_that_came_to_an_end_is_under_way_again_when_it_is_placed_anew(pen: Write) -> None:
    _, _, tally = await sent_of(AN_ORDER)
    tally.see(pen(completed("web:1")).record)

    tally.placed(Line(2, b"", {"channel": "web", "number": "1", "revision": 2}), "m-2")

    assert tally.open == ["web:1"]
    assert not tally.afresh().see(pen(completed("web:1")).record)


@pytest.mark.parametrize("revision", ["2", 0, 2_000_000, None, True])
async def test_what_is_no_revision_is_taken_for_the_first_as_the_order_service_does(
    pen: Write, revision: object
) -> None:
    _, _, tally = await sent_of(json.dumps({"channel": "web", "number": "1", "revision": revision}).encode())

    assert tally.see(pen(completed("web:1")).record)


async def test_knows_an_order_that_became_a_dead_letter_by_its_message() -> None:
    [letter], _, tally = await sent_of(b'{"lines": []}')

    assert tally.see(dead_letter(letter))
    assert tally.states == {"dead letter": 1}
    assert tally.open == []


async def test_a_strangers_dead_letter_with_a_header_without_a_value_is_passed_over() -> None:
    [letter], _, tally = await sent_of(AN_ORDER)
    nameless = [("ce_id", None)]

    assert not tally.see(replace(dead_letter(letter), headers=nameless))  # type: ignore[arg-type] # Kafka lets null be
    assert tally.open == ["web:1"]


async def test_a_line_whose_id_is_no_text_is_named_and_the_others_are_sent() -> None:
    letters, bad, _ = await sent_of(b'{"channel": "w\\ud800", "number": "1"}\n' + AN_ORDER)

    assert [letter.key for letter in letters] == [b"web:1"]
    assert bad == [BadLine(1, "what should be the order's id is not text")]


def test_a_pipe_that_is_silent_does_not_keep_the_command_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    out, into = os.pipe()
    silence = Timer(10, os.close, [into])  # or a command that waits would never fail here
    silence.start()
    heard: list[Line | BadLine] = []

    async def read_all() -> None:
        async for line in command.lines_of(Path("-")):
            heard.append(line)  # noqa: PERF401 - what is heard before the time-out counts

    with os.fdopen(out) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        os.write(into, AN_ORDER + b"\n")
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(read_all(), 0.5))
        assert [line.body for line in heard if isinstance(line, Line)] == [AN_ORDER]
        assert silence.is_alive()
        silence.cancel()
        os.close(into)


def test_what_others_wrote_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    sent = command.Sent()
    sent.on_sent(Line(1, b"", {"channel": "web", "number": "[/b]"}), "m-1")
    sent.bad.append(BadLine(2, "no JSON: 1:x:2"))

    command.report(sent, "orders", followed=True, as_json=False)

    said = capsys.readouterr().err
    assert "came to no end so far: web:[/b]" in said
    assert "no JSON: 1:x:2" in said


class NoTopics:
    """A producer at a Kafka that nobody has set up."""

    def __init__(self, **_: object) -> None:
        self.client = self

    async def start(self) -> None:
        """It answers."""

    async def stop(self) -> None:
        """Nothing is on its way."""

    async def fetch_all_metadata(self) -> ClusterMetadata:
        return ClusterMetadata()


@pytest.mark.parametrize("command", [["place"], ["cancel", "--file"]])
def test_says_that_there_is_no_topic_to_send_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    file = tmp_path / "lines.ndjson"
    file.write_bytes(b'{"channel": "web", "number": "1", "order_id": "web:1"}')
    monkeypatch.setattr(sending, "AIOKafkaProducer", NoTopics)

    done = CliRunner().invoke(app, [*command, str(file), "--brokers", "kafka:1"])

    assert done.exit_code == 2
    assert "Kafka at kafka:1 has no topic order.intake: run `oms setup`" in done.stderr
