"""Group commit: what is to be written gathers while the last group is synced, then goes into one transaction and one sync.

`smtp_gateway.spool.disk` has the order of durability. This module is its steps 2 to 4, the turning of the log, and the rule that a failed
sync is the end: of the group, and of writing until the process is started again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from smtp_gateway.spool import rows
from smtp_gateway.spool.api import FULL, Settlement, SpoolFullError, SpoolUnavailableError
from smtp_gateway.spool.journal import LOG_SOFT, Journal, Synced

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.telemetry.observer import Observer

_log = structlog.get_logger()
T = TypeVar("T")

LOG_HARD = 64 * 1024 * 1024
"""Octets of log above which it is turned although there is work."""
TEND = 1.0
"""Seconds between two looks at the volume and at the log; a log is turned early when nothing was written between two of them."""

Change = rows.Arrival | Settlement


_Waiting = tuple[Change, "asyncio.Future[bool]"]


@dataclass(slots=True, eq=False)
class _Group:
    """What one transaction writes and one sync makes durable."""

    waiting: list[_Waiting]
    arrivals: list[rows.Arrival]
    """New messages, the notices of settlements among them."""
    settlements: list[Settlement]
    unused: frozenset[str] = frozenset()
    """The settled messages whose bodies were in files."""
    began: float = field(default_factory=time.perf_counter)

    def fail(self, fault: SpoolUnavailableError) -> None:
        for _, done in self.waiting:
            done.set_exception(fault)

    def succeed(self) -> None:
        for change, done in self.waiting:
            done.set_result(isinstance(change, Settlement) and change.id in self.unused)


def _group(waiting: list[_Waiting]) -> _Group:
    changes = [change for change, _ in waiting]
    settlements = [change for change in changes if isinstance(change, Settlement)]
    notices = [settlement.notice for settlement in settlements if settlement.notice is not None]
    returned = [rows.Arrival(notice, rows.checksum(notice.body), in_file=False) for notice in notices]
    return _Group(waiting, [change for change in changes if isinstance(change, rows.Arrival)] + returned, settlements)


class Writer:
    """The one writer of a journal, in the event loop."""

    def __init__(self, journal: Journal, known: Synced, observer: Observer) -> None:
        """Write to *journal*, of which *known* is known; called in the event loop."""
        self.known = known
        self.broken: str | None = None
        """Why nothing can be written any more, as a sentence; None while it can."""
        self._journal = journal
        self._observer = observer
        self._thread = ThreadPoolExecutor(1, "spool-sync")
        self._gathering: list[_Waiting] = []
        self._syncing = False
        self._turning = False
        self._groups = 0
        self._watchers: list[asyncio.Future[None]] = []
        self._tending = asyncio.create_task(self._tend())

    @property
    def readable(self) -> bool:
        """Whether the connection is in the loop's hands and what it reads can be relied on."""
        return not self._turning and self.broken is None

    def write(self, change: Change) -> asyncio.Future[bool]:
        """Gather *change*; the future is done when it is durable, with whether a body's file is now unused.

        It fails with `SpoolUnavailableError` or `SpoolFullError`, and must not be cancelled (`asyncio.shield`).
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()
        self._gathering.append((change, done))
        if len(self._gathering) == 1:
            loop.call_soon(self._flush)
        return done

    async def until_readable(self) -> None:
        """Wait while the log is turned."""
        while self._turning:
            await self._news()

    async def close(self) -> None:
        """Write what was gathered, and close the journal: for good after a failure, cleanly otherwise."""
        while self._gathering or self._syncing or self._turning:
            await self._news()
        self._tending.cancel()
        with suppress(asyncio.CancelledError):
            await self._tending
        if self.broken is None:
            try:
                await self._in_thread(self._journal.close)
            except sqlite3.Error as fault:  # nothing is lost: the log is durable, and the next start reads it
                _log.warning("spool not closed cleanly", reason=str(fault))
        else:
            self._journal.abandon()
        self._thread.shutdown(wait=False)

    def _flush(self) -> None:
        """Commit what has gathered and begin its sync; called again when a sync or a turn is over."""
        if self._syncing or self._turning or not self._gathering:
            return
        group, self._gathering = _group(self._gathering), []
        if self.broken is not None:
            group.fail(SpoolUnavailableError(self.broken))
        elif self._commit(group):
            self._groups += 1
            self._syncing = True
            syncing = asyncio.get_running_loop().run_in_executor(self._thread, self._journal.sync)
            syncing.add_done_callback(partial(self._synced, group))
        self._tell()

    def _commit(self, group: _Group) -> bool:
        try:
            group.unused = frozenset(self._journal.commit(group.arrivals, group.settlements))
        except sqlite3.Error as fault:
            self._refused(group, fault)
            return False
        return True

    def _refused(self, group: _Group, fault: sqlite3.Error) -> None:
        """Fail a group that could not be committed. On a full disk its settlements are tried once more without the new mail."""
        error = self._translated(fault)
        settlements = [pair for pair in group.waiting if isinstance(pair[0], Settlement)]
        if isinstance(error, SpoolFullError) and 0 < len(settlements) < len(group.waiting):
            group.waiting = [pair for pair in group.waiting if not isinstance(pair[0], Settlement)]
            self._gathering[:0] = settlements
            asyncio.get_running_loop().call_soon(self._flush)
        group.fail(error)

    def _synced(self, group: _Group, syncing: asyncio.Future[Synced]) -> None:
        self._syncing = False
        fault = syncing.exception()
        if fault is None:
            self.known = syncing.result()
            self._observer.synced(len(group.arrivals), time.perf_counter() - group.began)
            group.succeed()
        else:
            self._break(f"a sync of the spool's log failed: {fault}")
            self._journal.withdraw(group.arrivals)
            group.fail(SpoolUnavailableError(self.broken))
        if self.known.log_size > LOG_HARD and self.broken is None:
            self._begin_turn()
        self._flush()
        self._tell()

    def _begin_turn(self) -> None:
        """Hand the connection to the thread; until it comes back, nothing is read or written here."""
        self._turning = True
        turning = asyncio.get_running_loop().run_in_executor(self._thread, self._journal.turn)
        turning.add_done_callback(self._turned)

    def _turned(self, turning: asyncio.Future[Synced]) -> None:
        self._turning = False
        fault = turning.exception()
        if fault is None:
            self.known = turning.result()
        elif not isinstance(self._translated(fault), SpoolFullError):
            self._break(f"the spool's log could not be moved into its index: {fault}")
        self._flush()
        self._tell()

    async def _tend(self) -> None:
        """Look at the volume every now and then, and turn the log when there is nothing else to do."""
        while True:
            groups = self._groups
            await asyncio.sleep(TEND)
            with suppress(OSError):  # a volume that cannot be asked fails the next write, which says why
                self.known = await self._in_thread(self._journal.look)
            idle = groups == self._groups and not (self._syncing or self._turning or self._gathering)
            if idle and self.known.log_size > LOG_SOFT and self.broken is None:
                self._begin_turn()

    def _translated(self, fault: BaseException) -> SpoolUnavailableError:
        """Return what callers are told about *fault*; whatever is not a full disk or a matter of the rows breaks the spool."""
        code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return SpoolFullError(FULL)
        if code != sqlite3.SQLITE_CONSTRAINT:
            self._break(f"the spool's index cannot be written: {fault}")
        return SpoolUnavailableError(str(fault))

    def _break(self, why: str) -> None:
        self.broken = self.broken or f"{why}; the process must be started again"
        _log.critical("spool broken", reason=self.broken)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _news(self) -> None:
        watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.append(watcher)
        await watcher

    def _tell(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)
