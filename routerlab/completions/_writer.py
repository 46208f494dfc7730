"""Records on their way to the disk: what waits together is written together, with one fsync."""

from __future__ import annotations

import asyncio

from routerlab.completions._journal import Journal, Record


class Writer:
    """Appends records to a journal without stopping the event loop.

    Attributes
    ----------
    error : Exception or None
        Why a record could not be written, as a rule an `OSError` of the disk; nothing is written after that.
    unwritten : list of dict
        Records that are not in the journal.
    """

    def __init__(self, journal: Journal) -> None:
        self.error: Exception | None = None
        self.unwritten: list[Record] = []
        self.journal = journal
        self._waiting: list[tuple[Record, asyncio.Future[bool]]] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, record: Record) -> bool:
        """Return once the record is on the disk, or False if it is not."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((record, written))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all())
        # Shielded: a slot that is cancelled here has a paid reply, and the task goes on to write it.
        return await asyncio.shield(written)

    async def finish(self) -> None:
        """Wait for what is under way, then try once more what the disk refused: its replies are paid for."""
        if self._task is not None:
            await self._task
        left, self.unwritten = self.unwritten, []
        for record in left:  # one by one: if one is at fault, the others are not
            try:
                await asyncio.to_thread(self.journal.append, [record])
            except Exception:
                self.unwritten.append(record)

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._write_batch([record for record, _ in batch])
            finally:  # whatever happens, nobody waits for ever
                for _, written in batch:
                    if not written.done():
                        written.set_result(self.error is None)

    async def _write_batch(self, records: list[Record]) -> None:
        if self.error is None:
            try:
                await asyncio.to_thread(self.journal.append, records)
            except Exception as error:
                self.error = error
        if self.error is not None:
            self.unwritten += records
