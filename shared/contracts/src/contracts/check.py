"""Keeps schemas, examples and AsyncAPI documents in step with the models, and keeps what they promise.

    python -m contracts.check                        says what is out of step, and fails if anything is
    python -m contracts.check --write                brings it into step, unless that would break somebody
    python -m contracts.check --write --break WHY    declares the breaks, with the reason, and does it all the same

A schema in the repository is what somebody out there may be reading and writing by: it changes only in ways that break
nobody, or with the break declared in `breaks.json`. Editing a schema by hand is no way around that: a test looks at
every change in the repository's history. An example that would be written differently now stays, as
`<Message>.<n>.json`: such messages are on the log, so it must remain readable.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from contracts.asyncapi import document_of
from contracts.compatibility import Break, breaks
from contracts.example import ExampleRecord, as_example, fault_of
from contracts.schema import Schema, as_text, schema_of
from contracts.topics import HELD_IN_DOCUMENTS, MESSAGES, SERVICES, TOPIC_OF
from contracts.wire import decode

PROJECT = Path(__file__).parents[4]


class Kept:
    """What the repository keeps beside the models."""

    def __init__(self, project: Path) -> None:
        contracts = project / "shared" / "contracts"
        self.schemas = contracts / "schemas"
        self.examples = contracts / "examples"
        self.declared = contracts / "breaks.json"
        self.asyncapi = project / "docs" / "asyncapi"

    def schema_of(self, name: str) -> Schema | None:
        path = self.schemas / f"{name}.json"
        schema: Schema | None = json.loads(path.read_text()) if path.exists() else None
        return schema

    def examples_of(self, name: str) -> list[Path]:
        """The current example and the earlier ones."""
        return sorted(path for path in self.examples.glob("*.json") if path.name.partition(".")[0] == name)

    def next_example_of(self, name: str) -> Path:
        """Where the current example goes when it becomes an earlier one: after all of those, whichever are left."""
        numbers = [int(path.stem.rpartition(".")[2]) for path in self.examples.glob(f"{name}.*.json")]
        return self.examples / f"{name}.{max(numbers, default=0) + 1}.json"

    def breaks_declared(self) -> dict[str, str]:
        """Each declared break, in words, with its reason."""
        declared: dict[str, str] = json.loads(self.declared.read_text()) if self.declared.exists() else {}
        return declared


def breaks_since(kept: Kept) -> list[Break]:
    """Every way in which the models break a promise that the schemas in the repository make."""
    found: list[Break] = []
    for name in sorted({path.stem for path in kept.schemas.glob("*.json")} | MESSAGES.keys()):
        model = MESSAGES.get(name)
        new = schema_of(model) if model else None
        open_topic = model is not None and TOPIC_OF[model].open
        found += breaks(name, kept.schema_of(name), new, open_topic=open_topic, held=model in HELD_IN_DOCUMENTS)
    return found


def documents(kept: Kept) -> dict[Path, str]:
    """Every file that is derived from the models, as it should be."""
    schemas = {kept.schemas / f"{name}.json": as_text(schema_of(model)) for name, model in MESSAGES.items()}
    return schemas | {kept.asyncapi / f"{service}.json": as_text(document_of(service)) for service in SERVICES}


def faults(kept: Kept) -> list[str]:
    """Everything that is out of step, in words."""
    wanted = documents(kept)
    there = {*kept.schemas.glob("*.json"), *kept.asyncapi.glob("*.json")}
    found = [str(one) for one in breaks_since(kept)]
    found += [f"{path.name} is out of date" for path, text in wanted.items() if not _holds(path, text)]
    found += [f"{path.name} belongs to no message or service" for path in sorted(there - wanted.keys())]
    found += [
        f"examples/{path.name} belongs to no message"
        for path in sorted(kept.examples.glob("*.json"))
        if path.name.partition(".")[0] not in MESSAGES
    ]
    for name in MESSAGES:
        if not (kept.examples / f"{name}.json").exists():
            found.append(f"examples/{name}.json is missing")
        for path in kept.examples_of(name):
            fault = fault_of(name, path.read_text(), current=path.stem == name)
            found += [f"examples/{path.name}: {fault}"] if fault else []
    return found


def write(kept: Kept) -> None:
    """Bring everything that is derived into step; an example that is no longer current stays under a number."""
    wanted = documents(kept)
    for path in {*kept.schemas.glob("*.json"), *kept.asyncapi.glob("*.json")} - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in MESSAGES:
        path = kept.examples / f"{name}.json"
        if path.exists() and fault_of(name, path.read_text(), current=False) is None:
            text = as_text(as_example(decode(ExampleRecord.read(path.read_text()))))
            if json.loads(text) != json.loads(path.read_text()):
                path.rename(kept.next_example_of(name))
            path.write_text(text)


def main(arguments: Sequence[str] | None = None, project: Path = PROJECT) -> int:
    """The exit status: 1 if anything is out of step, or if it may not be brought into step."""
    parser = argparse.ArgumentParser(prog="python -m contracts.check", description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="bring everything that is derived from the models into step"
    )
    parser.add_argument("--break", dest="why", metavar="WHY", help="declare the breaks, with the reason why")
    options = parser.parse_args(arguments)
    kept = Kept(project)
    if options.write:
        broken = breaks_since(kept)
        if broken and not options.why:
            _say(
                [
                    *map(str, broken),
                    "Nothing was written. Declare it with --break WHY, or find a way that breaks nobody.",
                ]
            )
            return 1
        if broken:
            declared = kept.breaks_declared() | {str(one): options.why for one in broken}
            kept.declared.write_text(as_text(declared))
        write(kept)
    found = faults(kept)
    _say(found)
    return 1 if found else 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def _say(lines: Sequence[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
