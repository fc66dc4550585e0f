"""What an order looks like for people."""

from typing import Any

import pytest
from oms.commands import order


def test_the_names_that_others_give_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    happening = {
        "at": "2026-01-05T12:00:00Z",
        "heard": "CancelOrder",
        "source": "Ada [/ops]",
        "detail": "Ada [/ops]: too late",
        "said": ["OrderCancelled"],
    }
    found: dict[str, Any] = {
        "order_id": "web:1",
        "revision": 1,
        "status": "cancelled",
        "reasons": [{"path": "", "code": "requested", "message": "asked for by Ada [/ops]"}],
        "parcels": [{"location": "LON", "carrier": "Parcels [/b]", "tracking_number": "[red]7"}],
        "timeline": [happening],
    }

    order.show(found)

    said = capsys.readouterr().out
    assert said.count("Ada [/ops]") == 3
    assert "parcel from LON: Parcels [/b] [red]7" in said
