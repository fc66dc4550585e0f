from collections import Counter

from oms.chaos.plan import Fault
from oms.chaos.report import Broken, Report


def report(*broken: Broken) -> Report:
    return Report(seed=7, minutes=2, rate=20, session_timeout_s=10, skipped={}, broken=list(broken))


def killed(recovered_s: float | None, pause_s: float = 1.0) -> Broken:
    return Broken(12.0, (Fault("kill", "order"),), recovered_s, pause_s)


def test_tells_how_long_recovery_took_by_kind() -> None:
    times = report(*(killed(float(seconds), seconds + 1.0) for seconds in range(1, 101)))

    recovery = times.recovery()["kill"]

    assert (recovery.count, recovery.p50_s, recovery.worst_s, recovery.longest_pause_s) == (100, 50.5, 100.0, 101.0)
    assert 99.0 <= recovery.p99_s <= 100.0


def test_one_fault_of_a_kind_is_its_own_median() -> None:
    recovery = report(killed(3.0)).recovery()["kill"]

    assert (recovery.p50_s, recovery.p99_s, recovery.worst_s) == (3.0, 3.0, 3.0)


def test_what_never_recovered_has_no_time_and_counts_all_the_same() -> None:
    recovery = report(killed(2.0), killed(None)).recovery()["kill"]

    assert (recovery.count, recovery.worst_s) == (2, 2.0)


def test_two_faults_at_once_count_as_neither() -> None:
    both = Broken(1.0, (Fault("kill", "order"), Fault("redis")), 2.0, 3.0)

    assert set(report(both).recovery()) == {"two at once", "all"}


def test_is_clean_only_if_nothing_was_found_and_nothing_was_too_slow() -> None:
    fine, lost, slow = report(), report(), report()
    lost.findings.append("an order was lost")
    slow.too_slow.append("it took an hour")

    assert [one.is_clean for one in (fine, lost, slow)] == [True, False, False]
    assert [one.as_json()["ok"] for one in (fine, lost, slow)] == [True, False, False]


def test_what_could_not_be_tried_is_told_and_is_not_a_fault_of_the_system() -> None:
    tried = report(killed(2.5))
    tried.untried.append("disk after 40 s: the node was not elected")

    assert tried.is_clean
    assert tried.as_json()["untried"] == ["disk after 40 s: the node was not elected"]
    assert "## What could not be tried\n\n- disk after 40 s: the node was not elected\n" in tried.as_markdown()


def test_the_page_says_what_was_done_and_what_was_found() -> None:
    page = report(killed(2.5, 3.25), killed(None))
    page.orders = Counter(completed=1200, rejected=3)
    page.findings.append("order chaos:1 came to no end: confirmed")
    page.skipped["disk"] = "there is no unshare (util-linux)"

    text = page.as_markdown()

    assert "`oms chaos --minutes 2 --seed 7 --rate 20`: 2 faults while 1,203 orders flowed" in text
    assert "- order chaos:1 came to no end: confirmed" in text
    assert "| completed | 1,200 |" in text
    assert "| disk | there is no unshare (util-linux) |" in text
    assert "| 12 s | kill order[1] | 2.50 s | 3.25 s |" in text
    assert "| 12 s | kill order[1] | never | 1.00 s |" in text
