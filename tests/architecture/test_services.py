"""Every service has the same rooms, listens to what the table of topics says, and documents its settings."""

import ast
import importlib
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pytest
from chassis.clock import WallClock
from chassis.decision import Decision
from chassis.http.repairs_api import repairs_router
from chassis.http.shell import create_app
from chassis.http.shown import Accepted
from chassis.service import Service
from chassis.settings import ChassisSettings
from chassis.telemetry import Meters
from chassis.testing.stage import Rehearsal, Shelf
from chassis.testing.topics import MemoryLog, MemoryTopics
from contracts.topics import HELD_IN_DOCUMENTS, TOPICS, topics_read_by
from contracts.topics import SERVICES as SERVICES_OF_THE_TABLE
from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

SERVICES = Path(__file__).parents[2] / "services"
CHASSIS = SERVICES.parent / "shared" / "chassis"
WHERE_THE_OTHERS_ARE = "[what every service is set by](../../shared/chassis/README.md#what-every-service-is-set-by)"
NAMES = ("fulfillment", "inventory", "order", "payment", "shipping")
NOTHING_WAITED_FOR = {"simulator_slow_s", "pick_after_s", "pack_after_s"}
"""Spans that may be nothing: no alarm is set then."""
UNITS = ("s", "messages", "documents", "orders", "calls", "failures", "port", "definition")
"""What numbers among the settings count; a setting's name says which."""

each_service = pytest.mark.parametrize("name", NAMES)


def test_these_are_all_services() -> None:
    assert sorted(path.name for path in SERVICES.iterdir()) == sorted(NAMES)
    assert {service for topic in TOPICS for service in topic.writers} == set(NAMES) == set(SERVICES_OF_THE_TABLE)


@each_service
@pytest.mark.parametrize(
    "room",
    [
        "README.md",
        "src/{}/state.py",
        "src/{}/decide.py",
        "src/{}/api.py",
        "src/{}/shown.py",
        "src/{}/settings.py",
        "src/{}/main.py",
        "tests",
    ],
)
def test_every_service_has_the_same_rooms(name: str, room: str) -> None:
    assert (SERVICES / name / room.format(name)).exists()


