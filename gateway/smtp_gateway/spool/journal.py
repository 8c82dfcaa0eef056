"""The index and its write-ahead log, as one thing that is opened, committed to, synced, turned and closed.

No event loop in here and no decisions: `smtp_gateway.spool.disk` says when, and in which thread. The main file is opened once in the
life of the process and never a second time, because closing any descriptor of it would drop SQLite's POSIX locks; a
descriptor of the log's own file is harmless.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.spool import bodies, rows, schema
from smtp_gateway.spool.api import SpoolUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from smtp_gateway.spool.api import Settlement
    from smtp_gateway.spool.folder import Folder, Room

LOG_SOFT = 4 * 1024 * 1024
"""Octets of log above which it is turned when nothing else is to do, and to which a turn cuts it: SQLite's own default (1,000 pages)."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What is known after a sync."""

    log_size: int
    """Octets of the log's file."""
    room: Room


class Journal:
    """The open index of one spool."""

    def __init__(self, folder: Folder, connection: sqlite3.Connection) -> None:
        """Take what `open_journal` prepared."""
        self.folder = folder
        self.connection = connection
        self.reserve: int | None = None
        """Octets that new mail may not use; None: what `Folder.room` reserves."""
        self._log = os.open(folder.log, os.O_RDONLY | os.O_CLOEXEC)
        self._next = rows.last_number(connection) + 1

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

    def sync(self) -> Synced:
        """Make all that was committed durable. Raises `OSError`, after which this log must not be trusted with anything more."""
        os.fdatasync(self._log)
        return self.look()

    def look(self) -> Synced:
        """Return what is known without a sync. Raises `OSError`."""
        return Synced(os.fstat(self._log).st_size, self.folder.room(self.reserve))

    def turn(self) -> Synced:
        """Move the log's content into the index and begin the log anew. Raises `sqlite3.Error` or `OSError`.

        SQLite syncs three times here: the log, the index, and with the first commit of the new log its header (without which an
        old header could make old frames valid again). That commit is made here for this reason, so that no sync is left for the loop.
        """
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self.connection.execute("UPDATE life SET turns = turns + 1")
        return self.look()

    def close(self) -> None:
        """Write everything into the index and remember that the stop was a clean one. Raises `sqlite3.Error`."""
        try:
            self.connection.execute("UPDATE life SET running = 0")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            self.connection.close()
            os.close(self._log)

    def abandon(self) -> None:
        """Let go after a failed sync, without touching the files again.

        Closing the connection would copy the log into the index without checking it once more, although the kernel may have dropped what
        it could not write. The next process checks each frame's checksum instead. So the connection is kept from ever being
        closed, also by the interpreter's end: SQLite's switch for this is not reachable from Python before 3.12.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.connection))
        os.close(self._log)


def open_journal(folder: Folder) -> Journal:
    """Open the index of *folder*, bring it up to date, check it after an unclean stop, and sweep bodies that have no row.

    Raises `SpoolUnavailableError` with a sentence that says why not.
    """
    try:
        connection = schema.connect(folder.index, LOG_SOFT)
        try:
            return _prepare(folder, connection)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as fault:
        message = f"the spool's index in {folder.path} cannot be opened: {fault}"
        raise SpoolUnavailableError(message) from fault


def _prepare(folder: Folder, connection: sqlite3.Connection) -> Journal:
    schema.migrate(connection)
    (running,) = connection.execute("SELECT running FROM life").fetchone()
    if running:
        schema.check(connection)
    connection.execute("UPDATE life SET running = 1, turns = turns + 1")
    journal = Journal(folder, connection)
    journal.sync()
    bodies.sweep(folder.bodies, rows.in_files(connection))
    bodies.sync_folder(folder.path)
    return journal
