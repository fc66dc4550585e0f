"""What is shown of a partition's documents elsewhere: after the fact, and nothing waits for it."""

import asyncio
from contextlib import suppress

from chassis.decision import Document
from chassis.service import Copy, View
from chassis.telemetry import logger

RETRY_S = 1.0
FINISH_S = 1.0
"""How long a stop waits for what is still to be shown."""
MOST_DOCUMENTS = 10_000
"""The most copies that wait for a failing view; beyond that the oldest are dropped."""


class Showing:
    """Shows what changed; of several changes of a document only the last may be shown."""

    def __init__(self, view: View | None, partition: int) -> None:
        self._view = view
        self._logger = logger(partition=partition)
        self._waiting: dict[str, Copy] = {}
        """By the documents' keys, and never the documents: while a view fails they may be very many."""
        self._added = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()

    def add(self, document: Document) -> None:
        """It is to be shown as it is now."""
        if self._view is None or (shown := self._of(self._view, document)) is None:
            return
        self._waiting[document.key] = shown
        self._added.set()
        self._done.clear()

    def _of(self, view: View, document: Document) -> Copy | None:
        try:
            return view.of(document)
        except Exception as bug:  # noqa: BLE001 - a bug in what is shown keeps no partition from deciding
            self._logger.warning("a document cannot be shown", document=document.key, reason=repr(bug))
            return None

    async def run(self) -> None:
        """Show what is added, until cancelled; what could not be shown is shown later."""
        while self._view is not None:
            await self._added.wait()
            self._added.clear()
            batch, self._waiting = self._waiting, {}
            try:
                await self._view.show(list(batch.values()))
            except Exception as failed:  # noqa: BLE001 - a view holds copies only, and its readers do without
                self._logger.warning("the view was not updated", documents=len(batch), reason=repr(failed))
                self._waiting = batch | self._waiting
                for key in list(self._waiting)[:-MOST_DOCUMENTS]:
                    del self._waiting[key]
                self._added.set()
                await asyncio.sleep(RETRY_S)
            if not self._waiting:
                self._done.set()

    async def finish(self) -> None:
        """Give it the chance to show what it has."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                await self._done.wait()
