"""The history of a queued message: what its attempts came to, told so that five days of the same reply are one line.

`extended` is the rule, and both spools keep what it returns; the rest are the statements, called by one owner of the connection at a time.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from smtp_gateway.spool.api import Attempted

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    Numbered = dict[int, Attempted]
    """The rows of a history by their numbers, which go up and are not used again."""

ROWS = 100
"""Rows kept of one message. Beyond, the oldest go: a next hop whose replies never repeat must not make the queue grow for days."""
_READ = "SELECT number, first, event, hop, reply, recipients, times, last FROM history WHERE message = ? ORDER BY number"
_WRITE = (
    "INSERT OR REPLACE INTO history (message, number, first, event, hop, reply, recipients, times, last) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def extended(known: Numbered, new: Iterable[Attempted]) -> Numbered:
    """Return *known* with *new* added: as one time more where the last word about the same recipients was the same, as a row otherwise."""
    rows = dict(known)
    for attempted in new:
        until = max(attempted.at, attempted.until)
        number = next((number for number in sorted(rows, reverse=True) if rows[number].recipients == attempted.recipients), 0)
        if number and _alike(rows[number], attempted) and rows[number].until == until:
            continue  # the same settlement, offered again because it was not known to be written
        if number and _alike(rows[number], attempted):
            rows[number] = replace(rows[number], times=rows[number].times + attempted.times, until=until)
        else:
            rows[max(rows, default=0) + 1] = replace(attempted, until=until)
    return {number: rows[number] for number in sorted(rows)[-ROWS:]}


def read(connection: sqlite3.Connection, message: int) -> Numbered:
    """Return the history of *message*. Raises `sqlite3.Error`."""
    return {
        number: Attempted(first, event, hop, reply, tuple(json.loads(recipients)), times, last)
        for number, first, event, hop, reply, recipients, times, last in connection.execute(_READ, (message,))
    }


def extend(connection: sqlite3.Connection, message: int, new: Iterable[Attempted]) -> int:
    """Add *new* to the history of *message*; return the number of its last row. Raises `sqlite3.Error`."""
    before = read(connection, message)
    after = extended(before, new)
    connection.executemany(_WRITE, [_row(message, number, one) for number, one in after.items() if before.get(number) != one])
    connection.executemany(
        "DELETE FROM history WHERE message = ? AND number = ?", [(message, gone) for gone in before.keys() - after.keys()]
    )
    return max(after)


def _row(message: int, number: int, one: Attempted) -> tuple[object, ...]:
    return (message, number, one.at, one.event, one.hop, one.reply, json.dumps(one.recipients), one.times, one.until)


def _alike(one: Attempted, other: Attempted) -> bool:
    return (one.event, one.hop, one.reply) == (other.event, other.hop, other.reply)
