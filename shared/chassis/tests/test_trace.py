"""An order's trace is the one that its sender began, if that has a name."""

from chassis.trace import child_of, trace_id_of

ZERO = f"00-{'0' * 32}-{'2' * 16}-01"
"""W3C Trace Context, section 3.2.2.3: all zeroes name no trace."""


def test_a_message_goes_on_with_the_trace_of_what_it_follows_from() -> None:
    parent = f"00-{'1' * 32}-{'2' * 16}-01"
    assert trace_id_of(parent, "web:1001") == "1" * 32
    assert child_of(parent, "m-1", "web:1001")[:36] == parent[:36]


def test_a_trace_of_zeroes_is_none() -> None:
    assert trace_id_of(ZERO, "web:1001") == trace_id_of(None, "web:1001") != "0" * 32
    assert child_of(ZERO, "m-1", "web:1001") == child_of(None, "m-1", "web:1001")
