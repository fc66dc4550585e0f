"""How topics are made: nothing on them may be lost, and what is needed later is kept."""

import pytest
from chassis.limits import LARGEST_RECORD_BYTES
from contracts.topics import TOPICS
from oms import setup
from oms.cli import app
from oms.setup import OURS, Created, _new_topics
from typer.testing import CliRunner

KAFKAS_LARGEST_RECORD = 1_048_588
DEAD_LETTERS = {topic.dead_letter for topic in TOPICS if topic.readers}
OPEN = {topic.name for topic in TOPICS if topic.open}
COMPACTED = {topic.name for topic in TOPICS if topic.compacted}


def configurations(replicas: int) -> dict[str, dict[str, str]]:
    made = _new_topics(7, replicas)
    assert {(topic.num_partitions, topic.replication_factor) for topic in made} == {(7, replicas)}
    return {topic.name: topic.topic_configs for topic in made}


def test_every_topic_is_made_and_one_for_dead_letters_where_somebody_reads_it() -> None:
    assert set(configurations(1)) == {topic.name for topic in TOPICS} | DEAD_LETTERS
    assert set(configurations(1)) <= OURS


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (5, "4")])
def test_what_is_acknowledged_is_on_all_replicas_but_one(replicas: int, in_sync: str) -> None:
    assert {one["min.insync.replicas"] for one in configurations(replicas).values()} == {in_sync}


def test_records_are_kept_for_ever_unless_only_the_last_of_each_key_counts() -> None:
    assert {"inventory.stock"} == COMPACTED
    for name, configuration in configurations(3).items():
        kept = {key: configuration.get(key) for key in ("retention.ms", "cleanup.policy")}
        if name in COMPACTED:
            assert kept == {"retention.ms": None, "cleanup.policy": "compact"}
        else:
            assert kept == {"retention.ms": "-1", "cleanup.policy": None}, name


def test_what_a_service_says_and_dead_letters_may_be_larger_than_what_others_may_write() -> None:
    largest = {name: one.get("max.message.bytes") for name, one in configurations(3).items()}
    assert {largest[name] for name in OPEN} == {None}  # as Kafka has it
    assert {largest[name] for name in set(largest) - OPEN} == {str(LARGEST_RECORD_BYTES)}
    assert largest.keys() - OPEN >= DEAD_LETTERS
    assert LARGEST_RECORD_BYTES > KAFKAS_LARGEST_RECORD


@pytest.mark.parametrize(("variable", "partitions"), [(None, None), ("", None), ("1", 1)])
def test_the_environment_may_say_how_many_partitions_and_says_nothing_by_an_empty_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, partitions: int | None
) -> None:
    asked: list[int | None] = []

    async def create_topics(_brokers: str, partitions: int | None, _replicas: int) -> Created:
        asked.append(partitions)
        return Created([], [])

    monkeypatch.setattr(setup, "create_topics", create_topics)

    done = CliRunner(env={"PARTITIONS": variable}).invoke(app, ["setup", "--brokers", "kafka:1"])

    assert (done.exit_code, asked) == (0, [partitions])
