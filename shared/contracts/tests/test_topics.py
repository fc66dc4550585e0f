"""The table of topics holds together."""

import pytest
from contracts.message import FromOutside, Message, SagaStep
from contracts.repair import DropDeadLetter
from contracts.topics import BY_NAME, EVERY_SERVICE, MESSAGES, REPAIRS, SERVICES, TOPICS, Topic, topics_read_by

each_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)


def test_a_message_is_on_one_topic_only() -> None:
    models = [model for topic in TOPICS for model in topic.messages]
    assert len({model.__name__ for model in models}) == len(models)
    assert len(BY_NAME) == len(TOPICS)


@each_topic
def test_every_message_has_the_fields_of_its_key(topic: Topic) -> None:
    for model in topic.messages:
        assert all(field in model.model_fields or hasattr(model, field) for field in topic.key)


@each_topic
def test_what_comes_from_outside_comes_on_open_topics(topic: Topic) -> None:
    assert {issubclass(model, FromOutside) for model in topic.messages} == {topic.open}


@pytest.mark.parametrize("model", [model for topic in TOPICS if topic.open for model in topic.messages])
def test_what_comes_from_outside_is_strict_down_to_its_smallest_part(model: type[Message]) -> None:
    schema = model.model_json_schema()
    parts = [(model.__name__, schema), *schema.get("$defs", {}).items()]
    assert [name for name, part in parts if part["type"] == "object" and part.get("additionalProperties", True)] == []


@pytest.mark.parametrize("model", [model for topic in TOPICS if not topic.open for model in topic.messages])
def test_what_our_own_services_write_may_say_more_than_is_known_down_to_its_smallest_part(model: type[Message]) -> None:
    schema = model.model_json_schema()
    parts = [(model.__name__, schema), *schema.get("$defs", {}).items()]
    assert [name for name, part in parts if part.get("additionalProperties") is False] == []


def test_only_orders_and_movements_of_stock_begin_something_and_all_else_carries_it_on() -> None:
    assert {topic.name for topic in TOPICS if topic.begins} == {"order.intake", "inventory.movements"}


@each_topic
def test_what_begins_something_comes_from_outside(topic: Topic) -> None:
    assert topic.open or not topic.begins


@each_topic
def test_commands_are_heard_by_the_one_whose_name_the_topic_bears(topic: Topic) -> None:
    service, _, what = topic.name.partition(".")
    if what == "commands":
        assert topic.readers == (service,)
        assert topic.owner == "order"
    elif service == "repair":
        assert topic.owner == EVERY_SERVICE
        assert set(topic.readers) <= set(SERVICES)
    else:
        assert topic.owner == service


def test_a_repair_goes_to_the_partition_that_it_names() -> None:
    asked = DropDeadLetter(
        repair_id="1", service="order", partition=3, by="kim", reason="sent again", topic="order.intake", offset=7
    )
    assert REPAIRS.partition_of(asked, lambda _key: 0) == 3
    assert REPAIRS.key_of(asked) == "order/3"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_hears_of_repairs(service: str) -> None:
    assert REPAIRS.name in topics_read_by(service)


@pytest.mark.parametrize("service", ["inventory", "payment", "fulfillment", "shipping"])
def test_a_service_answers_the_saga_and_the_saga_listens(service: str) -> None:
    events = BY_NAME[f"{service}.events"]
    assert all(issubclass(model, SagaStep) for model in events.messages)
    assert events.name in topics_read_by("order")


def test_a_service_that_nobody_knows_reads_nothing() -> None:
    assert topics_read_by("billing") == ()


@pytest.mark.parametrize("model", MESSAGES.values(), ids=MESSAGES)
def test_every_message_and_every_field_says_what_it_is(model: type[Message]) -> None:
    assert model.__doc__
    assert model.__doc__ != model.__mro__[1].__doc__
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("model", MESSAGES.values(), ids=MESSAGES)
def test_no_field_is_a_float(model: type[Message]) -> None:
    assert "'type': 'number'" not in str(model.model_json_schema())
