"""The tables of `docs/how-an-order-flows.md` agree with each other; `tests/integration` compares them with orders."""

import pytest

from tests.pages import ROOT, Page, names_in

PAGE = Page(ROOT / "docs" / "how-an-order-flows.md")

each_story = pytest.mark.parametrize("title", ["an order that is completed", "an order that is undone"])


@each_story
def test_the_messages_are_numbered_and_follow_their_causes(title: str) -> None:
    rows = PAGE.table_after(f"Messages of {title}")
    numbered = [number for number, *_ in rows if number]
    assert numbered == [str(place) for place in range(1, len(numbered) + 1)]
    messages = [message for _, message, *_ in rows]
    for place, (*_, cause) in enumerate(rows):
        assert all(messages.index(name) < place for name in names_in(cause) if name in messages)


@each_story
def test_what_is_said_follows_from_what_was_taken(title: str) -> None:
    causes = {message: set(names_in(cause)) for _, message, _, _, cause in PAGE.table_after(f"Messages of {title}")}
    for _, takes, _, says in PAGE.table_after(f"Writes of {title}"):
        for message in names_in(says):
            assert causes[message] & set(names_in(takes)) or message == "StockLevel"
