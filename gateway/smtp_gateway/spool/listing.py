"""The queue as people look at it and act upon it: selections, pages, and the changes that are not settlements.

`selects` says what a selection means; the statements, which say the same to SQLite, are called by one owner of the connection at a time.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from smtp_gateway.spool import rows
from smtp_gateway.spool.api import Listed, Selection

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Container

    from smtp_gateway.mail.envelope import MessageId

_OWED = "EXISTS (SELECT 1 FROM recipient WHERE message = number AND {})"
_CONDITIONS = {
    "ids": "id IN (SELECT value FROM json_each(:ids))",
    "up_to": "id <= :up_to",
    "sender": "sender = :sender COLLATE NOCASE",
    "recipient": _OWED.format("address = :recipient COLLATE NOCASE"),
    "domain": _OWED.format("substr(address, -length(:domain) - 1) = '@' || :domain COLLATE NOCASE"),
    "identity": "identity = :identity",
    "older_than": "accepted_at < :older_than",
    "held": "held = :held",
    "reply": _OWED.format("instr(lower(last_reply), lower(:reply))"),
}
_ALL = Selection()
_FOLD = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
"""Case as SQLite knows it, and as addresses have it: ASCII's."""


def selects(selection: Selection, listed: Listed) -> bool:
    """Tell whether *listed* is one of *selection*."""
    entry = listed.entry
    owed = [_folded(recipient.address) for recipient in entry.recipients]
    return (
        (not selection.ids or entry.id in selection.ids)
        and (selection.up_to is None or entry.id <= selection.up_to)
        and (selection.sender is None or _folded(selection.sender) == _folded(entry.sender))
        and (selection.recipient is None or _folded(selection.recipient) in owed)
        and (selection.domain is None or any(address.endswith(f"@{_folded(selection.domain)}") for address in owed))
        and selection.identity in {None, entry.identity}
        and (selection.older_than is None or entry.accepted_at < selection.older_than)
        and selection.held in {None, listed.held}
        and (selection.reply is None or any(_folded(selection.reply) in _folded(one.last_reply) for one in entry.recipients))
    )


def page(connection: sqlite3.Connection, selection: Selection, limit: int, after: str) -> list[Listed]:
    """Return the next messages of *selection*, whether they are leased apart. Raises `sqlite3.Error`."""
    asked = {name: getattr(selection, name) for name in _CONDITIONS if getattr(selection, name) != getattr(_ALL, name)}
    where = " AND ".join(("id > :after", *(_CONDITIONS[name] for name in asked)))
    query = f"SELECT {rows.COLUMNS}, next_attempt, held FROM message WHERE {where} ORDER BY id LIMIT :limit"  # noqa: S608 constants
    values = {**asked, "ids": json.dumps(sorted(selection.ids)), "after": after, "limit": limit}
    return [Listed(rows.entry_of(connection, row), row[-2], bool(row[-1])) for row in connection.execute(query, values).fetchall()]


def stride(connection: sqlite3.Connection, after: str, messages: int) -> str | None:
    """Return the identifier *messages* further on than *after*, None when there are not as many: 0.2 ms for 5,000. Raises `sqlite3.Error`."""
    row = connection.execute("SELECT id FROM message WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?", (after, messages - 1)).fetchone()
    return None if row is None else str(row[0])


def marked(page: list[Listed], leased: Container[MessageId]) -> list[Listed]:
    """Return *page* with what is *leased* marked so."""
    return [replace(listed, leased=True) if listed.entry.id in leased else listed for listed in page]


def hold(connection: sqlite3.Connection, message_id: MessageId, *, held: bool) -> bool:
    """Hold a message, or let it go; tell whether there is one. Raises `sqlite3.Error`."""
    return connection.execute("UPDATE message SET held = ? WHERE id = ?", (held, message_id)).rowcount > 0


def retry(connection: sqlite3.Connection, message_id: MessageId, now: float) -> bool:
    """Make a message and all its recipients due at *now*; tell whether there is one. Raises `sqlite3.Error`."""
    row = connection.execute("UPDATE message SET next_attempt = ? WHERE id = ? RETURNING number", (now, message_id)).fetchone()
    if row is not None:
        connection.execute("UPDATE recipient SET next_attempt = ? WHERE message = ?", (now, row[0]))
    return row is not None


def remove(connection: sqlite3.Connection, message_id: MessageId) -> bool:
    """Remove a message, its body's file excepted; tell whether there was one. Raises `sqlite3.Error`."""
    stored = rows.find(connection, message_id)
    if stored is not None:
        rows.remove(connection, [stored.place])
    return stored is not None


def _folded(text: str) -> str:
    return text.translate(_FOLD)
