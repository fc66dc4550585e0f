"""Which changes of a message would break somebody who reads or writes it.

Three promises are kept, by comparing a message's old schema with its new one:

- *The log stays readable.* Messages are kept forever, and channels go on writing what they always wrote: a new reader
  takes everything that the old schema allows, and loses no field of it.
- *Readers need not be upgraded first.* On topics that only our own services write, an old reader takes everything that
  the new schema allows. It makes a dead letter of a message that it does not know. It passes over fields that it does
  not know, so optional fields may be added; but it refuses a number beyond the bound that it knows, so bounds may not
  be widened unnoticed. On open topics the readers are ours and the writers are not, so there widening breaks nobody.
- *Documents stay readable by older instances.* A document that holds a message holds what a newer instance took, and an
  older one may have to go on with it: in a rolling upgrade, or when a version is taken back. So here bounds may not be
  widened unnoticed either. Fields may be added: readers of documents pass over those that they do not know, even in
  messages that refuse them.

A schema here is what `schema_of` makes of a message: it refuses a model whose schema holds other schemas where they are
not followed here. Any other keyword that is not known here must not change at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from contracts.schema import Schema

Harm = Literal[
    "a new reader refuses or loses what is on the log",
    "a reader that is not upgraded refuses it",
    "an older instance cannot read documents that hold it",
]
LOG: Harm = "a new reader refuses or loses what is on the log"
READER: Harm = "a reader that is not upgraded refuses it"
DOCUMENT: Harm = "an older instance cannot read documents that hold it"

LOWER_BOUNDS = {"minimum", "minLength", "minItems"}
UPPER_BOUNDS = {"maximum", "maxLength", "maxItems"}
STRUCTURE = {"type", "items", "properties", "required", "additionalProperties"}
SAYS_NOTHING = {"$defs", "$schema", "default", "description", "title", "x-key", "x-topic"}

ADDED_WHERE_REFUSED = "a field was added where unknown fields are refused"

Change = tuple[str, str]
"""The path of a field and what changed there."""


@dataclass(frozen=True, slots=True)
class Break:
    """A change that breaks somebody."""

    message: str
    path: str
    """The field, as a path such as `lines[].quantity`; empty for the message as a whole."""
    change: str
    harm: Harm

    def __str__(self) -> str:
        return f"{self.message}{'.' if self.path else ''}{self.path}: {self.change} ({self.harm})"


def breaks(
    message: str, old: Schema | None, new: Schema | None, *, open_topic: bool, held: bool = False
) -> tuple[Break, ...]:
    """Everything in which a change of one message's schema breaks a promise; None stands for no such message.

    `held` says whether documents hold the message.
    """
    if old is None:
        return () if open_topic else (Break(message, "", "the message was added", READER),)
    if new is None:
        return (Break(message, "", "the message was removed", LOG),)
    found = {
        ("", f"{what} was {old[name]}, is {new[name]}"): LOG
        for name, what in (("x-topic", "the topic"), ("x-key", "the key"))
        if old[name] != new[name]
    }
    found |= dict.fromkeys(_Meeting(old, new, old_writes=True).changes(), LOG)
    refused = [*_Meeting(new, old, old_writes=False).changes()]
    if not open_topic:
        found = dict.fromkeys(refused, READER) | found
    elif held:
        found = dict.fromkeys([one for one in refused if one[1] != ADDED_WHERE_REFUSED], DOCUMENT) | found
    return tuple(Break(message, path, change, harm) for (path, change), harm in sorted(found.items()))


class _Meeting:
    """What a writer that follows one schema may write, and a reader that follows the other refuses or loses."""

    def __init__(self, written: Schema, read: Schema, *, old_writes: bool) -> None:
        self._written = written
        self._read = read
        self._old_writes = old_writes

    def changes(self) -> Iterator[Change]:
        yield from self._compare(self._written, self._read, "")

    def _compare(self, written: Schema, read: Schema, path: str) -> Iterator[Change]:
        wanted = _alternatives(written, self._written)
        taken = _alternatives(read, self._read)
        for one in wanted:
            fitting = [other for other in taken if other.get("type") == one.get("type")]
            if not fitting:
                yield path, self._said("type", _types(wanted), _types(taken))
            found = [list(self._compare_same_type(one, other, path)) for other in fitting]
            if all(found):
                yield from min(found, key=len, default=[])

    def _compare_same_type(self, written: Schema, read: Schema, path: str) -> Iterator[Change]:
        for keyword in sorted(read.keys() - STRUCTURE - SAYS_NOTHING):
            if _refuses(keyword, written.get(keyword), read[keyword]):
                yield path, self._said(keyword, written.get(keyword), read[keyword])
        if "items" in read:
            yield from self._compare(written["items"], read["items"], f"{path}[]")
        if "properties" in read:
            yield from self._compare_fields(written, read, f"{path}." if path else "")

    def _compare_fields(self, written: Schema, read: Schema, prefix: str) -> Iterator[Change]:
        writes, reads = written["properties"], read["properties"]
        always, needed = set(written.get("required", ())), set(read.get("required", ()))
        if self._old_writes and _is_closed(read) and not _is_closed(written):
            yield prefix.rstrip("."), "unknown fields are now refused"
        for name, field in writes.items():
            path = prefix + name
            if name in reads:
                yield from self._compare(field, reads[name], path)
                if name not in always | needed and field.get("default") != reads[name].get("default"):
                    yield path, self._said("default", field.get("default"), reads[name].get("default"))
            elif self._old_writes:
                yield path, "the field was removed"
            elif _is_closed(read):
                yield path, ADDED_WHERE_REFUSED
        for name in sorted(needed - always):
            if self._old_writes:
                yield prefix + name, "the field is now required" if name in writes else "a required field was added"
            else:
                yield prefix + name, "the field is no longer required" if name in writes else "the field was removed"

    def _said(self, keyword: str, written: object, read: object) -> str:
        old, new = (written, read) if self._old_writes else (read, written)
        if isinstance(old, list) and isinstance(new, list):
            lost, gained = [value for value in old if value not in new], [value for value in new if value not in old]
            return f"{keyword} lost {lost} and gained {gained}"
        return f"{keyword} was {_shown(old)}, is {_shown(new)}"


def _shown(value: object) -> str:
    if value is None:
        return "not limited"
    return f"one of {len(value)} values" if isinstance(value, list) else repr(value)


def _alternatives(node: Schema, root: Schema) -> list[Schema]:
    """What a node allows, one schema per type, with references followed; a single allowed value becomes a list."""
    if "$ref" in node:
        node = root["$defs"][node["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in node:
        return [found for part in node["anyOf"] for found in _alternatives(part, root)]
    if "const" in node:
        node = {**node, "enum": [node["const"]]}
        del node["const"]
    return [node]


def _is_closed(node: Schema) -> bool:
    """Whether an object may have no other fields than those that are named."""
    return node.get("additionalProperties") is False


def _types(alternatives: list[Schema]) -> str:
    return " or ".join(str(alternative.get("type")) for alternative in alternatives)


def _refuses(keyword: str, written: Any, read: Any) -> bool:  # noqa: ANN401 - whatever a keyword holds
    """Whether the writer may write what the reader's keyword refuses; patterns and the like must be the same."""
    if written is None:
        return True
    if keyword in LOWER_BOUNDS:
        return bool(written < read)
    if keyword in UPPER_BOUNDS:
        return bool(written > read)
    if keyword == "enum":
        return any(value not in read for value in written)
    return bool(written != read)
