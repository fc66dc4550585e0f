"""The documents of a partition in memory: those in flight, and the last used of the others."""

from collections.abc import Iterable, Iterator, Mapping

from chassis.decision import Document
from chassis.entry import Change, Stored


class Memory:
    """What is committed, and which of it the store does not have yet.

    A document that the store does not have yet is never dropped; of the others the least recently changed or loaded
    are, when there are too many.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._held: dict[str, Stored | None] = {}
        self._dirty: dict[str, Change] = {}
        self.unsaved_bytes = 0
        """How much the store does not have yet, as it is written."""

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str) -> Stored | None:
        return self._held[key]

    def is_new(self, key: str) -> bool:
        """Whether the store is believed not to have the document: it said so, or was never asked, and nothing was
        written since.
        """
        unsaved = self._dirty.get(key)
        return unsaved.is_first if unsaved is not None else self._held.get(key) is None

    def learn(self, keys: Iterable[str], found: Mapping[str, Stored]) -> None:
        """Take in what the store said about these keys."""
        for key in keys:
            self._held.setdefault(key, found.get(key))

    def commit(self, stored: Stored, change: Change) -> None:
        """Take in what an entry changed."""
        self._held.pop(change.key, None)
        self._held[change.key] = stored
        self._forget(change.key)
        self._dirty[change.key] = change
        self.unsaved_bytes += len(change.body)

    def unsaved(self) -> list[Change]:
        """What the store does not have yet."""
        return list(self._dirty.values())

    def saved(self, changes: Iterable[Change]) -> None:
        """The store has these now; those that changed meanwhile stay unsaved."""
        for change in changes:
            if self._dirty.get(change.key) is change:
                self._forget(change.key)

    def _forget(self, key: str) -> None:
        """What is unsaved of this document is saved, or overtaken."""
        if (change := self._dirty.pop(key, None)) is not None:
            self.unsaved_bytes -= len(change.body)

    def shrink(self) -> None:
        """Drop what may be dropped; between batches only, for a batch counts on what it found in memory."""
        surplus = len(self._held) - len(self._dirty) - self._keep
        if surplus > 0:
            clean = (key for key in self._held if key not in self._dirty)
            for key in [key for key, _ in zip(clean, range(surplus), strict=False)]:
                del self._held[key]


class Working(Mapping[str, "Document | None"]):
    """The documents as a batch sees them: what it has changed so far, over what is committed."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.changed: dict[str, Stored] = {}

    def __getitem__(self, key: str) -> Document | None:
        stored = self.stored(key)
        return stored.document if stored else None

    def __contains__(self, key: object) -> bool:
        return key in self.changed or (isinstance(key, str) and key in self._memory)

    def __iter__(self) -> Iterator[str]:
        return iter(self.changed)

    def __len__(self) -> int:
        return len(self.changed)

    def put(self, document: Document, trace: str | None) -> None:
        """Change it; `trace` is the traceparent of what did."""
        self.changed[document.key] = Stored(document, trace)

    def stored(self, key: str) -> Stored | None:
        changed = self.changed.get(key)
        return changed if changed is not None else self._memory.get(key)
