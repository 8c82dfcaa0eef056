"""Messages as rows of the index: the statements, each behind a function with a name.

Called by one owner of the connection at a time (`smtp_gateway.spool.disk`). Nothing here commits, except where it says so, and nothing waits for the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from smtp_gateway.mail.dsn import NO_DSN
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool import asked, history
from smtp_gateway.spool.api import Entry, NewMessage, Recipient, Settlement
from smtp_gateway.spool.checksum import checksum

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

_INSERT_MESSAGE = """INSERT INTO message
    (number, id, sender, accepted_at, next_attempt, size, smtputf8, body_8bit, identity, checksum, in_file)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_RECIPIENT = "INSERT INTO recipient VALUES (?, ?, ?, ?, ?, ?, ?)"
_INSERT_BODY = "INSERT INTO body VALUES (?, ?)"
_ASK = "UPDATE message SET dsn = ? WHERE number = ?"
_REQUIRE_TLS = "UPDATE message SET requiretls = 1 WHERE number = ?"
COLUMNS = "number, id, sender, accepted_at, size, smtputf8, body_8bit, identity, in_file, history, dsn, requiretls"
_DUE = f"SELECT {COLUMNS} FROM message WHERE held = 0 AND identity = ? AND next_attempt <= ? ORDER BY next_attempt, number"  # noqa: S608 constants
_NEXT_DUE = "SELECT min(next_attempt) FROM message WHERE held = 0 AND identity = ? AND next_attempt > ?"
_FIRST_IDENTITY = "SELECT min(identity) FROM message WHERE held = 0 AND identity >= ?"
_NEXT_IDENTITY = "SELECT min(identity) FROM message WHERE held = 0 AND identity > ?"
_BY_ID = f"SELECT {COLUMNS} FROM message WHERE id = ?"  # noqa: S608 constants
_RECIPIENTS = "SELECT address, attempts, last_reply, next_attempt, warned FROM recipient WHERE message = ? ORDER BY position"
_STORED = "SELECT number, in_file, history, identity, checksum, size FROM message WHERE id = ?"


class Place(NamedTuple):
    """Where a message is in the index: what removing it takes."""

    number: int
    in_file: int
    history: int = 0
    """How many rows of history there have been."""
    identity: str = ""


class Stored(NamedTuple):
    """Where a body is and what it must be."""

    number: int
    in_file: int
    history: int
    identity: str
    checksum: int
    size: int

    @property
    def place(self) -> Place:
        """Where its message is."""
        return Place(self.number, self.in_file, self.history, self.identity)


class Arrival(NamedTuple):
    """A message on its way into the index."""

    entry: Entry
    checksum: int
    body: bytes | None
    """None when it is in a file."""


def arrival(message: NewMessage, large: int) -> Arrival:
    """Return *message* as what enters the index; a body above *large* octets is taken to be in a file, its checksum still to come."""
    body = message.body
    if isinstance(body, bytes) and len(body) <= large:
        return Arrival(message.as_entry(), checksum(body), body)
    return Arrival(message.as_entry(), 0, None)


def insert(connection: sqlite3.Connection, first: int, arrivals: Sequence[Arrival]) -> None:
    """Add messages with their recipients and, unless they are in files, their bodies, numbered from *first* on. Raises `sqlite3.Error`."""
    numbered = list(enumerate(arrivals, first))
    connection.executemany(_INSERT_MESSAGE, [_message(number, arrival) for number, arrival in numbered])
    connection.executemany(_INSERT_RECIPIENT, [row for number, (entry, *_) in numbered for row in _recipients(number, entry.recipients)])
    connection.executemany(_INSERT_BODY, [(number, body) for number, (_, _, body) in numbered if body is not None])
    if asking := [(asked.text_of(entry.dsn), number) for number, (entry, _, _) in numbered if entry.dsn is not NO_DSN]:
        connection.executemany(_ASK, asking)
    if requiring := [(number,) for number, (entry, _, _) in numbered if entry.requiretls]:
        connection.executemany(_REQUIRE_TLS, requiring)


def settle(connection: sqlite3.Connection, settled: Sequence[tuple[Place, Settlement]]) -> None:
    """Write settlements down, their notices apart. Raises `sqlite3.Error`."""
    if gone := [place for place, settlement in settled if not settlement.remaining]:
        remove(connection, gone)
    for place, settlement in settled:
        if settlement.remaining:
            _defer(connection, place, settlement)


def _defer(connection: sqlite3.Connection, place: Place, settlement: Settlement) -> None:
    number, told = place.number, place.history
    if settlement.history:
        told = history.extend(connection, number, settlement.history)
    values = (settlement.next_attempt, told, number)
    if connection.execute("UPDATE message SET next_attempt = ?, history = ? WHERE number = ?", values).rowcount:
        connection.execute("DELETE FROM recipient WHERE message = ?", (number,))
        connection.executemany(_INSERT_RECIPIENT, _recipients(number, settlement.remaining))


