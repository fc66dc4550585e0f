import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from contracts.order import StepSkipped
from contracts.repair import GapAccepted
from oms.audit import auditing
from oms.audit.auditing import in_both
from oms.audit.auditor import Verdict
from oms.audit.dead_letters import Cause
from oms.audit.finding import Finding, Waiting
from oms.cli import app
from oms.commands import audit
from typer.testing import CliRunner

ODD = Finding("stock", "inventory.events/0/1", "delivery:x:1", "the message here is odd")


def verdict(
    findings: Sequence[Finding] = (), *, waiting: Sequence[Waiting] = (), causes: Sequence[Cause] = ()
) -> Verdict:
    return Verdict(
        findings=[*findings],
        waiting=[*waiting],
        records=1,
        orders=Counter(),
        links=0,
        counted=0,
        repeated=0,
        books=[],
        dead_letters=Counter(causes),
        examples={cause: ["[/i]/0/1"] for cause in causes},
        repairs=[],
        late=[],
        unchecked=[],
    )


def available(units: int) -> Finding:
    """What is found of an item whose document says too much, whenever some of it are sold."""
    return Finding("store", "inventory/stock/LON/MUG", "MUG in LON", f"{units} are available, but the log says 1 less")


@pytest.mark.parametrize("found", [[], [ODD]])
def test_ends_with_status_1_if_anything_is_off(monkeypatch: pytest.MonkeyPatch, found: list[Finding]) -> None:
    async def audited(*_: object) -> Verdict:
        return verdict(found)

    monkeypatch.setattr(auditing, "audit", audited)

    done = CliRunner().invoke(app, ["audit", "--log-only", "--brokers", "kafka:1", "--json"])

    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["ok"], len(answer["findings"])) == (len(found), not found, len(found))


def test_the_names_that_others_give_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    cause = Cause("order.intake", "order", "missing", "", "Field required")

    waiting = Waiting("movement [/b]", "not booked", "LON has not booked it yet")
    audit.show(verdict([ODD], waiting=[waiting], causes=[cause]))

    said = capsys.readouterr().out
    assert "movement [/b]" in said
    assert "[/i]/0/1" in said
    assert "delivery:x:1" in said


def test_what_is_found_again_in_other_words_is_said_to_be_unchecked(capsys: pytest.CaptureFixture[str]) -> None:
    both = in_both(verdict([ODD, available(9)]), verdict([ODD, available(7)]))
    assert both.findings == [ODD]

    audit.show(in_both(verdict([available(9)]), verdict([available(7)])))

    said = capsys.readouterr().out
    assert "not checked: 1 documents that moved while they were looked at" in said
    assert "Nothing of what was checked was lost, doubled or oversold." in said


def test_what_was_on_its_way_is_neither_a_finding_nor_unchecked() -> None:
    seen_to_be_right = in_both(verdict([ODD, available(9)]), verdict([ODD]))

    assert (seen_to_be_right.findings, seen_to_be_right.unchecked) == ([ODD], [])


def test_whoever_asked_for_a_repair_of_an_order_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"repair_id": "r-1", "order_id": "web:1", "reason": "paid by transfer", "requested_by": "kim"}
    skipped = StepSkipped.model_validate(asked | {"revision": 1, "step": "capture", "is_undo": False})
    accepted = GapAccepted.model_validate(
        {"repair_id": "r-2", "service": "order", "partition": 0, "by": "lee", "reason": "lost"}
        | {"topic": "payment.events", "source": "payment/0@1", "first": 1, "last": 1}
    )
    found = replace(verdict(), repairs=[skipped, accepted])

    audit.show(found)

    assert "2 repairs that people asked for: kim, lee" in capsys.readouterr().out
    repairs = audit.as_json_of(found)["repairs"]
    assert repairs == [
        {"answer": "StepSkipped", **skipped.model_dump()},
        {"answer": "GapAccepted", **accepted.model_dump()},
    ]
