"""A system of its own for the fuzzers: what they leave behind would be in the way of other tests."""

from collections.abc import AsyncIterator

import pytest_asyncio
from oms.stack.local import Ports
from oms.system import Plan, System, running

from tests.integration.services import QUICK


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system() -> AsyncIterator[System]:
    """Kafka, MongoDB, Redis and the five services as processes of this machine."""
    async with running(Plan(Ports.free(), http_port=0, settings=QUICK), lambda _: None) as started:
        yield started
