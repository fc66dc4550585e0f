"""Requests made from the OpenAPI of each service, well-formed and not: each is answered, or refused by name.

`THROUGHLINE_FUZZ_REQUESTS` says how many of each kind are made for each operation.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from contracts.message import Reason
from contracts.topics import SERVICES
from hypothesis import HealthCheck, Phase, given, settings
from oms.system import System
from schemathesis import Case, GenerationMode, Response
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fuzz.battery import names_what_is_wrong

pytestmark = pytest.mark.integration

REQUESTS = int(os.environ.get("THROUGHLINE_FUZZ_REQUESTS", "6"))
PROMISES = [status_code_conformance, content_type_conformance, response_schema_conformance]
WITHOUT_END = "text/event-stream"
IN_LINES = "application/x-ndjson"
"""What schemathesis cannot make; tests/integration/test_bad_input_over_http.py sends bad lines."""
ANSWER_WITHIN_S = 30


@pytest.mark.parametrize("service", SERVICES)
def test_whatever_is_asked_is_answered_as_promised_or_refused_by_name(system: System, service: str) -> None:
    url = system.fleet.url(service)
    asked = 0
    with requests.Session() as session:
        for operation in operations(url):
            for mode in GenerationMode:
                asked += ask(operation, mode, session)
    assert asked > REQUESTS * 2 * 10
    assert requests.get(f"{url}/readyz", timeout=ANSWER_WITHIN_S).status_code == 200
    assert all(instance.alive for instance in system.fleet.instances)


def operations(url: str) -> Iterator[APIOperation]:
    for result in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        operation = result.ok()
        raw = str(operation.definition.raw)
        if WITHOUT_END not in raw and IN_LINES not in raw:
            yield operation


def ask(operation: APIOperation, mode: GenerationMode, session: requests.Session) -> int:
    """Make such requests for an operation; says how many."""
    asked = 0
    has_parameters = any(operation.iter_parameters()) or bool(operation.body)

    @settings(
        max_examples=REQUESTS if has_parameters else 1,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Case) -> None:
        nonlocal asked
        asked += 1
        if isinstance(case.query.get("wait_s"), int | float):
            case.query["wait_s"] = 0
        answer = case.call(session=session, timeout=ANSWER_WITHIN_S)
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=PROMISES)
        if answer.status_code >= 400:
            is_refused_by_name(answer)

    if has_parameters or mode is GenerationMode.POSITIVE:
        one()
    return asked


def is_refused_by_name(answer: Response) -> None:
    problem: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == ["application/problem+json"]
    assert problem["status"] == answer.status_code
    assert problem["title"]
    if answer.status_code in {400, 422}:
        assert names_what_is_wrong([Reason.model_validate(error) for error in problem["errors"]]), problem