@each_service
def test_every_service_installs_and_starts_alone(name: str) -> None:
    project = tomllib.loads((SERVICES / name / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {f"{name}-service": f"{name}.main:main"}
    others = {f"throughline-{other}" for other in NAMES}
    assert not others & set(project["dependencies"])


class Described(NamedTuple):
    """A service as its `main` hands it to the chassis, and the routes of its HTTP API, its own and those of all."""

    service: Service
    routers: tuple[APIRouter, APIRouter]

    def openapi(self) -> dict[str, Any]:
        return create_app(self.service.name, "", self.routers, health, measure, Meters()).openapi()


def described(name: str, monkeypatch: pytest.MonkeyPatch) -> Described:
    main = importlib.import_module(f"{name}.main")
    shelf = Shelf(Rehearsal(lambda *_: (), lambda *_: Decision()))
    repairs = repairs_router(name, shelf, shelf, MemoryLog(MemoryTopics(1, WallClock())))
    handed: list[Described] = []
    monkeypatch.setattr(
        main, "run", lambda service, _, routes: handed.append(Described(service, (routes(shelf, shelf), repairs)))
    )
    main.main()
    (handed_over,) = handed
    return handed_over


def health() -> tuple[bool, dict[str, object]]:
    return True, {}


async def measure() -> None:
    """Nothing is measured here."""


@each_service
def test_a_service_listens_to_what_the_table_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service, _ = described(name, monkeypatch)
    assert service.name == name
    assert service.topics == topics_read_by(name)


@each_service
def test_the_names_of_documents_are_told_apart(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service, _ = described(name, monkeypatch)
    kinds = [model.kind for model in service.documents]
    assert len(set(kinds)) == len(kinds) > 0
    assert {index.kind for index in service.indexes} <= set(kinds)


def test_the_check_of_contracts_knows_what_documents_hold_of_messages_from_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = [document for name in NAMES for document in described(name, monkeypatch).service.documents]
    outside = {part for topic in TOPICS if topic.open for message in topic.messages for part in parts_of(message)}
    ours = {part for topic in TOPICS if not topic.open for message in topic.messages for part in parts_of(message)}
    held = {part for document in documents for part in parts_of(document)}
    assert held & outside - ours == {part for message in HELD_IN_DOCUMENTS for part in parts_of(message)} - ours


def parts_of(model: type[BaseModel]) -> set[str]:
    """The names of the models that it is made of, and its own."""
    return {model.__name__, *model.model_json_schema().get("$defs", {})}


@each_service
def test_the_http_api_describes_itself_in_openapi(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = described(name, monkeypatch).openapi()
    operations = [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    ours = {path: operation for path, operation in operations if operation["tags"] != ["operation"]}
    assert ours
    assert document["openapi"] == "3.2.0" or "itemSchema" not in json.dumps(document), "3.1 does not have it"
    assert [path for path, operation in ours.items() if not operation.get("description")] == []
    for _, operation in operations:
        refusals = {status: said["content"] for status, said in operation["responses"].items() if status[1:] == "XX"}
        assert {media for content in refusals.values() for media in content} == {"application/problem+json"}


@each_service
def test_openapi_says_how_each_route_of_ours_refuses_and_what_its_headers_say(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = described(name, monkeypatch).openapi()["paths"]
    ours = {
        f"{method} {path}": operation
        for path, methods in paths.items()
        for method, operation in methods.items()
        if operation["tags"] != ["operation"]
    }
    for path, operation in ours.items():
        said = operation["responses"]
        errors = {status: response for status, response in said.items() if status[0] in "45"}
        assert all(list(error["content"]) == ["application/problem+json"] for error in errors.values()), path
        assert "Retry-After" in said["503"]["headers"], path
        assert "202" not in said or said["202"]["headers"]["Location"]["required"], path
        if "requestBody" in operation:
            read_whole = set() if "application/x-ndjson" in operation["requestBody"]["content"] else {"413", "422"}
            assert {"400", "415"} | read_whole <= said.keys(), path


@each_service
def test_what_openapi_refers_to_is_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = described(name, monkeypatch).openapi()
    named = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document)))
    assert named
    assert named <= document["components"]["schemas"].keys()


@each_service
def test_openapi_says_what_each_field_of_an_answer_means(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = described(name, monkeypatch)
    schemas = service.openapi()["components"]["schemas"]
    routes = [route for router in service.routers for route in router.routes if isinstance(route, APIRoute)]
    models = {model for route in routes for model in models_in(route.response_model)}
    meanings = {(model, field): said for model in models for field, said in docstrings_of(model).items()}
    assert meanings
    untold = {
        f"{model.__name__}.{field}"
        for (model, field), said in meanings.items()
        if schema_of(model, schemas)["properties"][field].get("description") != said
    }
    assert untold == set()


@each_service
def test_an_answer_to_what_is_on_its_way_says_where_that_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = described(name, monkeypatch)
    routes = [route for router in service.routers for route in router.routes if isinstance(route, APIRoute)]
    answers = [route.response_model for route in routes if route.status_code == 202]
    assert answers
    assert [answer for answer in answers if not issubclass(answer, Accepted)] == []


def models_in(annotation: object) -> Iterator[type]:
    """The classes that something of this type is made of."""
    if isinstance(annotation, type) and is_model(annotation):
        yield annotation
        for inner in fields_of(annotation).values():
            yield from models_in(inner)
    for part in get_args(annotation):
        yield from models_in(part)


def is_model(one: type) -> bool:
    return is_dataclass(one) or (issubclass(one, BaseModel) and one is not BaseModel)


def fields_of(model: type) -> dict[str, object]:
    """The names of its fields, and their types."""
    if is_dataclass(model):
        return {field.name: field.type for field in fields(model)}
    return {name: field.annotation for name, field in model.model_fields.items()}


def docstrings_of(model: type) -> dict[str, str]:
    """What its source says below its fields, also below those that it inherits."""
    found = {}
    for part in filter(is_model, reversed(model.__mro__)):
        source = ast.parse(dedent(inspect.getsource(part)))
        for field, below in pairwise(source.body[0].body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = inspect.cleandoc(text)
    return {name: text for name, text in found.items() if name in fields_of(model)}


def schema_of(model: type, schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Where two have one name, OpenAPI has those that say the module, too."""
    return schemas.get(model.__name__) or schemas[f"{model.__module__}.{model.__name__}".replace(".", "__")]


def settings_of(name: str) -> type[ChassisSettings]:
    settings: type[ChassisSettings] = importlib.import_module(f"{name}.settings").Settings
    return settings


def table_of(settings: type[ChassisSettings], listed_elsewhere: type[ChassisSettings] | None = None) -> str:
    """The settings as a README must hold them, but for those that are listed elsewhere just as they are here."""
    elsewhere = rows_of(listed_elsewhere) if listed_elsewhere is not None else []
    rows = [row for row in rows_of(settings) if row not in elsewhere]
    return "\n".join(["| Variable | Unit | Default | Meaning |", "|---|---|---|---|", *rows, ""])


def rows_of(settings: type[ChassisSettings]) -> list[str]:
    return [
        f"| `{name.upper()}` | {unit_of(name, field)} | {default_of(field)} | {meaning_of(field)} |"
        for name, field in settings.model_fields.items()
    ]


def unit_of(name: str, field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(field.annotation))
    if field.annotation is str:
        return "text"
    if field.annotation in {int, float}:
        (unit,) = [unit for unit in UNITS if unit in name.split("_")]
        return unit
    return "JSON"


def default_of(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is ... or default in ("", None):
        return "none"
    if isinstance(default, float):
        return f"`{default:.10g}`"
    return f"`{default}`" if isinstance(default, str | int) else f"`{json.dumps(to_jsonable_python(default))}`"


def meaning_of(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def test_the_readme_of_the_chassis_lists_every_setting_that_all_services_share() -> None:
    table = table_of(ChassisSettings)
    assert table in (CHASSIS / "README.md").read_text(), f"it lacks this table:\n{table}"


@each_service
def test_the_readme_of_a_service_lists_its_own_settings_and_says_where_the_others_are(name: str) -> None:
    table = table_of(settings_of(name), listed_elsewhere=ChassisSettings)
    readme = (SERVICES / name / "README.md").read_text()
    assert WHERE_THE_OTHERS_ARE in readme
    assert table in readme, f"the README of {name} lacks this table:\n{table}"


@each_service
def test_every_setting_says_what_it_means_and_in_which_unit(name: str) -> None:
    for setting, field in settings_of(name).model_fields.items():
        assert meaning_of(field).endswith(".")
        assert unit_of(setting, field)


@each_service
def test_a_service_is_only_set_by_what_it_uses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service, _ = described(name, monkeypatch)
    assert ("redis_url" in settings_of(name).model_fields) == (service.view is not None)
    assert ("call_timeout_s" in settings_of(name).model_fields) == (SERVICES / name / f"src/{name}/gateway.py").exists()


@each_service
def test_no_span_is_so_short_that_it_comes_to_nothing(name: str) -> None:
    """Less than half a microsecond is none: an alarm that is set by it rings at once, and for ever."""
    settings = settings_of(name)
    spans = {field for field in settings.model_fields if field.endswith("_s")}
    for span in sorted(spans - NOTHING_WAITED_FOR):
        with pytest.raises(ValidationError, match=span):
            settings(**{span: 1e-7})
