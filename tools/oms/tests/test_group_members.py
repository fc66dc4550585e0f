"""How many instances run is what Kafka knows, and not what a coordinator says that does not know it yet."""

from types import SimpleNamespace
from typing import Any

import pytest
from oms import log
from oms.connection import Unreachable
from oms.log import GROUP_ID_NOT_FOUND, LogReader

COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR = 14, 16


def answering(error_code: int, *members: str) -> type[Any]:
    """Kafka's administration, of which a group is asked for."""

    class Admin:
        def __init__(self, **options: object) -> None:
            self.brokers = options["bootstrap_servers"]

        async def start(self) -> None: ...

        async def close(self) -> None: ...

        async def describe_consumer_groups(self, names: list[str]) -> list[object]:
            group = (error_code, names[0], "Stable", "consumer", "range", [*members])
            return [SimpleNamespace(groups=[group])]

    return Admin


@pytest.mark.parametrize(
    ("error_code", "members", "running"), [(0, ("a", "b"), 2), (0, (), 0), (GROUP_ID_NOT_FOUND, (), 0)]
)
async def test_counts_the_members_of_a_group(
    monkeypatch: pytest.MonkeyPatch, error_code: int, members: tuple[str, ...], running: int
) -> None:
    monkeypatch.setattr(log, "AIOKafkaAdminClient", answering(error_code, *members))
    assert await LogReader("kafka:1").members("order") == running


@pytest.mark.parametrize("error_code", [COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR])
async def test_a_coordinator_that_does_not_know_is_no_answer(monkeypatch: pytest.MonkeyPatch, error_code: int) -> None:
    monkeypatch.setattr(log, "AIOKafkaAdminClient", answering(error_code))
    with pytest.raises(Unreachable, match="kafka:1"):
        await LogReader("kafka:1").members("order")
