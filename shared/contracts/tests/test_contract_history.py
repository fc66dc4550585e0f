"""No schema was ever changed so that it broke somebody, unless that was declared.

Each change of each schema in the repository's history is looked at, so that one edited in by hand is seen, too.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from contracts.check import PROJECT, Kept
from contracts.compatibility import breaks
from contracts.schema import Schema
from contracts.topics import BY_NAME, HELD_IN_DOCUMENTS, MESSAGES

SCHEMAS = "shared/contracts/schemas"
NO_BLOB = "0" * 40


class Change(NamedTuple):
    """One commit's change of one schema, as the names of the old and the new content in git."""

    message: str
    old: str
    new: str


def git(project: Path, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(["git", "-C", project, *arguments], input=stdin, capture_output=True, text=True, check=True)  # noqa: S603, S607 - git as it is installed, no input from outside
    return done.stdout


def changes(project: Path) -> Iterator[Change]:
    """Each commit's, and of a merge what it changed for each of its parents: a conflict may be resolved to anything."""
    merges = ("--full-history", "-m")
    log = git(project, "log", *merges, "--format=", "--raw", "--no-abbrev", "--no-renames", "--", SCHEMAS)
    for line in log.splitlines():
        description, _, path = line.partition("\t")
        _, _, old, new, _ = description.split()
        yield Change(Path(path).stem, old, new)


def schema(project: Path, blob: str) -> Schema | None:
    if blob == NO_BLOB:
        return None
    read: Schema = json.loads(git(project, "cat-file", "blob", blob))
    return read


def undeclared_breaks(project: Path) -> list[str]:
    declared = Kept(project).breaks_declared()
    found: list[str] = []
    for change in changes(project):
        if change.old == NO_BLOB:
            continue
        new = schema(project, change.new)
        topic = BY_NAME.get(new["x-topic"]) if new else None
        open_topic, held = topic is not None and topic.open, MESSAGES.get(change.message) in HELD_IN_DOCUMENTS
        broken = breaks(change.message, schema(project, change.old), new, open_topic=open_topic, held=held)
        found += [str(one) for one in broken if str(one) not in declared]
    return found


def why_history_is_missing(project: Path) -> str | None:
    """A reason to skip, not to fail: whoever clones without the history may run all other tests all the same."""
    if not (project / ".git").exists():
        return "this is no git repository"
    if git(project, "rev-parse", "--is-shallow-repository").strip() == "true":
        return "this clone is shallow, so changes before it cannot be checked; `git fetch --unshallow` gets them"
    return None


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "user.name", "Ann")
    git(tmp_path, "config", "user.email", "ann@archer.example")
    commit(tmp_path, "OrderValidated", {"total": {"type": "integer", "maximum": 100}})
    return tmp_path


def commit(project: Path, message: str, properties: dict[str, object]) -> None:
    write(project, message, properties)
    git(project, "commit", "--quiet", "--message", "Change a schema")


def write(project: Path, message: str, properties: dict[str, object]) -> None:
    written = {"x-topic": "order.events", "x-key": "order_id", "type": "object", "properties": properties}
    path = project / SCHEMAS / f"{message}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(written))
    git(project, "add", ".")


def test_no_schema_in_the_history_broke_anybody_undeclared() -> None:
    if why := why_history_is_missing(PROJECT):
        pytest.skip(why)
    assert undeclared_breaks(PROJECT) == []


def test_a_history_that_is_cut_off_is_not_taken_for_a_good_one(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    commit(repository, "OrderValidated", {})
    shallow = tmp_path_factory.mktemp("shallow")
    git(repository, "clone", "--quiet", "--depth", "1", f"file://{repository}", str(shallow))
    assert undeclared_breaks(shallow) == []
    assert "shallow" in (why_history_is_missing(shallow) or "")
    assert why_history_is_missing(repository) is None


def test_a_break_edited_in_by_hand_is_found(repository: Path) -> None:
    commit(repository, "OrderValidated", {"total": {"type": "integer", "maximum": 99}})
    assert undeclared_breaks(repository) == [
        "OrderValidated.total: maximum was 100, is 99 (a new reader refuses or loses what is on the log)"
    ]


def test_a_break_is_found_under_later_changes(repository: Path) -> None:
    commit(repository, "OrderValidated", {})
    commit(repository, "OrderValidated", {"total": {"type": "string"}})
    assert [found.partition(" (")[0] for found in undeclared_breaks(repository)] == [
        "OrderValidated.total: the field was removed"
    ]


def test_a_declared_break_is_let_through(repository: Path) -> None:
    commit(repository, "OrderValidated", {"total": {"type": "integer", "maximum": 99}})
    (found,) = undeclared_breaks(repository)
    (repository / "shared/contracts/breaks.json").write_text(json.dumps({found: "nobody pays more"}))
    assert undeclared_breaks(repository) == []


def test_what_breaks_nobody_is_let_through(repository: Path) -> None:
    commit(repository, "OrderValidated", {"total": {"type": "integer", "maximum": 100}, "note": {"type": "string"}})
    commit(repository, "OrderBlessed", {})
    assert undeclared_breaks(repository) == []


TOTAL = {"type": "integer", "maximum": 100}


def test_a_break_that_only_a_merge_makes_is_found(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "side")
    commit(repository, "OrderBlessed", {})
    git(repository, "switch", "--quiet", "-")
    commit(repository, "OrderValidated", {"total": TOTAL, "note": {"type": "string"}})
    git(repository, "merge", "--quiet", "--no-commit", "side")
    write(repository, "OrderValidated", {"total": TOTAL | {"maximum": 99}, "note": {"type": "string"}})
    git(repository, "commit", "--quiet", "--message", "Merge the side")
    assert {found.partition(" (")[0] for found in undeclared_breaks(repository)} == {
        "OrderValidated.total: maximum was 100, is 99"
    }


def test_a_field_that_a_merge_drops_because_the_other_side_lacks_it_is_found(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "side")
    commit(repository, "OrderValidated", {"total": TOTAL, "gift": {"type": "boolean"}})
    git(repository, "switch", "--quiet", "-")
    commit(repository, "OrderValidated", {"total": TOTAL, "note": {"type": "string"}})
    git(repository, "merge", "--quiet", "--strategy-option", "theirs", "side")
    git(repository, "checkout", "side", "--", SCHEMAS)
    git(repository, "commit", "--quiet", "--amend", "--no-edit")
    assert "OrderValidated.note: the field was removed" in [
        found.partition(" (")[0] for found in undeclared_breaks(repository)
    ]


def test_a_merge_of_sides_that_break_nobody_is_let_through(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "side")
    commit(repository, "OrderBlessed", {})
    git(repository, "switch", "--quiet", "-")
    commit(repository, "OrderValidated", {"total": TOTAL, "note": {"type": "string"}})
    git(repository, "merge", "--quiet", "side")
    assert undeclared_breaks(repository) == []


def test_a_message_that_is_gone_is_found(repository: Path) -> None:
    git(repository, "rm", "--quiet", f"{SCHEMAS}/OrderValidated.json")
    git(repository, "commit", "--quiet", "--message", "Remove a message")
    assert [found.partition(" (")[0] for found in undeclared_breaks(repository)] == [
        "OrderValidated: the message was removed"
    ]
