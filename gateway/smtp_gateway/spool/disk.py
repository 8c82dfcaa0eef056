"""The disk's spool: SQLite used by the event loop alone, with the sync moved out of it.

**The order of durability.** For a group of messages:

1. a large body is written to a file while it arrives, then synced, renamed, and its folder synced, all in a thread
   (`smtp_gateway.spool.draft`, `smtp_gateway.spool.bodies`);
2. the group's rows are committed in one transaction. With `synchronous=NORMAL` this writes to the write-ahead log in the page cache
   and waits for nothing, so it runs in the loop: some 50 microseconds a message;
3. the log's file is given to `fdatasync`, which the kernel does by itself, or a thread (`smtp_gateway.spool.syncing`). This is what
   `synchronous=FULL` does at each commit, at the same place in the order of writes and on the same file; only nobody waits in it;
4. then every `put` of the group is done, and a lease may hand its messages out. Not before: nothing is answered, and nothing
   delivered, that a power cut could take back.

A log whose last frames did not reach the disk is a valid log that ends earlier, because every frame carries a checksum and the salt of its
log: recovery finds whole transactions, and those were not acknowledged. Messages that come while a sync is under way are the next group;
there is no waiting for company (measured: a window of 1 ms gains nothing). A settlement rides with the groups, and the file of a
delivered body is removed only after the settlement is on the disk.

**Turning the log** (SQLite's checkpoint) syncs, so it is done in the thread too: the connection is handed over whole, and meanwhile the loop
only gathers: `lease` has nothing to hand out, `next_due` says "shortly", `body` waits. When the spool is idle for a second
and the log is over 4 MB, or at 64 MB whatever goes on; where the volume is short of room, at 4 MB or less. In the same way an idle second
gives a part of the space back that a backlog left unused in the index, and so does any second in which new mail needs the room.

**Failures.** A failed sync is never repeated on the same file: the kernel reports it once and may have dropped what it could not write. The
group gets `SpoolUnavailableError`, and the spool is broken: `healthy` says so, nothing is taken, nothing is leased.
After a second, and then at growing intervals up to a minute, the log is abandoned and the folder opened again as by a start, with every
checksum; `smtp_gateway.spool.healing` has the rules for what was in somebody's hands. A full disk (`SpoolFullError`) is no failure: new
mail is refused while a reserve is left, with which settlements, and the log's way into the index, go on (`smtp_gateway.spool.room`). A body whose checksum is wrong goes to `damaged/` and out of
the queue (`smtp_gateway.spool.aside`). A damaged index, found at a start or at any later moment, is salvaged: `smtp_gateway.spool.salvage`.
"""

from __future__ import annotations

import asyncio
import errno
import re
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from smtp_gateway.mail.body import DamagedBodyError
from smtp_gateway.spool import arrears, bodies, history, listing, rows
from smtp_gateway.spool.api import FULL, Arrears, Depth, Entry, Listed, NewMessage, Settlement, Space, SpoolFullError, SpoolUnavailableError
from smtp_gateway.spool.aside import Aside
from smtp_gateway.spool.checksum import checksum
from smtp_gateway.spool.draft import FileDraft
from smtp_gateway.spool.folder import claim
from smtp_gateway.spool.journal import Journal, open_journal
from smtp_gateway.spool.ledger import Altering, Ledger, Putting, Settling
from smtp_gateway.spool.room import Look, Room, cost_of
from smtp_gateway.spool.stored import StoredFile
from smtp_gateway.spool.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from smtp_gateway.mail.body import Body
    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Attempted, Selection, UnderWay
    from smtp_gateway.spool.ledger import Alteration
    from smtp_gateway.telemetry.observer import Observer

T = TypeVar("T")

SOON = 1.0
"""Seconds after which it is worth another look while the spool is broken."""
SHORTLY = 0.02
"""Seconds after which the queue is worth another look while the log is turned."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""What an identifier may look like, because large bodies have files named after it."""


