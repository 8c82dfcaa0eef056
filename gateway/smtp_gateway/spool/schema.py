"""The index of the disk's spool: its tables, its version, and the settings of the one connection that uses it.

`PRAGMA user_version` is the version. `migrate` goes forward one step at a time, each step in a transaction of its own; an index that is
newer than this program is refused, because writing to it could lose what only the newer one understands.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from smtp_gateway.spool.api import SpoolUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

STEPS: tuple[tuple[str, ...], ...] = (
    (
        # `number` is the order of arrival, so the oldest message is the first row. `in_file` tells where the body is.
        """CREATE TABLE message (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, sender TEXT NOT NULL, accepted_at REAL NOT NULL,
            next_attempt REAL NOT NULL, size INTEGER NOT NULL, smtputf8 INTEGER NOT NULL, body_8bit INTEGER NOT NULL,
            identity TEXT NOT NULL, checksum INTEGER NOT NULL, in_file INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX message_due ON message (next_attempt)",
        """CREATE TABLE recipient (
            message INTEGER NOT NULL, position INTEGER NOT NULL, address TEXT NOT NULL, attempts INTEGER NOT NULL,
            last_reply TEXT NOT NULL, PRIMARY KEY (message, position)
        ) STRICT, WITHOUT ROWID""",
        "CREATE TABLE body (message INTEGER PRIMARY KEY, octets BLOB NOT NULL) STRICT",
        # One row. `running` stays 1 when the process was killed; `turns` is written to begin a new write-ahead log.
        "CREATE TABLE life (running INTEGER NOT NULL, turns INTEGER NOT NULL) STRICT",
        "INSERT INTO life VALUES (0, 0)",
    ),
    (
        # Identities take turns: each one's due mail is found without reading another's.
        "DROP INDEX message_due",
        "CREATE INDEX message_due ON message (identity, next_attempt)",
    ),
    (
        # Recipients have their own times; what was there before is due with its message. Held messages are not in the index of what is
        # due. `history` counts the rows there have been, so that most messages, which have none, need not be looked up.
        "ALTER TABLE recipient ADD COLUMN next_attempt REAL NOT NULL DEFAULT 0",
        "ALTER TABLE message ADD COLUMN held INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE message ADD COLUMN history INTEGER NOT NULL DEFAULT 0",
        "DROP INDEX message_due",
        "CREATE INDEX message_due ON message (identity, next_attempt) WHERE held = 0",
        """CREATE TABLE history (
            message INTEGER NOT NULL, number INTEGER NOT NULL, first REAL NOT NULL, last REAL NOT NULL, times INTEGER NOT NULL,
            event TEXT NOT NULL, hop TEXT NOT NULL, reply TEXT NOT NULL, recipients TEXT NOT NULL, PRIMARY KEY (message, number)
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        # Held messages are counted without reading the others.
        "CREATE INDEX message_held ON message (number) WHERE held = 1",
    ),
    (
        # What the client asked to be told (RFC 3461); empty for nearly all, and written only where it is not.
        "ALTER TABLE message ADD COLUMN dsn TEXT NOT NULL DEFAULT ''",
    ),
    (
        # Whether a warning of the delay was due already: there is one for each recipient.
        "ALTER TABLE recipient ADD COLUMN warned INTEGER NOT NULL DEFAULT 0",
    ),
    (
        # Whether it may travel under TLS alone (RFC 8689); written only where it is so.
        "ALTER TABLE message ADD COLUMN requiretls INTEGER NOT NULL DEFAULT 0",
    ),
)
"""What brings an index from version *n* to *n + 1*."""

_SETTINGS = (
    # Of a new index: a body of 50 KB takes a fifth less of the processor's time than with 4096, and a third of the writes; one of 4 KB
    # takes the same.
    "PRAGMA page_size = 16384",
    "PRAGMA locking_mode = EXCLUSIVE",  # one process; also keeps the index of the log in memory and out of a shared file
    "PRAGMA auto_vacuum = INCREMENTAL",  # space is given back after a backlog; says something to an empty index only, see let_shrink
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",  # the sync of each commit is ours, see smtp_gateway.spool.disk
    "PRAGMA wal_autocheckpoint = 0",  # it would sync in the event loop
    "PRAGMA secure_delete = OFF",  # Debian's default would write each removed body once more, as zeros
    "PRAGMA cache_size = -16384",  # KiB: the index of some 100,000 messages
    "PRAGMA temp_store = MEMORY",  # the root file system is read-only
    "PRAGMA trusted_schema = OFF",
)


_INCREMENTAL = 2
_REWRITTEN = 64 * 1024 * 1024
"""Octets in use up to which an index is written anew."""


def connect(path: Path, log_limit: int) -> sqlite3.Connection:
    """Open the index at *path*; after a turn its log is cut to *log_limit* octets. Raises `sqlite3.Error`.

    The connection may change threads: it is handed over whole, never shared.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
    try:
        for setting in (*_SETTINGS, f"PRAGMA journal_size_limit = {log_limit}"):
            connection.execute(setting).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
    """Bring the index up to the version of *steps*.

    Raises `SpoolUnavailableError` when it is newer, `sqlite3.Error` when a step fails; the index is then as it was before that step.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        message = f"the spool was written by a newer version of the gateway (format {version}, this one knows {len(steps)})"
        raise SpoolUnavailableError(message)
    for number, step in enumerate(steps[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in step:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def let_shrink(connection: sqlite3.Connection) -> None:
    """Make an index of an earlier version give space back, unless it is so large that a start should not wait for it.

    SQLite has to write it anew for that: about a second for the largest that this is done to. A larger one is as it was until it has
    become smaller, which it does by being emptied: its unused pages are then used again, or left out here at the next start. Where there is no
    room for that, it waits for a later start as well. Raises `sqlite3.DatabaseError` for a damaged index.
    """
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (unused,) = connection.execute("PRAGMA freelist_count").fetchone()
    if mode != _INCREMENTAL and (pages - unused) * size <= _REWRITTEN:
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("VACUUM")


class DamagedIndexError(sqlite3.DatabaseError):
    """A check of the index found damage."""


def check(connection: sqlite3.Connection) -> None:
    """Look for damage. Raises `DamagedIndexError` with the first of what was found."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DamagedIndexError(found)


def is_damage(fault: BaseException) -> bool:
    """Tell whether *fault* says that the index is not what was written, rather than that it cannot be used now."""
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    # Tables and columns that are not those of the version are damage as well; to SQLite that is an error of the statement.
    other = code == sqlite3.SQLITE_ERROR and any(text in str(fault) for text in ("no such table", "already exists", "duplicate column"))
    return isinstance(fault, DamagedIndexError) or other or code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_full(fault: BaseException) -> bool:
    """Tell whether *fault* says that there was no room on the volume."""
    return getattr(fault, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def let_go(connection: sqlite3.Connection) -> None:
    """Close *connection* and leave its files as they are.

    An interrupted connection does not move its log when it is closed, and keeps it (a test holds SQLite to it); the switch that is meant
    for this, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is not reachable from Python before 3.12.
    """
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    connection.interrupt()
    connection.close()
