"""What the page about guarantees tells readers of the topics to count by is there to count by."""

from contracts.topics import BY_NAME, TOPICS
from contracts.wire import TEXT_HEADERS

from tests.pages import ROOT, Page, names_in

ROWS = Page(ROOT / "docs" / "guarantees.md").table_after("What counts a fact once")
HEADERS = {*TEXT_HEADERS, "ce_type"}
TOLD = [topic for topic in TOPICS if not topic.open and topic.name.rpartition(".")[2] not in {"commands", "transfers"}]
"""The topics that tell what happened, and do not ask for anything."""


def test_every_message_that_tells_of_a_fact_has_its_key() -> None:
    counted = [(topic, name) for row in ROWS for topic in names_in(row[0]) for name in names_in(row[1])]
    assert sorted(counted) == sorted((topic.name, model.__name__) for topic in TOLD for model in topic.messages)


def test_the_fields_of_a_key_are_in_each_of_its_messages() -> None:
    for row in ROWS:
        (topic,), names, key = names_in(row[0]), names_in(row[1]), names_in(row[2])
        for model in (model for model in BY_NAME[topic].messages if model.__name__ in names):
            assert key
            assert {*key} - HEADERS <= model.model_fields.keys(), model
