"""How entries and checkpoints are written in MongoDB."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

import bson
import cramjam
from bson.codec_options import CodecOptions
from pydantic_core import from_json

from chassis.decision import id_of
from chassis.entry import Change, Checkpoint, Entry, Outgoing, Past, Progress, place_in_ring

Raw = Mapping[str, Any]

CODEC: CodecOptions[Raw] = CodecOptions(tz_aware=True, tzinfo=UTC)
ZSTD_LEVEL = -1
"""zstd's level: the fastest ones have negative numbers."""


def place_of(partition: int, number: int) -> str:
    """The `_id` of an entry in the journal."""
    return f"{partition}/{place_in_ring(number):03d}"


def entries_of(partition: int) -> Raw:
    """Where the `_id` of an entry of this partition lies."""
    return {"$gte": f"{partition}/", "$lt": f"{partition}0"}  # "0" follows "/"


def raw_progress(progress: Progress) -> Raw:
    # As lists: topics and sources have dots, which MongoDB would take for paths.
    return {
        "positions": list(progress.positions.items()),
        "heard": [[topic, source, number] for (topic, source), number in progress.heard.items()],
        "sent": [[topic, partition, number] for (topic, partition), number in progress.sent.items()],
    }


def progress_of(raw: Raw) -> Progress:
    return Progress(
        positions=dict(raw["positions"]),
        heard={(topic, source): number for topic, source, number in raw["heard"]},
        sent={(topic, partition): number for topic, partition, number in raw["sent"]},
    )


def checkpoint_of(raw: Raw) -> Checkpoint:
    return Checkpoint(
        partition=raw["_id"],
        number=raw["number"],
        incarnation=raw["incarnation"],
        epoch=raw["epoch"],
        progress=progress_of(raw["progress"]),
        past=_past_of(raw.get("past")),
    )


def raw_checkpoint(checkpoint: Checkpoint) -> Raw:
    return {
        "_id": checkpoint.partition,
        "number": checkpoint.number,
        "incarnation": checkpoint.incarnation,
        "epoch": checkpoint.epoch,
        "progress": raw_progress(checkpoint.progress),
        "past": raw_past(checkpoint.past),
    }


def raw_past(past: Past | None) -> Raw | None:
    return {"since": past.since, "ends": list(past.ends.items())} if past else None


def _past_of(raw: Raw | None) -> Past | None:
    return Past(since=raw["since"], ends=dict(raw["ends"])) if raw else None


def raw_document(change: Change, partition: int) -> Raw:
    """A document as its collection has it."""
    return {
        "_id": id_of(change.key),
        "partition": partition,
        "entry": change.entry,
        "alarm": change.alarm,
        "due": change.due,
        "queued": change.queued,
        "trace": change.trace,
        "body": from_json(change.body),
    }


def stored_as(field: str) -> str:
    """Where a collection has a document's own field."""
    return "_id" if field == "id" else f"body.{field}"


def raw_entry(entry: Entry) -> Raw:
    return {
        "_id": place_of(entry.partition, entry.number),
        "number": entry.number,
        "writer": entry.writer,
        "progress": raw_progress(entry.progress),
        "content": _packed(
            {
                "changes": [[c.key, c.body, c.alarm, c.due, c.trace] for c in entry.changes],
                "outbox": [[r.topic, r.partition, r.key, r.value, r.headers] for r in entry.outbox],
            }
        ),
    }


def _packed(content: Raw) -> bytes:
    """Messages and documents of one batch are much alike: packed, they take a fraction of the space."""
    return bytes(cramjam.zstd.compress(bson.encode(content, codec_options=CODEC), level=ZSTD_LEVEL))


def content_of(raw: Raw) -> Raw:
    """The `changes` and the `outbox` of a stored entry."""
    return bson.decode(bytes(cramjam.zstd.decompress(raw["content"])), codec_options=CODEC)


def entry_of(raw: Raw) -> Entry:
    partition = int(raw["_id"].split("/", 1)[0])
    number = raw["number"]
    content = content_of(raw)
    return Entry(
        partition=partition,
        number=number,
        writer=raw["writer"],
        progress=progress_of(raw["progress"]),
        changes=tuple(
            Change(key, body, alarm, due, trace, number) for key, body, alarm, due, trace in content["changes"]
        ),
        outbox=tuple(
            Outgoing(topic, target, key, value, [(name, content) for name, content in headers])
            for topic, target, key, value, headers in content["outbox"]
        ),
    )
