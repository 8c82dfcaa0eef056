"""The disk's spool: SQLite used by the event loop alone, with the sync moved out of it.

**The order of durability.** For a group of messages:

1. a large body is written to a file, synced, renamed, and its folder synced, in a thread (`smtp_gateway.spool.bodies`);
2. the group's rows are committed in one transaction. With `synchronous=NORMAL` this writes to the write-ahead log in the page cache
   and waits for nothing, so it runs in the loop: some 50 microseconds a message;
3. the log's file is given to `fdatasync` in a thread. This is what `synchronous=FULL` does at each commit, at the same place in the order
   of writes and on the same file; only the thread that waits is another one;
4. then every `put` of the group returns, and a lease may hand its messages out. Not before: nothing is answered, and nothing
   delivered, that a power cut could take back.

A log whose last frames did not reach the disk is a valid log that ends earlier, because every frame carries a checksum and the salt of its
log: recovery finds whole transactions, and those were not acknowledged. Messages that come while a sync is under way are the next group;
there is no waiting for company (measured: a window of 1 ms gains nothing). A settlement rides with the groups, and the file of a
delivered body is removed only after the settlement is on the disk.

**Turning the log** (SQLite's checkpoint) syncs, so it is done in the thread too: the connection is handed over whole, and meanwhile the loop
only gathers: `lease` has nothing to hand out, `next_due` says "shortly", `body` waits. When the spool is idle for a second
and the log is over 4 MB, or at 64 MB whatever goes on.

**Failures.** A failed sync is never repeated on the same file: the kernel reports it once and may have dropped what it could not write. The
group gets `SpoolUnavailableError`, its messages are taken out of the index as far as that can be written, and the spool is
broken until the process is started again: `healthy` says so, nothing is taken, nothing is leased. The restart reads what is really on the
disk, with every checksum. A full disk (`SpoolFullError`) heals by itself; a reserve keeps room for settlements. A body whose checksum is
wrong goes to `damaged/` and out of the queue.
"""

from __future__ import annotations

import asyncio
import errno
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from smtp_gateway.spool import bodies, rows
from smtp_gateway.spool.api import FULL, DamagedBodyError, Depth, Entry, NewMessage, Settlement, SpoolFullError, SpoolUnavailableError
from smtp_gateway.spool.folder import Folder, claim
from smtp_gateway.spool.journal import Journal, Synced, open_journal
from smtp_gateway.spool.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.telemetry.observer import Observer

T = TypeVar("T")

SHORTLY = 0.02
"""Seconds after which the queue is worth another look while the log is turned."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""What an identifier may look like, because large bodies have files named after it."""


