"""What is shown of a partition's documents elsewhere: after the fact, and nothing waits for it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from chassis.decision import Document
from chassis.service import View
from chassis.telemetry import logger

RETRY_S = 1.0
FINISH_S = 1.0
"""How long a stop waits for what is still to be shown."""
MOST_DOCUMENTS = 10_000
"""So many changed documents wait for a view that fails, at the most; the oldest are left out then."""


class Showing:
    """Shows what changed; of several changes of a document only the last may be shown."""

    def __init__(self, view: View | None, partition: int) -> None:
        self._view = view
        self._logger = logger(partition=partition)
        self._waiting: dict[str, Document] = {}
        self._added = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()

    def add(self, documents: Mapping[str, Document]) -> None:
        """These are to be shown as they are now."""
        if self._view is not None and documents:
            self._waiting.update(documents)
            self._added.set()
            self._done.clear()

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
