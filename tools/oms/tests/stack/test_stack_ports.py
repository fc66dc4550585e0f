import pytest
from oms.stack.ports import PortTakenError, accepts, claim, free_port


def test_names_the_taken_port_and_how_to_change_it(taken_port: int) -> None:
    with pytest.raises(PortTakenError) as refused:
        claim(taken_port, "Kafka", "--kafka-port")
    advice = str(refused.value)
    assert f"Port {taken_port} for Kafka is taken" in advice
    assert "oms down" in advice
    assert "--kafka-port" in advice
    assert "THROUGHLINE_KAFKA_PORT" in advice


def test_gives_a_port_that_nobody_listens_on() -> None:
    port = free_port()
    assert claim(port, "Redis", "--redis-port") == port


def test_never_gives_the_same_free_port_twice() -> None:
    ports = [claim(0, "Redis", "--redis-port") for _ in range(200)]
    assert len(set(ports)) == len(ports)


async def test_tells_a_port_that_listens_from_one_that_does_not(taken_port: int) -> None:
    assert await accepts(taken_port)
    assert not await accepts(free_port())
