"""What is to be shown waits for a view that fails; the documents do not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from weakref import ref

import structlog
from chassis.decision import Document
from chassis.engine.showing import RETRY_S, Showing


class Note(Document):
    kind = "notes"
    text: str


class Tick(Document):
    kind = "ticks"


class Window:
    """Shows the texts of notes, unless it is shut."""

    def __init__(self, *, shut: bool = False) -> None:
        self.shut = shut
        self.seen: list[str] = []

    def of(self, document: Document) -> str | None:
        if not isinstance(document, Note):
            return None
        if document.text == "bug":
            raise KeyError("a bug in the view")
        return document.text

    async def show(self, texts: Sequence[str]) -> None:
        if self.shut:
            raise ConnectionError("no Redis")
        self.seen += texts


@asynccontextmanager
async def running(showing: Showing) -> AsyncIterator[None]:
    task = asyncio.create_task(showing.run())
    yield
    task.cancel()


async def test_a_view_that_fails_holds_none_of_the_documents_that_it_is_to_show() -> None:
    window = Window(shut=True)
    showing = Showing(window, 0)
    async with running(showing):
        notes = [Note(id=str(number), text=f"note {number}") for number in range(3)]
        for note in notes:
            showing.add(note)
        held = [ref(note) for note in notes]
        await asyncio.sleep(3 * RETRY_S)
        del note, notes
        assert [one() for one in held] == [None, None, None]
        window.shut = False
        await showing.finish()
    assert window.seen == ["note 0", "note 1", "note 2"]


async def test_what_a_view_does_not_show_is_not_waited_for() -> None:
    window = Window()
    showing = Showing(window, 0)
    showing.add(Tick(id="other"))
    clock = asyncio.get_running_loop().time
    begun = clock()
    await showing.finish()
    assert (clock(), window.seen) == (begun, [])


async def test_a_document_that_a_view_cannot_show_keeps_no_other_from_being_shown() -> None:
    window = Window()
    showing = Showing(window, 0)
    with structlog.testing.capture_logs() as logged:
        async with running(showing):
            for text in ("before", "bug", "after"):
                showing.add(Note(id=text, text=text))
            await showing.finish()
    assert window.seen == ["before", "after"]
    assert [(line["event"], line["document"]) for line in logged] == [("a document cannot be shown", "notes/bug")]
