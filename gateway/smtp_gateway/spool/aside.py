"""Messages with a damaged body, on their way out of the queue to `damaged/`: what is left of each is kept there, with who is still owed it.

Whoever leased such a message is told of the damage and settles it as any other: next hops may have taken it while it could be read, and only
those who are owed it after that settlement are written down. One that nobody leased is moved at once. The files are durable before the rows
go, so a crash in between changes nothing: the damage is found again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from smtp_gateway.spool import bodies
from smtp_gateway.spool.api import Settlement, SpoolUnavailableError
from smtp_gateway.spool.ledger import Settling

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor
    from pathlib import Path

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry
    from smtp_gateway.spool.ledger import Ledger
    from smtp_gateway.spool.rows import Stored
    from smtp_gateway.spool.writer import Writer

    Find = Callable[[MessageId], tuple[Entry | None, Stored | None]]
    """Finds a message in the index; raises `SpoolUnavailableError` when that cannot be read now."""


class Aside:
    """The way to `damaged/`."""

    def __init__(self, writer: Writer, ledger: Ledger, find: Find, files: Executor) -> None:
        """Settle by *writer* what *find* finds, and move files by a thread of *files*."""
        self._writer = writer
        self._ledger = ledger
        self._find = find
        self._files = files
        self._found: dict[MessageId, bytes | Path] = {}
        """What is left of messages that somebody leased."""
        self._moving: dict[MessageId, asyncio.Task[None]] = {}

    async def take(self, message_id: MessageId, body: bytes | Path) -> None:
        """Take note that *body*, where the message's is, is damaged; return once it is moved aside, unless somebody has its lease.

        Raises `KeyError` when the message has left the queue, and `SpoolUnavailableError` when it cannot be moved now.
        """
        if message_id in self._ledger.leased:
            self._note(message_id, body)
        else:
            await asyncio.shield(self._moving.get(message_id) or self._begin(message_id, self._move(message_id, body)))

    def settle(self, settling: Settling) -> bool:
        """Move the message of *settling* aside, with those who are still owed it, if it is known to be damaged; tell whether it is."""
        body = self._found.pop(settling.settlement.id, None)
        if body is None or not settling.settlement.remaining:
            return False
        self._begin(settling.settlement.id, self._settle(settling, body))
        return True

    def forget(self, message_id: MessageId) -> None:
        """Let whoever leases the message next find out."""
        self._found.pop(message_id, None)

    async def close(self) -> None:
        """Return when nothing is on its way any more."""
        await asyncio.gather(*self._moving.values(), return_exceptions=True)

    def _begin(self, message_id: MessageId, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        moving = self._moving[message_id] = asyncio.get_running_loop().create_task(work)
        moving.add_done_callback(lambda _: self._moving.pop(message_id))
        return moving

    def _note(self, message_id: MessageId, body: bytes | Path) -> None:
        if message_id not in self._ledger.settling:
            self._found[message_id] = body

    async def _move(self, message_id: MessageId, body: bytes | Path) -> None:
        """Move a message aside that nobody leased."""
        await self._writer.until_readable()
        entry, stored = self._find(message_id)
        if entry is None or stored is None:
            raise KeyError(message_id)
        if message_id in self._ledger.leased:
            self._note(message_id, body)
            return
        self._ledger.leased[message_id] = stored.place
        self._ledger.settling.add(message_id)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._settle(Settling(self._ledger, stored.place, Settlement(message_id, entry.recipients), None, done), body)
        try:
            await done
        except SpoolUnavailableError:
            self.forget(message_id)
            self._ledger.release(message_id)
            raise

    async def _settle(self, settling: Settling, body: bytes | Path) -> None:
        """Keep what is left of a message, then let its rows go."""
        settlement = settling.settlement
        try:
            await self._keep(settlement, body)
        except Exception as fault:  # noqa: BLE001 whatever it is, nobody may wait for ever; it is told to who settles
            self._found[settlement.id] = body
            settling.fail(SpoolUnavailableError(f"a damaged message cannot be moved aside: {fault}"))
            return
        settling.settlement = replace(settlement, remaining=(), history=())
        self._writer.settle(settling)

    async def _keep(self, settlement: Settlement, body: bytes | Path) -> None:
        """Keep what is left of a message, unless a salvage has seen to that."""
        await self._writer.until_readable()
        entry, _ = self._find(settlement.id)
        if entry is not None:
            owed, folder = replace(entry, recipients=settlement.remaining), self._writer.journal.folder.damaged
            self._ledger.damaged = await asyncio.get_running_loop().run_in_executor(self._files, _set_aside, folder, owed, body)


def _set_aside(folder: Path, entry: Entry, body: bytes | Path) -> int:
    bodies.set_aside(folder, entry, body)
    return bodies.count_aside(folder)