class DiskSpool:
    """A `smtp_gateway.spool.api.Spool` on a disk. Made by `open`."""

    def __init__(self, journal: Journal, writer: Writer, clock: Callable[[], float]) -> None:
        """Take what `open` prepared."""
        self._journal = journal
        self._writer = writer
        self._clock = clock
        self._files = ThreadPoolExecutor(2, "spool-files")
        self._leased: set[MessageId] = set()
        self._unsynced: set[MessageId] = set()
        """In the index perhaps, on the disk not yet: neither acknowledged nor to be delivered."""
        self._depth = Depth()
        self._closed = False

    @classmethod
    async def open(cls, folder: Path, observer: Observer, clock: Callable[[], float] = time.time) -> Self:
        """Open the spool in *folder*, which is created if it is missing; *clock* tells seconds since the epoch.

        Raises `SpoolUnavailableError` with a sentence that says why not: in use, not writable, damaged, from a newer version.
        """
        journal, known, depth = await asyncio.to_thread(_open, folder)
        spool = cls(journal, Writer(journal, known, observer), clock)
        spool._depth = depth
        return spool

    async def put(self, message: NewMessage, *, leased: bool = False) -> Entry:
        """See `Spool.put`."""
        self._demand_room(message)
        await self._demand_new(message.id)
        self._unsynced.add(message.id)
        try:
            large = len(message.body) > bodies.LARGE
            checksum = await self._store(message) if large else rows.checksum(message.body)
        except BaseException:
            self._unsynced.discard(message.id)
            raise
        writing = self._writer.write(rows.Arrival(message, checksum, large))
        if leased:
            # Before `_arrived`, so that between the end of the sync and the caller's turn nobody else leases it.
            writing.add_done_callback(partial(self._handed_over, message.id))
        writing.add_done_callback(partial(self._arrived, message.id, large))
        await asyncio.shield(writing)
        return message.as_entry()

    def lease(self, now: float, limit: int) -> list[Entry]:
        """See `Spool.lease`. While the log is turned, and once the spool is broken, there is nothing to hand out."""
        if self._closed or not self._writer.readable:
            return []
        entries = rows.due(self._journal.connection, now, limit, self._leased | self._unsynced)
        self._leased.update(entry.id for entry in entries)
        return entries

    def release(self, message_id: MessageId) -> None:
        """See `Spool.release`."""
        self._leased.discard(message_id)

    def next_due(self, now: float) -> float | None:
        """See `Spool.next_due`."""
        if self._closed or self._writer.broken is not None:
            return None
        if not self._writer.readable:
            return self._clock() + SHORTLY
        return rows.next_due(self._journal.connection, now)

    async def body(self, message_id: MessageId) -> bytes:
        """See `Spool.body`."""
        await self._writer.until_readable()
        stored = rows.find(self._journal.connection, message_id)
        if stored is None:
            raise KeyError(message_id)
        octets = b"" if stored.in_file else rows.octets(self._journal.connection, stored.number)
        if stored.in_file:
            octets, found = await self._in_thread(partial(_read, self._journal.folder, message_id))
        else:
            found = rows.checksum(octets)
        if (found, len(octets)) != (stored.checksum, stored.size):
            await self._set_aside(message_id, octets)
            message = (
                f"the body of {message_id} was {stored.size} octets with checksum {stored.checksum:08x}, is {len(octets)} with {found:08x}"
            )
            raise DamagedBodyError(message)
        return octets

    async def settle(self, settlement: Settlement) -> None:
        """See `Spool.settle`."""
        if settlement.id not in self._leased:
            message = f"{settlement.id} is not leased"
            raise ValueError(message)
        if settlement.notice is not None:
            self._unsynced.add(settlement.notice.id)
        writing = self._writer.write(settlement)
        writing.add_done_callback(partial(self._settled, settlement))
        await asyncio.shield(writing)

    def depth(self) -> Depth:
        """See `Spool.depth`."""
        if not self._closed and self._writer.readable:
            self._depth = replace(self._depth, oldest=rows.oldest(self._journal.connection))
        return self._depth

    def healthy(self) -> str | None:
        """See `Spool.healthy`. What the volume has left is looked at every second."""
        if self._closed:
            return "the spool is closed"
        if self._writer.broken is not None:
            return self._writer.broken
        if self._writer.known.room.read_only:
            return "the spool's volume is read-only"
        return None if self._writer.known.room.free else FULL

    async def close(self) -> None:
        """See `Spool.close`."""
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        await asyncio.to_thread(self._files.shutdown)
        self._journal.folder.give_up()

    def _demand_room(self, message: NewMessage) -> None:
        if _NAME.fullmatch(message.id) is None:
            text = f"{message.id!r} cannot name a message"
            raise ValueError(text)
        reason = self.healthy()
        room = self._writer.known.room
        if reason is not None and (self._closed or self._writer.broken or room.read_only):
            raise SpoolUnavailableError(reason)
        if len(message.body) > room.free:
            raise SpoolFullError(FULL)

    async def _demand_new(self, message_id: MessageId) -> None:
        """Refuse an identifier that is taken: its body's file must not be written over."""
        await self._writer.until_readable()
        if message_id in self._unsynced or rows.find(self._journal.connection, message_id) is not None:
            text = f"{message_id} is in the spool already"
            raise SpoolUnavailableError(text)

    async def _store(self, message: NewMessage) -> int:
        """Make a large body durable in its file and return its checksum."""
        try:
            return await self._in_thread(partial(_write, self._journal.folder, message))
        except OSError as fault:
            kind = SpoolFullError if fault.errno in _NO_ROOM else SpoolUnavailableError
            text = f"a body could not be written: {fault.strerror or fault}"
            raise kind(text) from fault

    def _handed_over(self, message_id: MessageId, writing: asyncio.Future[bool]) -> None:
        if writing.exception() is None:
            self._leased.add(message_id)

    def _arrived(self, message_id: MessageId, large: bool, writing: asyncio.Future[bool]) -> None:  # noqa: FBT001 bound by partial
        """Count a message once it is durable; called whether or not anybody still waits for it."""
        self._unsynced.discard(message_id)
        if writing.exception() is None:
            self._count(1)
        elif large:
            self._remove(message_id)

    def _settled(self, settlement: Settlement, writing: asyncio.Future[bool]) -> None:
        """End the lease once the settlement is durable, and only then remove the body's file."""
        if settlement.notice is not None:
            self._unsynced.discard(settlement.notice.id)
        if writing.exception() is not None:
            return
        self._leased.discard(settlement.id)
        self._count((settlement.notice is not None) - (not settlement.remaining))
        if writing.result():
            self._remove(settlement.id)

    async def _set_aside(self, message_id: MessageId, octets: bytes) -> None:
        """Move what is left of a message to `damaged/`, durably, then take it out of the queue."""
        entry = rows.entry(self._journal.connection, message_id)
        if entry is not None:
            await self._in_thread(partial(bodies.set_aside, self._journal.folder.damaged, entry, octets))
            await self.settle(Settlement(message_id))
            self._depth = replace(self._depth, damaged=self._depth.damaged + 1)

    def _count(self, difference: int) -> None:
        self._depth = replace(self._depth, messages=self._depth.messages + difference)

    def _remove(self, message_id: MessageId) -> None:
        """Remove a body's file, whenever a thread is free; what is missed is swept at the next start."""
        self._files.submit(bodies.remove, self._journal.folder.bodies, message_id)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._files, work)


def _open(path: Path) -> tuple[Journal, Synced, Depth]:
    folder = claim(path)
    try:
        journal = open_journal(folder)
    except BaseException:
        folder.give_up()
        raise
    depth = Depth(rows.count(journal.connection), rows.oldest(journal.connection), bodies.count_aside(folder.damaged))
    return journal, journal.look(), depth


def _write(folder: Folder, message: NewMessage) -> int:
    bodies.write(folder.bodies, message.id, message.body)
    return rows.checksum(message.body)


def _read(folder: Folder, message_id: MessageId) -> tuple[bytes, int]:
    octets = bodies.read(folder.bodies, message_id)
    return octets, rows.checksum(octets)
