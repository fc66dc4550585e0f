from collections import Counter

import pytest
from oms.audit.auditor import Verdict
from oms.audit.dead_letters import Cause
from oms.audit.finding import Finding, Waiting
from oms.commands import audit


def test_the_names_that_others_give_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    cause = Cause("order.intake", "order", "missing", "", "Field required")
    verdict = Verdict(
        findings=[Finding("stock", "inventory.events/0/1", "delivery:x:1", "the message here is odd")],
        waiting=[Waiting("movement [/b]", "not booked", "LON has not booked it yet")],
        records=1,
        orders=Counter(),
        links=0,
        counted=0,
        repeated=0,
        books=[],
        dead_letters=Counter([cause]),
        examples={cause: ["[/i]/0/1"]},
        repairs=[],
        late=[],
        unchecked=[],
    )

    audit.show(verdict)

    said = capsys.readouterr().out
    assert "movement [/b]" in said
    assert "[/i]/0/1" in said
    assert "delivery:x:1" in said
