"""Alerts and the dashboard ask for what the services measure, under the names and labels that they have there."""

import importlib
import inspect
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from chassis.engine import calls
from chassis.kinds import STUCK
from chassis.service import Service
from chassis.telemetry import Meters
from contracts.topics import SERVICES

from tests.pages import ROOT

RULES = ROOT / "deploy" / "alerts.yml"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
DASHBOARD = ROOT / "deploy" / "grafana" / "throughline.json"
CASES = ROOT / "tests" / "architecture" / "alerts.yml"
PROMTOOL = shutil.which("promtool")
METRIC = re.compile(r"throughline_\w+")


def shown(path: Path) -> set[str]:
    return set(METRIC.findall(path.read_text()))


def measured() -> set[str]:
    """The names that queries use: a counter ends in _total, a histogram is asked for its buckets."""
    families = Meters().registry.collect()
    suffix = {"counter": "_total", "histogram": "_bucket", "gauge": ""}
    return {family.name + suffix[family.type] for family in families}


def shown_at_once() -> set[str]:
    """What an instance shows from its first moment, before it has anything to do."""
    return {sample.name for family in Meters().registry.collect() for sample in family.samples}


def test_alerts_and_dashboard_ask_for_metrics_that_exist() -> None:
    asked = shown(RULES) | shown(DASHBOARD)
    assert asked <= measured()


def test_the_dashboard_shows_every_metric() -> None:
    assert measured() <= shown(DASHBOARD)


@pytest.mark.parametrize(
    "trouble", ["gaps_total", "partition_running", "dead_letters_total", "parked", "lag_messages", "fenced_total"]
)
def test_somebody_is_told_of(trouble: str) -> None:
    assert any(f"throughline_{trouble}" in alert["expr"] for alert in ALERTS.values())


def test_a_service_of_which_nothing_is_left_is_missed() -> None:
    absences = ALERTS["ThroughlineNotAnswering"]["expr"].split(" or ")
    parts = [re.fullmatch(r'absent\((\w+)\{service="(\w+)"\}\)', absence) for absence in absences]
    missed = {part[2]: part[1] for part in parts if part}
    assert missed.keys() == set(SERVICES)
    assert set(missed.values()) <= shown_at_once()


def test_alerts_go_by_labels_that_the_page_names() -> None:
    asked = {label for alert in ALERTS.values() for label in re.findall(r"(\w+)(?:=~|!=|!~|=)\"", alert["expr"])}
    assert asked == {"service", "what", "outcome"}
    watching = (ROOT / "deploy" / "README.md").read_text().partition("## Watching")[2]
    assert {f"`{name}`" for name in ("service", *SERVICES)} <= set(re.findall(r"`\w+`", watching))


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> list[Service]:
    """All of them, as they are wired."""
    wired: list[Service] = []
    for name in SERVICES:
        main = importlib.import_module(f"{name}.main")
        monkeypatch.setattr(main, "run", lambda service, *_: wired.append(service))
        main.main()
    return wired


def stuck_in(services: list[Service]) -> set[str]:
    """What may wait for a person."""
    return {stuck.kind for stuck in STUCK} | {one.overdue.what for one in services if one.overdue is not None}


def test_alerts_go_by_values_that_the_code_says(services: list[Service]) -> None:
    said = {
        "service": {service.name for service in services},
        "what": stuck_in(services),
        "outcome": set(re.findall(r'\.calls\.labels\("(\w+)"\)', inspect.getsource(calls))),
    }
    asked = [pair for alert in ALERTS.values() for pair in re.findall(r"(\w+)=\"(\w+)\"", alert["expr"])]
    assert {("what", "gap"), ("what", "saga"), ("what", "dead_letter"), ("outcome", "unknown")} <= set(asked)
    assert [(label, value) for label, value in asked if value not in said[label]] == []


def test_the_alert_about_writes_speaks_of_reads_where_it_asks_for_them() -> None:
    alert = ALERTS["ThroughlineWritesFail"]
    assert ("read_failures" in alert["expr"]) == ("read" in alert["annotations"]["summary"])


def test_every_alert_is_tried_on_what_it_is_for_and_on_what_it_is_not_for() -> None:
    tried: dict[str, set[bool]] = {}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for one in case["alert_rule_test"]:
            tried.setdefault(one["alertname"], set()).add(bool(one["exp_alerts"]))
    assert tried == {alert: {True, False} for alert in ALERTS}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool comes with Prometheus")
def test_prometheus_makes_of_the_alerts_what_is_meant() -> None:
    tested = subprocess.run(  # noqa: S603 - Prometheus's own tool, on our own rules
        [str(PROMTOOL), "test", "rules", CASES], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


def panels() -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return shown


def test_every_panel_names_what_it_shows() -> None:
    assert all(panel["title"] for panel in panels())
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Partitions not served", "ThroughlinePartitionNotRunning"),
        ("Services that serve nothing", "ThroughlineServesNothing"),
    ],
)
def test_the_dashboard_counts_as_not_served_what_the_alert_does(title: str, name: str) -> None:
    (panel,) = [one for one in panels() if one["title"] == title]
    alert = METRIC.sub(r'\g<0>{service=~"$service"}', ALERTS[name]["expr"])
    assert [target["expr"] for target in panel["targets"]] == [f"count({alert})"]
    # What was counted earlier is over where nothing is counted any more.
    assert all(target["instant"] for target in panel["targets"])


def test_the_dashboard_offers_also_a_service_that_serves_nothing() -> None:
    (service,) = json.loads(DASHBOARD.read_text())["templating"]["list"]
    (metric,) = METRIC.findall(service["definition"])
    assert metric in shown_at_once()


def test_the_dashboard_names_all_that_may_be_stuck(services: list[Service]) -> None:
    (panel,) = [one for one in panels() if one["title"] == "Stuck"]
    named = panel["description"].lower()
    assert [what for what in stuck_in(services) if what.replace("_", " ") not in named] == []
