"""The pages for operators cover all there is to operate: every metric, every alert, every setting they speak of."""

import re

import yaml
from chassis.settings import CallingSettings, ViewSettings
from chassis.telemetry import Meters
from contracts.topics import TOPICS

from tests.pages import ROOT, Page, names_in

DOCS = ROOT / "docs"
PUTTING_IT_RIGHT = Page(DOCS / "putting-it-right.md")
PAGES = (Page(DOCS / "operating.md"), PUTTING_IT_RIGHT, Page(DOCS / "backups.md"), Page(DOCS / "breaking-it.md"))
CELLS = [name for page in PAGES for token in page.tokens if token.type == "inline" for name in names_in(token.content)]


def test_every_metric_is_explained_and_no_other() -> None:
    exposed = {family.name + ("_total" if family.type == "counter" else "") for family in Meters().registry.collect()}
    assert {name for name in CELLS if re.fullmatch(r"throughline_\w+", name)} == exposed


def test_every_alert_says_what_to_do_and_there_is_no_other() -> None:
    groups = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert {name for name in CELLS if re.fullmatch(r"Throughline[A-Z]\w+", name)} == alerts


def test_dead_letters_of_every_topic_that_others_write_to_are_given_back_to_the_sender() -> None:
    from_outside, *_ = PUTTING_IT_RIGHT.table_after("Dead letters")
    assert set(names_in(from_outside[0])) == {topic.name for topic in TOPICS if topic.open}


def test_settings_are_called_by_their_names() -> None:
    shared = {name.upper() for kind in (ViewSettings, CallingSettings) for name in kind.model_fields}
    deadlines = {"AUTHORIZE_DEADLINE_S", "SHIP_DEADLINE_S"}
    timing = {"RETRY_LONGEST_S", "DISPATCH_AFTER_S", "DELIVER_AFTER_S", "STUCK_AFTER_S", *deadlines}
    own = {"PICKERS", "SAGA_DEFINITION", "ORDER_URL", *timing}
    assert {name for name in CELLS if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", name)} <= shared | own


def test_files_that_are_named_exist() -> None:
    files = [name for name in CELLS if re.fullmatch(r"(tests|shared)/\S+\.py", name)]
    assert files
    assert [name for name in files if not (ROOT / name).exists()] == []
