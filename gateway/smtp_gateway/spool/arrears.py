"""How far the queue is behind: found by its indexes, so that a queue of a million messages is no slower to ask than an empty one.

Called by one owner of the connection at a time (`smtp_gateway.spool.disk`).
"""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING

from smtp_gateway.spool import rows
from smtp_gateway.spool.api import Arrears

if TYPE_CHECKING:
    import sqlite3

    from smtp_gateway.spool.api import UnderWay

_DUE = "SELECT next_attempt, id FROM message WHERE held = 0 AND identity = ? AND next_attempt < ? ORDER BY next_attempt"
_HELD = "SELECT count(*) FROM message WHERE held = 1"
_OLDEST = "SELECT accepted_at FROM message WHERE held = 0 ORDER BY number LIMIT 1"


def arrears(connection: sqlite3.Connection, now: float, under_way: UnderWay) -> Arrears:
    """Return how far the queue is behind at *now*. Raises `sqlite3.Error`."""
    earliest = min((_earliest(connection, identity, now, under_way) for identity in rows.identities(connection)), default=math.inf)
    (held,) = connection.execute(_HELD).fetchone()
    oldest = connection.execute(_OLDEST).fetchone()
    return Arrears(held, None if oldest is None else float(oldest[0]), max(0.0, now - earliest))


def _earliest(connection: sqlite3.Connection, identity: str, now: float, under_way: UnderWay) -> float:
    """Return when the first message of *identity* fell due that is not under way; infinity when none is due."""
    with closing(connection.execute(_DUE, (identity, now))) as due:
        return next((float(when) for when, message_id in due if not under_way(message_id)), math.inf)
