"""What the order service remembers is read by the versions before and after the one that wrote it."""

import json
from typing import Any

from chassis.kinds import read_as
from contracts.order import CompensateOrder
from order.state import Order

from services.order.tests.scene import Scene


def objects_in(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Every object at any depth."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [*([value] if isinstance(value, dict) else []), *(found for one in inner for found in objects_in(one))]


def test_a_document_of_a_version_that_did_not_remember_what_was_refused_is_read(scene: Scene) -> None:
    scene.go_to("completed")
    scene.cancel()
    assert read_as(Order, scene.order.key, scene.order.model_dump_json().encode()) == scene.order
    older = json.loads(scene.order.model_dump_json(exclude={"refused"}))
    assert read_as(Order, scene.order.key, older) == scene.order.but(refused=None)


def test_a_document_of_a_version_that_did_not_remember_when_a_request_was_dealt_with_is_read(scene: Scene) -> None:
    scene.go_to("completing")
    scene.take(CompensateOrder(order_id=scene.order.id, repair_id="r-1", reason="too late", requested_by="Ben"))
    older = json.loads(scene.order.model_dump_json())
    del older["repairs"][0]["at"]
    assert read_as(Order, scene.order.key, older).repairs[0].at is None


def test_a_document_of_a_version_that_knows_more_fields_is_read(scene: Scene) -> None:
    scene.go_to("completed")
    newer = json.loads(scene.order.model_dump_json())
    for part in objects_in(newer):
        part["learned_later"] = {"whatever": None}
    assert "learned_later" in newer["placed"]["lines"][0]
    assert read_as(Order, scene.order.key, json.dumps(newer).encode()) == scene.order
    assert read_as(Order, scene.order.key, newer) == scene.order
