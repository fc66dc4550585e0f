"""What stands in the way of the local stack."""

import socket
from collections.abc import Iterator

import pytest
from oms.stack.ports import HOST


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]
