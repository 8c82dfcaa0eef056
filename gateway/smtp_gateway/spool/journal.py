"""The index and its write-ahead log, as one thing that is opened, committed to, synced, turned and closed.

No event loop in here and no decisions: `smtp_gateway.spool.disk` says when, and in which thread. The main file is never opened a
second time while it is open, because closing any descriptor of it would drop SQLite's POSIX locks; a descriptor of the log's
own file is harmless.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.spool import bodies, listing, rows, salvage, schema
from smtp_gateway.spool.api import SpoolUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Settlement
    from smtp_gateway.spool.folder import Folder, Room

_log = structlog.get_logger()
LOG_SOFT = 4 * 1024 * 1024
"""Octets of log above which it is turned when nothing else is to do, and to which a turn cuts it: SQLite's own default (1,000 pages)."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What is known after a sync."""

    log_size: int
    """Octets of the log's file."""
    room: Room

    def after(self, octets: int, log_size: int) -> Synced:
        """Return what is known after a group of *octets* was synced: what is left of the volume is reckoned until it is asked for again."""
        return Synced(log_size, replace(self.room, free=max(self.room.free - octets, 0)))


SHRINK = 250
"""Unused pages that are given back at once, and that are kept for what comes next: 4 MB, some 10 ms of a thread."""


class Journal:
    """The open index of one spool."""

    def __init__(self, folder: Folder, connection: sqlite3.Connection) -> None:
        """Take what `open_journal` prepared."""
        self.folder = folder
        self.connection = connection
        self.reserve: int | None = None
        """Octets that new mail may not use; None: what `Folder.room` reserves."""
        self.log = os.open(folder.log, os.O_RDONLY | os.O_CLOEXEC)
        """The descriptor of the log, for its syncs."""
        self._next = rows.last_number(connection) + 1
        self.salvaged = False
        """Whether the index was salvaged since this broke."""
        self._abandoned = False

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

    def sync(self) -> Synced:
        """Make all that was committed durable. Raises `OSError`, after which this log must not be trusted with anything more."""
        os.fdatasync(self.log)
        return self.look()

    def look(self) -> Synced:
        """Return what is known without a sync. Raises `OSError`."""
        return Synced(self.log_size, self.folder.room(self.reserve))

    def turn(self) -> Synced:
        """Move the log's content into the index and begin the log anew. Raises `sqlite3.Error` or `OSError`.

        SQLite syncs three times here: the log, the index, and with the first commit of the new log its header (without which an
        old header could make old frames valid again). That commit is made here for this reason, so that no sync is left for the loop.
        """
        _, frames, moved = self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if frames != moved:
            message = f"only {moved} of the log's {frames} pages could be moved"
            raise sqlite3.OperationalError(message)
        self.connection.execute("UPDATE life SET turns = turns + 1")
        return self.look()

    def shrink(self) -> Synced:
        """Give a bounded part of the index's unused pages back; the file is cut when the log is turned. Raises `sqlite3.Error` or `OSError`."""
        # As a script, because `execute` takes a statement without columns for finished after its first step, which is one page.
        self.connection.executescript(f"PRAGMA incremental_vacuum({SHRINK})")
        return self.look()

    def unused(self) -> int:
        """Return how many unused pages the index has. Raises `sqlite3.Error`."""
        return int(self.connection.execute("PRAGMA freelist_count").fetchone()[0])

    def close(self) -> None:
        """Write everything into the index and remember that the stop was a clean one. Raises `sqlite3.Error`."""
        try:
            self.connection.execute("UPDATE life SET running = 0")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            self.connection.close()
            os.close(self.log)

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

    def succeed(self, broken: Journal, refused: Iterable[MessageId]) -> Synced:
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

    A damaged index is salvaged first, and so is one that is said to be *damaged*. While the spool is *running* nothing is swept. Raises
    `SpoolUnavailableError` with a sentence that says why not.
    """
    try:
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
    except (sqlite3.Error, OSError) as fault:
        message = f"the spool's index in {folder.path} cannot be opened: {fault}"
        raise SpoolUnavailableError(message) from fault


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