class DiskSpool:
    """A `smtp_gateway.spool.api.Spool` on a disk. Made by `open`."""

    def __init__(self, journal: Journal, look: Look, observer: Observer, clock: Callable[[], float]) -> None:
        """Take what `open` prepared."""
        self._room = Room(look)
        self._ledger = Ledger(self._remove, self._room)
        self._writer = Writer(journal, observer, self._ledger)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._files = ThreadPoolExecutor(2, "spool-files")
        self._drafts: set[FileDraft] = set()
        self._aside = Aside(self._writer, self._ledger, self._find, self._files)
        self._oldest: float | None = None
        self._arrears = Arrears()
        self._closed = False

    @classmethod
    async def open(cls, folder: Path, observer: Observer, clock: Callable[[], float] = time.time) -> Self:
        """Open the spool in *folder*, which is created if it is missing; *clock* tells seconds since the epoch.

        Raises `SpoolUnavailableError` with a sentence that says why not: in use, not writable, damaged, from a newer version.
        """
        journal, look, depth = await asyncio.to_thread(_open, folder)
        spool = cls(journal, look, observer, clock)
        spool._ledger.messages, spool._ledger.damaged, spool._oldest = depth.messages, depth.damaged, depth.oldest
        return spool

    @property
    def _journal(self) -> Journal:
        return self._writer.journal

    def reserve(self, octets: int | None) -> None:
        """Keep *octets* of the volume for what is not new mail, from the next look at it on; None: a small part of it. Some is always kept."""
        self._journal.reserve = octets

    def put(self, message: NewMessage, *, leased: bool = False) -> asyncio.Future[Entry]:
        """See `Spool.put`."""
        _demand_name(message.id)
        done: asyncio.Future[Entry] = self._loop.create_future()
        refusal = self._refusal(message)
        if refusal is not None:
            if not isinstance(message.body, bytes):
                message.body.discard()
            done.set_exception(refusal)
            return done
        putting = Putting(self._ledger, rows.arrival(message, bodies.LARGE), leased, done)
        if putting.arrival.body is not None:
            self._writer.put(putting)
        else:
            draft = self._drafted(message)
            draft.finish(partial(self._finished, draft, putting))
        putting.promise(cost_of(len(putting.arrival.body or b"")))
        self._ledger.unsynced.add(message.id)
        return done

    def draft(self, message_id: MessageId) -> FileDraft:
        """See `Spool.draft`."""
        _demand_name(message_id)
        draft = FileDraft(self._journal.folder.bodies, message_id, self._files, self._room)
        if self._closed:
            draft.over.set_result(None)
        else:
            self._drafts.add(draft)
            draft.over.add_done_callback(lambda _: self._drafts.discard(draft))
        return draft

    def lease(self, now: float, limit: int) -> list[Entry]:
        """See `Spool.lease`. While the log is turned, and once the spool is broken, there is nothing to hand out."""
        if self._closed or not self._writer.readable:
            return []
        try:
            due = self._ledger.turns.lease(self._journal.connection, now, limit, self._ledger)
        except sqlite3.Error as fault:
            self._writer.report(fault)
            return []
        self._ledger.leased.update((entry.id, place) for place, entry in due)
        return [entry for _, entry in due]

    def release(self, message_id: MessageId) -> None:
        """See `Spool.release`."""
        self._aside.forget(message_id)
        self._ledger.release(message_id)

    def next_due(self, now: float) -> float | None:
        """See `Spool.next_due`."""
        if self._closed:
            return None
        if not self._writer.readable:
            return self._clock() + (SHORTLY if self._writer.broken is None else SOON)
        try:
            return self._ledger.turns.next_due(self._journal.connection, now)
        except sqlite3.Error as fault:
            self._writer.report(fault)
            return self._clock() + SOON

    async def body(self, message_id: MessageId) -> Body:
        """See `Spool.body`."""
        await self._writer.until_readable()
        with self._reading() as connection:
            stored = rows.find(connection, message_id)
            octets = b"" if stored is None or stored.in_file else rows.octets(connection, stored.number)
        if stored is None:
            raise KeyError(message_id)
        if stored.in_file:
            return await self._body_in_file(message_id, stored)
        await self._verify(message_id, stored, octets, (len(octets), checksum(octets)))
        return octets

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """See `Spool.settle`."""
        ledger = self._ledger
        place = ledger.leased.get(settlement.id)
        if place is None or settlement.id in ledger.settling:
            message = f"{settlement.id} is not leased" if place is None else f"{settlement.id} is being settled already"
            raise ValueError(message)
        notice = None
        if settlement.notice is not None:
            notice = rows.arrival(settlement.notice, sys.maxsize)
            ledger.unsynced.add(notice.entry.id)
        ledger.settling.add(settlement.id)
        done: asyncio.Future[None] = self._loop.create_future()
        settling = Settling(ledger, place, settlement, notice, done)
        if not self._aside.settle(settling):
            self._writer.settle(settling)
        return done

    async def until_readable(self) -> None:
        """See `Spool.until_readable`."""
        await self._writer.until_readable()
        with self._reading():
            return

    def entry(self, message_id: MessageId) -> Entry | None:
        """See `Spool.entry`."""
        with self._reading() as connection:
            return rows.entry(connection, message_id)

    def history(self, message_id: MessageId) -> tuple[Attempted, ...]:
        """See `Spool.history`."""
        with self._reading() as connection:
            stored = rows.find(connection, message_id)
            return () if stored is None else tuple(history.read(connection, stored.number).values())

    def listing(self, selection: Selection, limit: int, after: str = "") -> list[Listed]:
        """See `Spool.listing`."""
        with self._reading() as connection:
            return listing.marked(listing.page(connection, selection, limit, after), self._ledger)

    def stride(self, after: str, messages: int) -> str | None:
        """See `Spool.stride`."""
        with self._reading() as connection:
            return listing.stride(connection, after, messages)

    def hold(self, message_id: MessageId) -> asyncio.Future[bool]:
        """See `Spool.hold`."""
        return self._alter(message_id, partial(listing.hold, held=True))

    def unhold(self, message_id: MessageId) -> asyncio.Future[bool]:
        """See `Spool.unhold`."""
        return self._alter(message_id, partial(listing.hold, held=False))

    def retry(self, message_id: MessageId, now: float) -> asyncio.Future[bool]:
        """See `Spool.retry`."""
        return self._alter(message_id, partial(listing.retry, now=now))

    def remove(self, message_id: MessageId) -> asyncio.Future[bool]:
        """See `Spool.remove`."""
        return self._alter(message_id, listing.remove, removes=True)

    def depth(self) -> Depth:
        """See `Spool.depth`."""
        with suppress(SpoolUnavailableError), self._reading() as connection:
            self._oldest = rows.oldest(connection)
        return Depth(self._ledger.messages, self._oldest, self._ledger.damaged)

    def arrears(self, now: float, under_way: UnderWay) -> Arrears:
        """See `Spool.arrears`."""
        with suppress(SpoolUnavailableError), self._reading() as connection:
            self._arrears = arrears.arrears(connection, now, under_way)
        return self._arrears

    def healthy(self) -> str | None:
        """See `Spool.healthy`. What the volume has left is looked at every second."""
        if self._closed:
            return "the spool is closed"
        if self._writer.broken is not None:
            return self._writer.broken
        if self._room.look.volume.read_only:
            return "the spool's volume is read-only"
        return FULL if self._room.full else None

    def space(self) -> Space:
        """See `Spool.space`."""
        volume = self._room.look.volume
        return Space(volume.size, self._room.free, volume.size - volume.left)

    async def close(self) -> None:
        """See `Spool.close`."""
        if self._closed:
            return
        self._closed = True
        for draft in self._drafts:
            draft.discard()
        await asyncio.gather(*(draft.over for draft in self._drafts), self._aside.close())
        await self._writer.close()
        await asyncio.to_thread(self._files.shutdown)
        self._journal.folder.give_up()

    def _alter(self, message_id: MessageId, alter: Alteration, *, removes: bool = False) -> asyncio.Future[bool]:
        done: asyncio.Future[bool] = self._loop.create_future()
        altering = Altering(self._ledger, message_id, alter, done, removes)
        if self._closed:
            altering.fail(SpoolUnavailableError(self.healthy()))
        else:
            self._writer.alter(altering)
        return done

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection. Raises `SpoolUnavailableError` when it cannot be read now, or turns out to be unreadable."""
        if self._closed or not self._writer.readable:
            raise SpoolUnavailableError(self.healthy() or "the spool's log is being turned")
        try:
            yield self._journal.connection
        except sqlite3.Error as fault:
            self._writer.report(fault)
            raise SpoolUnavailableError(str(fault)) from fault

    def _refusal(self, message: NewMessage) -> SpoolUnavailableError | None:
        """Return why *message* cannot be taken; None when it can. What was drafted has its room already."""
        if self._closed or self._writer.broken is not None or self._room.look.volume.read_only:
            return SpoolUnavailableError(self.healthy())
        if message.id in self._ledger.unsynced:
            return SpoolUnavailableError(f"{message.id} is in the spool already")
        octets = cost_of(len(message.body)) if isinstance(message.body, bytes) else cost_of(0)
        return SpoolFullError(FULL) if octets > self._room.free else None

    def _drafted(self, message: NewMessage) -> FileDraft:
        """Return the draft of a large message, made now when it came whole."""
        if isinstance(message.body, bytes):
            draft = self.draft(message.id)
            draft.write(message.body)
            return draft
        if not isinstance(message.body, FileDraft) or message.body.message_id != message.id:
            text = f"{message.id} was given a body that was not drafted for it"
            raise ValueError(text)
        return message.body

    def _finished(self, draft: FileDraft, putting: Putting, fault: BaseException | None) -> None:
        """Let the row follow, now that a large body is in its file; or tell why it is not."""
        if fault is None:
            putting.arrival = putting.arrival._replace(checksum=draft.checksum)
            self._writer.put(putting)
            return
        kind = SpoolFullError if isinstance(fault, OSError) and fault.errno in _NO_ROOM else SpoolUnavailableError
        putting.give_up(kind(f"a body could not be written: {getattr(fault, 'strerror', None) or fault}"))

    async def _body_in_file(self, message_id: MessageId, stored: rows.Stored) -> Body:
        path = self._journal.folder.bodies / message_id
        beginning, size = await self._in_thread(partial(bodies.beginning, path))
        if size != stored.size:
            await self._verify(message_id, stored, path, (size, 0))
        end = beginning.find(b"\r\n\r\n")
        headers = beginning if end < 0 else beginning[: end + 4]
        body = StoredFile(path, size, headers, self._files, lambda *found: self._verify(message_id, stored, path, found))
        return body if size > bodies.LARGE else b"".join([block async for block in body.blocks()])

    async def _verify(self, message_id: MessageId, stored: rows.Stored, body: bytes | Path, found: tuple[int, int]) -> None:
        """Return when the size and the checksum *found* are the right ones. Raises `DamagedBodyError`, with *body* on its way aside."""
        size, checksum = found
        if (size, checksum) == (stored.size, stored.checksum):
            return
        await self._aside.take(message_id, body)
        text = f"the body of {message_id} was {stored.size} octets with checksum {stored.checksum:08x}, is {size} with {checksum:08x}"
        raise DamagedBodyError(text)

    def _find(self, message_id: MessageId) -> tuple[Entry | None, rows.Stored | None]:
        with self._reading() as connection:
            return rows.entry(connection, message_id), rows.find(connection, message_id)

    def _remove(self, message_id: MessageId) -> None:
        """Remove a body's file, whenever a thread is free; what is missed is swept at the next start."""
        self._files.submit(bodies.remove, self._journal.folder.bodies, message_id)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._files, work)


def _demand_name(message_id: str) -> None:
    if _NAME.fullmatch(message_id) is None:
        text = f"{message_id!r} cannot name a message"
        raise ValueError(text)


def _open(path: Path) -> tuple[Journal, Look, Depth]:
    folder = claim(path)
    try:
        journal = open_journal(folder)
    except BaseException:
        folder.give_up()
        raise
    depth = Depth(rows.count(journal.connection), rows.oldest(journal.connection), bodies.count_aside(folder.damaged))
    return journal, journal.look(), depth
