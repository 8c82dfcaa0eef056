"""Group commit: what is to be written gathers while the last group is synced, then goes into one transaction and one sync.

`smtp_gateway.spool.disk` has the order of durability. This module is its steps 2 to 4, the turning of the log, and the rule that a failed
sync is the end: of the group, and of writing until the folder was opened again (`smtp_gateway.spool.healing`).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from smtp_gateway.spool import schema
from smtp_gateway.spool.api import FULL, SpoolFullError, SpoolUnavailableError
from smtp_gateway.spool.healing import heal, patient_of
from smtp_gateway.spool.journal import Journal
from smtp_gateway.spool.room import ROUNDED
from smtp_gateway.spool.syncing import Syncing

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.spool import rows
    from smtp_gateway.spool.ledger import Altering, Ledger, Putting, Settling
    from smtp_gateway.spool.room import Look
    from smtp_gateway.telemetry.observer import Observer

_log = structlog.get_logger()
T = TypeVar("T")

LOG_HARD = 64 * 1024 * 1024
"""Octets of log above which it is turned although there is work."""
HEAL_FIRST, HEAL_LAST = 1.0, 60.0
"""Seconds after a failure at which the folder is opened again, doubled with each try up to the second: a volume that is away for a moment
must not cost minutes, one that is gone must not fill the log."""
TEND = 1.0
"""Seconds between two looks at the volume and at the log; a log is turned early when nothing was written between two of them."""
_REMEDIES = (Journal.turn, Journal.give_up_ballast)
"""What makes room for settlements, in this order: a log that was moved into the index is written over, and needs no more of the volume."""


@dataclass(slots=True, eq=False)
class _Group:
    """What one transaction writes and one sync makes durable."""

    puttings: list[Putting] = field(default_factory=list)
    settlings: list[Settling] = field(default_factory=list)
    alterings: list[Altering] = field(default_factory=list)
    began: float = 0.0
    """On the clock of `time.perf_counter`."""

    def __len__(self) -> int:
        return len(self.puttings) + len(self.settlings) + len(self.alterings)

    def arrivals(self) -> list[rows.Arrival]:
        """Return the new messages, the notices of settlements behind them."""
        arrivals = [putting.arrival for putting in self.puttings]
        arrivals += [settling.notice for settling in self.settlings if settling.notice is not None]
        return arrivals

    def number(self, first: int) -> None:
        for number, putting in enumerate(self.puttings, first):
            putting.number = number

    def before(self, group: _Group) -> _Group:
        """Return these changes with those of *group* behind them."""
        return _Group(self.puttings + group.puttings, self.settlings + group.settlings, self.alterings + group.alterings)

    def alone(self) -> list[_Group]:
        """Return a group for each of its changes."""
        singles = [_Group(puttings=[one]) for one in self.puttings]
        singles += [_Group(settlings=[one]) for one in self.settlings]
        return singles + [_Group(alterings=[one]) for one in self.alterings]

    def succeed(self) -> None:
        for putting in self.puttings:
            putting.succeed()
        for settling in self.settlings:
            settling.succeed()
        for altering in self.alterings:
            altering.succeed()

    def fail(self, fault: SpoolUnavailableError) -> None:
        for putting in self.puttings:
            putting.fail(fault)
        for settling in self.settlings:
            settling.fail(fault)
        for altering in self.alterings:
            altering.fail(fault)


class Writer:
    """The one writer of a journal, in the event loop."""

    def __init__(self, journal: Journal, observer: Observer, ledger: Ledger) -> None:
        """Write to *journal* and keep *ledger*; called in the event loop."""
        self.broken: str | None = None
        """Why nothing can be written now, as a sentence; None while it can."""
        self.journal = journal
        self._ledger = ledger
        self._room = ledger.room
        self._log = self._room.look.log
        """Octets of the log's file when a group was last synced."""
        self._remedies = 0
        """How many of the remedies were tried for the settlements that found no room."""
        self._shrinks = False
        """Whether the index has pages to give back: when nothing else is to do, or when new mail needs the room."""
        self._turn_fits = True
        """Whether a turn is worth a try: it is not for a while once there was no room for it."""
        self._damaged = False
        """Whether the index was found damaged."""
        self._closing = asyncio.Event()
        self._healing: asyncio.Task[None] | None = None
        self._observer = observer
        self._thread = ThreadPoolExecutor(1, "spool-log")
        self._syncs = Syncing()
        self._gathering = _Group()
        self._syncing = False
        self._turning = False
        self._groups = 0
        self._watchers: list[asyncio.Future[None]] = []
        self._tending = asyncio.create_task(self._tend())

    @property
    def readable(self) -> bool:
        """Whether the connection is in the loop's hands and what it reads can be relied on."""
        return not self._turning and self.broken is None

    def put(self, putting: Putting) -> None:
        """Write a new message with the next group; it is told when it is durable, or why it cannot be."""
        self._gathering.puttings.append(putting)
        self._schedule()

    def settle(self, settling: Settling) -> None:
        """Write a settlement with the next group; it is told when it is durable, or why it cannot be."""
        self._gathering.settlings.append(settling)
        self._schedule()

    def alter(self, altering: Altering) -> None:
        """Write what somebody asked for with the next group; it is told when it is durable, or why it cannot be."""
        self._gathering.alterings.append(altering)
        self._schedule()

    def _schedule(self) -> None:
        if len(self._gathering) == 1 and not self._syncing:
            asyncio.get_running_loop().call_soon(self._flush)

    async def until_readable(self) -> None:
        """Wait while the log is turned."""
        while self._turning:
            await self._news()

    async def close(self) -> None:
        """Write what was gathered, and close the journal: for good after a failure, cleanly otherwise."""
        while self._gathering or self._syncing or self._turning:
            await self._news()
        self._closing.set()
        await asyncio.gather(self._tending, *([self._healing] if self._healing else []))
        if self.broken is None:
            try:
                await self._in_thread(self.journal.close)
            except (sqlite3.Error, OSError) as fault:  # nothing is lost: the log is durable, and the next start reads it
                _log.warning("spool not closed cleanly", reason=str(fault))
        else:
            self.journal.abandon()
        self._syncs.close()
        self._thread.shutdown(wait=False)

    def _flush(self) -> None:
        """Commit what has gathered and begin its sync; called again when a sync or a turn is over."""
        if self._syncing or self._turning or not self._gathering:
            return
        group, self._gathering = self._gathering, _Group()
        group.began = time.perf_counter()
        if self.broken is not None:
            group.fail(SpoolUnavailableError(self.broken))
        elif group := self._commit(group):
            self._groups += 1
            self._syncing = True
            self._syncs.begin(self.journal.log, partial(self._synced, group))
        if not self._turning:
            self._remedies = 0
        self._tell()

    def _commit(self, group: _Group) -> _Group:
        """Put *group* into the index and return what is in it now; all else was told why not."""
        for settling in group.settlings:
            settling.leave_out_what_entered()
        arrivals = group.arrivals()
        try:
            settled = [(one.place, one.settlement) for one in group.settlings]
            first = self.journal.commit(arrivals, settled, [one.apply for one in group.alterings])
        except Exception as fault:  # noqa: BLE001 whatever it is, nobody may wait for ever; it is told to those concerned
            return self._refused(group, fault)
        group.number(first)
        return group

    def _refused(self, group: _Group, fault: Exception) -> _Group:
        """Make the best of a group that could not be committed; return what of it could be.

        On a full disk its settlements are tried once more without the new mail, and again after each of the remedies. Where the cause is
        in the rows, or nothing helps, each change is tried alone, so that one does not take the others with it.
        """
        error = self._translated(fault)
        rest = _Group(began=group.began)
        if isinstance(error, SpoolFullError) and 0 < len(group.puttings) < len(group):
            _Group(group.puttings).fail(error)
            return self._commit(replace(group, puttings=[]))
        if isinstance(error, SpoolFullError) and not group.puttings and self._remedies < len(_REMEDIES):
            self._gathering = group.before(self._gathering)
            self._hand_over(partial(_REMEDIES[self._remedies], self.journal))
            self._remedies += 1
            return rest
        if self.broken is not None:
            self._fail_in_doubt(group)
            return rest
        if (group.puttings and isinstance(error, SpoolFullError)) or len(group) == 1:
            group.fail(error)
            return rest
        self._remedies = len(_REMEDIES)
        for written in map(self._commit, group.alone()):
            rest.puttings += written.puttings
            rest.settlings += written.settlings
            rest.alterings += written.alterings
        return rest

    def _synced(self, group: _Group, fault: BaseException | None) -> None:
        self._syncing = False
        if fault is None:
            arrivals = group.arrivals()
            self._account(arrivals)
            self._observer.synced(len(arrivals), time.perf_counter() - group.began)
            group.succeed()
        else:
            self._break(f"a sync of the spool's log failed: {fault}")
            self.journal.withdraw([putting.place for putting in group.puttings])
            self._fail_in_doubt(group)
        self._keep_up(idle=False)
        self._flush()
        self._tell()

    def _account(self, arrivals: list[rows.Arrival]) -> None:
        """Take note of what a group took of the volume: by the size of the log's file, and for the index, about, by the bodies."""
        log, self._log = self._log, self.journal.log_size
        grown = sum(len(arrival.body) + ROUNDED for arrival in arrivals if arrival.body is not None)
        self._room.written += max(self._log - log, 0) + grown

    def _keep_up(self, *, idle: bool) -> None:
        """Turn the log if that is due, or give back a part of what a backlog left in the index."""
        if self.broken is not None or self._turning or self._syncing:
            return
        due = self._log > self.journal.soft if idle else self._room.log_is_due(self._log, self.journal.soft, LOG_HARD)
        if due and self._turn_fits:
            self._hand_over(self.journal.turn)
        elif self._shrinks and (idle or self._room.full):
            self._hand_over(self.journal.shrink)

    def _hand_over(self, work: Callable[[], Look]) -> None:
        """Hand the connection to the thread; until it comes back, nothing is read or written here."""
        self._turning, self._shrinks = True, False
        working = asyncio.get_running_loop().run_in_executor(self._thread, work)
        working.add_done_callback(partial(self._handed_back, self._room.written))

    def _handed_back(self, written: int, working: asyncio.Future[Look]) -> None:
        self._turning = False
        fault = working.exception()
        if fault is None:
            self._see(working.result(), written)
        elif isinstance(self._translated(fault), SpoolFullError):
            self._turn_fits = False
        else:
            self._break(f"the spool's log could not be moved into its index: {fault}")
        self._flush()
        self._tell()

    async def _tend(self) -> None:
        """Look at the volume every now and then, and turn the log when there is nothing else to do."""
        while True:
            groups = self._groups
            if await self._closes_within(TEND):
                return
            await self._look()
            self._keep_up(idle=groups == self._groups and not self._gathering)

    async def _look(self) -> None:
        """Look at the volume, and at what the index could give back of it."""
        self._turn_fits = True
        if not self.readable:
            return
        try:
            pages, unused = self.journal.pages, self.journal.unused()
        except sqlite3.Error as fault:
            self.report(fault)
            return
        written = self._room.written
        with suppress(OSError):  # a volume that cannot be asked fails the next write, which says why
            self._see(await self._in_thread(partial(self.journal.look, pages)), written)
        self._shrinks = unused > self.journal.step

    def _see(self, look: Look, written: int) -> None:
        self._room.see(look, written)
        self._log = look.log

    def _translated(self, fault: BaseException) -> SpoolUnavailableError:
        """Return what callers are told about *fault*; whatever is not a full disk or a matter of the rows breaks the spool."""
        if isinstance(fault, sqlite3.IntegrityError):
            return SpoolUnavailableError(f"a message of that identifier is in the spool already: {fault}")
        if not isinstance(fault, (sqlite3.Error, OSError)):
            return SpoolUnavailableError(f"it cannot be written as rows: {fault}")
        if schema.is_full(fault):
            return SpoolFullError(FULL)
        if not isinstance(fault, sqlite3.DataError):
            self._damaged = self._damaged or schema.is_damage(fault)
            self._break(f"the spool's index cannot be used: {fault}")
        return SpoolUnavailableError(str(fault))

    def report(self, fault: sqlite3.Error) -> None:
        """Take note that the index could not be read."""
        self._translated(fault)

    def _fail_in_doubt(self, group: _Group) -> None:
        """Refuse what may be on the disk all the same."""
        self._ledger.refused.update(putting.arrival.entry.id for putting in group.puttings)
        self._ledger.doubtful.update(settling.notice.entry.id for settling in group.settlings if settling.notice is not None)
        group.fail(SpoolUnavailableError(self.broken))

    def _break(self, why: str) -> None:
        """Write and read no more, and see to it that the folder is opened again."""
        if self.broken is None:
            self.broken = why
            _log.critical("spool broken", reason=why)
            self._healing = asyncio.create_task(self._heal())

    async def _heal(self) -> None:
        """Open the folder again, as a start would, until that succeeds or the spool is closed."""
        pause = HEAL_FIRST
        while not await self._closes_within(pause):
            pause, written = min(2 * pause, HEAL_LAST), self._room.written
            try:
                healed = await self._in_thread(partial(heal, self.journal, patient_of(self._ledger, damaged=self._damaged)))
            except (SpoolUnavailableError, sqlite3.Error, OSError) as fault:
                _log.error("spool still broken", reason=str(fault), again_in=pause)
                continue
            self.journal, self.broken, self._damaged = healed.journal, None, False
            self._see(healed.look, written)
            healed.enter(self._ledger)
            _log.warning("spool healed", messages=self._ledger.messages)
            self._flush()
            self._tell()
            return

    async def _closes_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        return self._closing.is_set()

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
