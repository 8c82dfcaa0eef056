"""The index and its write-ahead log, as one thing that is opened, committed to, synced, turned and closed.

No event loop in here and no decisions: `smtp_gateway.spool.disk` says when, and in which thread. The main file is never opened a
second time while it is open, because closing any descriptor of it would drop SQLite's POSIX locks; a descriptor of the log's
own file is harmless.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.spool import ballast, bodies, listing, rows, salvage, schema
from smtp_gateway.spool.api import SpoolUnavailableError
from smtp_gateway.spool.room import LEAST, Look, ballast_of, reserve_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Settlement
    from smtp_gateway.spool.folder import Folder

_log = structlog.get_logger()
LOG_SOFT = 4 * 1024 * 1024
"""Octets of log above which it is turned when nothing else is to do, and to which a turn cuts it: SQLite's own default (1,000 pages)."""
_PART = 4
"""The part of a reserve that the log of a small volume may have, and the pages that are given back at once: both go through the log."""
SHRINK = 250
"""Unused pages that are given back at once, and that are kept for what comes next: 4 MB, some 10 ms of a thread."""


class Journal:
    """The open index of one spool."""

    def __init__(self, folder: Folder, connection: sqlite3.Connection) -> None:
        """Take what `open_journal` prepared."""
        self.folder = folder
        self.connection = connection
        self.reserve: int | None = None
        """Octets that new mail may not use; None: what `smtp_gateway.spool.room` reserves."""
        self.log = os.open(folder.log, os.O_RDONLY | os.O_CLOEXEC)
        """The descriptor of the log, for its syncs."""
        self._next = rows.last_number(connection) + 1
        self.salvaged = False
        """Whether the index was salvaged since this broke."""
        self._abandoned = False
        self._page = int(connection.execute("PRAGMA page_size").fetchone()[0])
        self._reserved = LEAST
        """Octets of the reserve, by the last look."""

    def commit(
        self,
        arrivals: Sequence[rows.Arrival],
        settled: Sequence[tuple[rows.Place, Settlement]],
        alterations: Sequence[Callable[[sqlite3.Connection], None]] = (),
    ) -> int:
        """Write a group in one transaction, without waiting for the disk; return the number of the first arrival, the others follow it.

        Raises `sqlite3.Error`, or `ValueError` for what no row can hold, and then nothing of the group is in the index.
        """
        first = self._next
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            if arrivals:
                rows.insert(self.connection, first, arrivals)
            if settled:
                rows.settle(self.connection, settled)
            for alter in alterations:
                alter(self.connection)
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._next = first + len(arrivals)
        return first

    def withdraw(self, places: Sequence[rows.Place]) -> None:
        """Take messages out again whose sync failed, as far as that can be written. Not synced: nobody relies on it."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            rows.remove(self.connection, places)
            self.connection.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    @property
    def log_size(self) -> int:
        """Octets of the log's file, which the kernel knows without asking the disk."""
        return os.fstat(self.log).st_size

    @property
    def pages(self) -> int:
        """The pages that the index has, those in the log included. Raises `sqlite3.Error`."""
        return int(self.connection.execute("PRAGMA page_count").fetchone()[0])

    def sync(self) -> Look:
        """Make all that was committed durable. Raises `OSError`, after which this log must not be trusted with anything more."""
        os.fdatasync(self.log)
        return self.look()

    def look(self, pages: int | None = None) -> Look:
        """Look at the volume, and hold the ballast if there is room for it. Raises `OSError` or `sqlite3.Error`.

        *pages* is what `pages` said where the connection is in other hands.
        """
        pages = self.pages if pages is None else pages
        growth = max(pages * self._page - self.folder.index.stat().st_size, 0)
        volume = self.folder.volume()
        look = Look(volume, self.log_size, growth, reserve_of(volume.size, self.reserve))
        if look.wants_ballast:
            ballast.hold(self.folder.ballast, ballast_of(look.reserve))
            look = replace(look, volume=self.folder.volume())
        self._reserved = look.reserve
        return look

    @property
    def soft(self) -> int:
        """Octets of log above which it is turned while there is time or little room, and to which a turn cuts it."""
        return min(LOG_SOFT, self._reserved // _PART)

    @property
    def step(self) -> int:
        """Pages that are given back at once."""
        return min(SHRINK, self._reserved // _PART // self._page)

    def give_up_ballast(self) -> Look:
        """Let what must be written now have the ballast's room. Raises `OSError` or `sqlite3.Error`."""
        ballast.give_up(self.folder.ballast)
        return self.look()

    def turn(self) -> Look:
        """Move the log's content into the index and begin the log anew, with the ballast's room if there is no other.

        Raises `sqlite3.Error` or `OSError`.
        """
        try:
            self._turn()
        except sqlite3.OperationalError as fault:
            if not (schema.is_full(fault) and ballast.give_up(self.folder.ballast)):
                raise
            self._turn()
        return self.look()

    def _turn(self) -> None:
        """Do it.

        SQLite syncs three times here: the log, the index, and with the first commit of the new log its header (without which an
        old header could make old frames valid again). That commit is made here for this reason, so that no sync is left for the loop.
        """
        _, frames, moved = self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if frames != moved:
            message = f"only {moved} of the log's {frames} pages could be moved"
            raise sqlite3.OperationalError(message)
        self.connection.execute(f"PRAGMA journal_size_limit = {self.soft}").fetchone()
        self.connection.execute("UPDATE life SET turns = turns + 1")

    def shrink(self) -> Look:
        """Give at most `SHRINK` of the index's unused pages back. Raises `sqlite3.Error` or `OSError`.

        The file is cut when the log is turned: on a small volume after each step, because the log has no room for more.
        """
        for _ in range(0, SHRINK, self.step):
            # As a script, because `execute` takes a statement without columns for finished after its first step, which is one page.
            self.connection.executescript(f"PRAGMA incremental_vacuum({self.step})")
            if self.step < SHRINK:
                self.turn()
            if self.unused() <= self.step:
                break
        return self.look()

    def unused(self) -> int:
        """Return how many unused pages the index has. Raises `sqlite3.Error`."""
        return int(self.connection.execute("PRAGMA freelist_count").fetchone()[0])

    def close(self) -> None:
        """Write everything into the index and remember that the stop was a clean one. Raises `sqlite3.Error` or `OSError`.

        An index without messages is removed: the next start makes one of its own version, also where that is an older one, which would
        refuse this one (`schema.migrate`).
        """
        try:
            self.connection.execute("UPDATE life SET running = 0")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            empty = rows.oldest(self.connection) is None
        finally:
            self.connection.close()
            os.close(self.log)
        if empty and not self.folder.log.exists():
            self.folder.index.unlink()
            bodies.sync_folder(self.folder.path)

    def abandon(self) -> None:
        """Let go after a failure, without touching the files again.

        An ordinary close would copy the log into the index without checking it once more, although the kernel may have dropped what
        it could not write; whoever opens it next checks each frame's checksum instead.
        """
        if not self._abandoned:
            self._abandoned = True
            schema.let_go(self.connection)
            descriptor, self.log = self.log, -1
            os.close(descriptor)

    def succeed(self, broken: Journal, refused: Iterable[MessageId]) -> Look:
        """Go on where *broken* ended, without what was *refused*. Raises `sqlite3.Error` or `OSError`.

        Numbers are not used again, because settlements still to come refer to them. Then everything is written anew: what this process
        reads of the log may be in memory only since the sync that failed, and a sync of the same pages would say nothing about them.
        """
        self.reserve = broken.reserve
        self._next = max(self._next, broken._next)
        self.connection.execute("BEGIN IMMEDIATE")
        for message_id in refused:
            listing.remove(self.connection, message_id)
        self.connection.execute("COMMIT")
        self.turn()
        return self.sync()


def open_journal(folder: Folder, *, damaged: bool = False, running: bool = False) -> Journal:
    """Open the index of *folder*, bring it up to date, check it after an unclean stop, and sweep bodies that have no row.

    A damaged index is salvaged first, and so is one that is said to be *damaged*. While the spool is *running* nothing is swept. What a full
    volume lacks is taken from what nobody was answered for, and from the ballast. Raises `SpoolUnavailableError` with a sentence that says why
    not.
    """
    try:
        if not running:
            bodies.sweep_unfinished(folder.bodies)
        try:
            return _opened(folder, damaged=damaged, running=running)
        except (sqlite3.Error, OSError):
            if not ballast.give_up(folder.ballast):
                raise
        return _opened(folder, damaged=damaged, running=running)
    except (sqlite3.Error, OSError) as fault:
        message = f"the spool's index in {folder.path} cannot be opened: {fault}"
        raise SpoolUnavailableError(message) from fault


def _opened(folder: Folder, *, damaged: bool, running: bool) -> Journal:
    salvage.resume(folder)
    if not damaged:
        try:
            return _open(folder, running=running)
        except sqlite3.DatabaseError as fault:
            if not schema.is_damage(fault):
                raise
            _log.critical("index damaged", reason=str(fault))
    salvage.begin(folder)
    return _open(folder, running=running)


def _open(folder: Folder, *, running: bool) -> Journal:
    connection = schema.connect(folder.index, LOG_SOFT)
    try:
        schema.migrate(connection)
        schema.let_shrink(connection)
        (unclean,) = connection.execute("SELECT running FROM life").fetchone()
        if unclean:
            schema.check(connection)
        connection.execute("UPDATE life SET running = 1, turns = turns + 1")
        journal = Journal(folder, connection)
    except BaseException:
        schema.let_go(connection)
        raise
    try:
        journal.sync()
        if not running:
            bodies.sweep(folder.bodies, rows.in_files(connection))
        bodies.sync_folder(folder.path)
    except BaseException:
        journal.abandon()
        raise
    return journal
