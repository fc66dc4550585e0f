from collections import Counter

import pytest
from oms.audit.auditor import Verdict
from oms.audit.finding import Finding, Waiting
from oms.commands import audit


def test_the_names_that_others_give_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = [Waiting("movement [/b]", "not booked", "LON has not booked it yet")]
    findings = [Finding("stock", "inventory.events/0/1", "delivery:x:1", "the message here is odd")]

    audit.show(Verdict(findings, waiting, 1, Counter(), 0, 0, 0, [], Counter(), {}, []))

    said = capsys.readouterr().out
    assert "movement [/b]" in said
    assert "delivery:x:1" in said