def remove(connection: sqlite3.Connection, places: Sequence[Place]) -> None:
    """Remove messages with all that belongs to them, their bodies' files excepted. Raises `sqlite3.Error`."""
    numbers = [(place.number,) for place in places]
    connection.executemany("DELETE FROM message WHERE number = ?", numbers)
    connection.executemany("DELETE FROM recipient WHERE message = ?", numbers)
    connection.executemany("DELETE FROM body WHERE message = ?", [(place.number,) for place in places if not place.in_file])
    if told := [(place.number,) for place in places if place.history]:
        connection.executemany("DELETE FROM history WHERE message = ?", told)


def due(connection: sqlite3.Connection, identity: str, now: float) -> sqlite3.Cursor:
    """Return what of *identity* is due, the oldest first, as rows for `placed`. Raises `sqlite3.Error`."""
    return connection.execute(_DUE, (identity, now))


def placed(connection: sqlite3.Connection, row: Sequence[Any]) -> tuple[Place, Entry]:
    """Return the entry of a row of `due`, and where it is. Raises `sqlite3.Error`."""
    return Place(row[0], row[8], row[9], row[7]), entry_of(connection, row)


def next_due(connection: sqlite3.Connection, identity: str, now: float) -> float | None:
    """Return when the first entry of *identity* that is not due at *now* falls due. Raises `sqlite3.Error`."""
    when = connection.execute(_NEXT_DUE, (identity, now)).fetchone()[0]
    return None if when is None else float(when)


def identities(connection: sqlite3.Connection) -> list[str]:
    """Return the identities with mail in the queue: a step each by the index, where DISTINCT would read all of it. Raises `sqlite3.Error`."""
    found: list[str] = []
    statement, after = _FIRST_IDENTITY, ""
    while (identity := connection.execute(statement, (after,)).fetchone()[0]) is not None:
        found.append(identity)
        statement, after = _NEXT_IDENTITY, identity
    return found


def find(connection: sqlite3.Connection, message_id: MessageId) -> Stored | None:
    """Return where the body of *message_id* is; None when there is no such message. Raises `sqlite3.Error`."""
    row = connection.execute(_STORED, (message_id,)).fetchone()
    return None if row is None else Stored(*row)


def octets(connection: sqlite3.Connection, number: int) -> bytes:
    """Return the body in the index of message *number*; empty when there is none. Raises `sqlite3.Error`."""
    row = connection.execute("SELECT octets FROM body WHERE message = ?", (number,)).fetchone()
    return b"" if row is None else bytes(row[0])


def entry(connection: sqlite3.Connection, message_id: MessageId) -> Entry | None:
    """Return the entry of *message_id*. Raises `sqlite3.Error`."""
    row = connection.execute(_BY_ID, (message_id,)).fetchone()
    return None if row is None else entry_of(connection, row)


def count(connection: sqlite3.Connection) -> int:
    """Count the messages. Reads an index from end to end: once, at the start. Raises `sqlite3.Error`."""
    return int(connection.execute("SELECT count(*) FROM message").fetchone()[0])


def oldest(connection: sqlite3.Connection) -> float | None:
    """Return when the message that came first was accepted. Raises `sqlite3.Error`."""
    row = connection.execute("SELECT accepted_at FROM message ORDER BY number LIMIT 1").fetchone()
    return None if row is None else float(row[0])


def in_files(connection: sqlite3.Connection) -> set[str]:
    """Return the identifiers of the messages whose bodies are in files. Raises `sqlite3.Error`."""
    return {row[0] for row in connection.execute("SELECT id FROM message WHERE in_file")}


def last_number(connection: sqlite3.Connection) -> int:
    """Return the number of the message that came last; 0 when there is none. Raises `sqlite3.Error`."""
    return int(connection.execute("SELECT coalesce(max(number), 0) FROM message").fetchone()[0])


def _message(number: int, arrival: Arrival) -> tuple[object, ...]:
    entry, checksum, body = arrival
    start = (number, entry.id, entry.sender, entry.accepted_at, entry.accepted_at, entry.size)
    return (*start, entry.smtputf8, entry.body_8bit, entry.identity, checksum, body is None)


def _recipients(number: int, recipients: Iterable[Recipient]) -> list[tuple[object, ...]]:
    return [
        (number, position, one.address, one.attempts, one.last_reply, one.next_attempt, one.warned)
        for position, one in enumerate(recipients)
    ]


def entry_of(connection: sqlite3.Connection, row: Sequence[Any]) -> Entry:
    """Return the entry that begins with the columns of *row*. Raises `sqlite3.Error`."""
    number, message_id, sender, accepted_at, size, smtputf8, body_8bit, identity = row[:8]
    recipients = tuple(
        Recipient(address, attempts, last_reply, next_attempt, bool(warned))
        for address, attempts, last_reply, next_attempt, warned in connection.execute(_RECIPIENTS, (number,))
    )
    told = (identity, asked.dsn_of(row[10]), bool(row[11]))
    return Entry(MessageId(message_id), sender, recipients, accepted_at, size, bool(smtputf8), bool(body_8bit), *told)
