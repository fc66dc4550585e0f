"""What is held in memory of a partition's documents, and what the store is believed to have of them."""

from chassis.decision import Document
from chassis.engine.memory import Memory
from chassis.entry import Change, Stored


class Cup(Document):
    kind = "cup"


CUP = Stored(Cup(id="a"), None)
KEY = CUP.document.key
OTHERS = {f"cup/{name}": Stored(Cup(id=name), None) for name in "bc"}


def change_of(memory: Memory, entry: int) -> Change:
    return Change(KEY, b"{}", None, None, None, entry, is_first=memory.is_new(KEY))


def test_a_document_is_new_until_the_store_was_given_it() -> None:
    memory = Memory(keep=10)
    memory.learn([KEY], {})
    memory.commit(CUP, change_of(memory, 1))
    memory.commit(CUP, second := change_of(memory, 2))
    assert second.is_first
    memory.saved([second])
    assert not memory.is_new(KEY)


def test_a_document_that_the_store_had_is_not_new() -> None:
    memory = Memory(keep=10)
    memory.learn([KEY], {KEY: CUP})
    assert not memory.is_new(KEY)
    memory.commit(CUP, change := change_of(memory, 1))
    memory.commit(CUP, change_of(memory, 2))
    assert not change.is_first
    assert not memory.is_new(KEY)


def test_what_was_changed_last_is_forgotten_last() -> None:
    memory = Memory(keep=1)
    memory.learn([KEY, *OTHERS], {KEY: CUP, **OTHERS})
    memory.commit(CUP, change := change_of(memory, 1))
    memory.saved([change])
    memory.shrink()
    assert [key for key in (KEY, *OTHERS) if key in memory] == [KEY]


def test_what_the_store_does_not_have_takes_no_place_of_what_it_has() -> None:
    memory = Memory(keep=2)
    memory.learn([*OTHERS, KEY], OTHERS)
    memory.commit(CUP, change := change_of(memory, 1))
    memory.shrink()
    assert len(memory) == 3
    memory.saved([change])
    memory.shrink()
    assert len(memory) == 2
