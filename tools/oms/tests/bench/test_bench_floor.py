"""The floor says what the services say: the messages of the documentation's first table, and as long as they are."""

import re
from collections import Counter, defaultdict, deque
from pathlib import Path

from contracts.inventory import StockReserved
from contracts.message import Message
from contracts.order import OrderCompleted, OrderPlaced
from contracts.topics import SERVICES, TOPIC_OF
from oms.bench.floor import Answers
from oms.bench.orders import spread

PAGE = Path(__file__).parents[4] / "docs" / "how-an-order-flows.md"


def said_about_an_order(lines: int) -> list[Message]:
    """Everything, each message answered by the service that listens to it."""
    placed = next(spread(lines).orders("bench"))
    answers: defaultdict[str, Answers] = defaultdict(Answers)
    said: list[Message] = []
    waiting: deque[Message] = deque([placed])
    while waiting:
        message = waiting.popleft()
        said.append(message)
        for service in TOPIC_OF[type(message)].readers:
            assert service in SERVICES
            waiting.extend(answers[service].to(message))
    return said


def test_says_the_eighteen_messages_of_an_order_that_is_completed() -> None:
    table = PAGE.read_text().partition("## Messages of an order that is undone")[0]
    documented = re.findall(r"^\| \d+ \| (\w+) \|", table, re.MULTILINE)

    assert len(documented) == 18
    assert Counter(type(message).__name__ for message in said_about_an_order(3)) == Counter(documented)


def test_completes_an_order_once_for_what_it_costs() -> None:
    placed, *said = said_about_an_order(3)

    completed = [message for message in said if isinstance(message, OrderCompleted)]
    assert isinstance(placed, OrderPlaced)
    assert [message.captured for message in completed] == [placed.total]


def test_a_longer_order_makes_its_messages_longer() -> None:
    reserved = [message for message in said_about_an_order(19) if isinstance(message, StockReserved)]

    assert [len(message.lines) for message in reserved] == [19]


def test_remembers_nothing_of_an_order_that_is_done() -> None:
    answers = Answers()
    waiting: deque[Message] = deque([next(spread(3).orders("bench"))])
    while waiting:
        waiting.extend(answers.to(waiting.popleft()))

    assert vars(answers) == {"_placed": {}, "_reserved": {}}
