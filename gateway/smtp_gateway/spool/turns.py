"""Whose mail is leased next: identities take turns, and each has its oldest first.

What is kept of an identity is one time: nothing of it falls due before. So a lease looks only at those that may have something due, at no
more than it hands out, and goes on next time where it stopped: neither the length of the queue nor the number of identities counts, and
none waits for ever behind others. The time is a bound and may be too early, for instance when the message it stood for was held; an
identity found with nothing due gets its true one.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any

from smtp_gateway.spool import rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Container

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry

ASKED = 50
"""Identities with mail that is due which `next_due` asks for what comes later. When there are more, not all that is due has been leased,
and the answer does not matter yet."""


class Turns:
    """The order in which identities are served. Used with the connection in hand."""

    def __init__(self) -> None:
        """Begin without knowing anybody."""
        self._earliest: dict[str, float] = {}
        self._later: list[tuple[float, str]] = []
        """A heap of what is in `_earliest`, outdated pairs among it."""
        self._ready: deque[str] = deque()
        """Those who may have something due, each once."""
        self._known = False

    def expect(self, identity: str, when: float) -> None:
        """Take note that something of *identity* falls due at *when*."""
        if when < self._earliest.get(identity, math.inf):  # who is ready has -inf: what is later is found once they have nothing due
            self._earliest[identity] = when
            heapq.heappush(self._later, (when, identity))

    def forget(self) -> None:
        """Look everything up again, because more was changed than can be followed."""
        self._known = False

    def lease(self, connection: sqlite3.Connection, now: float, limit: int, held: Container[MessageId]) -> list[tuple[rows.Place, Entry]]:
        """Return at most *limit* due entries that are not *held*. Raises `sqlite3.Error`."""
        self._look(connection, now)
        chosen: dict[str, Any] = {}
        while self._ready and (room := limit - len(chosen)) > 0:
            # As many of one at once as each may have: a cursor for each of them, open together, would be compiled for each.
            share = max(1, room // len(self._ready))
            identity = self._ready.popleft()
            with closing(rows.due(connection, identity, now)) as cursor:
                found = list(islice((row for row in cursor if row[1] not in held and row[1] not in chosen), share))
            chosen.update((row[1], row) for row in found)
            if len(found) < share:
                self._used_up(connection, identity, now)
            else:
                self._ready.append(identity)
        return [rows.placed(connection, row) for row in chosen.values()]

    def next_due(self, connection: sqlite3.Connection, now: float) -> float | None:
        """Return when the first entry that is not due at *now* falls due: *now* itself while too much is due to tell. Raises `sqlite3.Error`."""
        self._look(connection, now)
        if len(self._ready) > ASKED:
            return now
        while self._later and self._earliest.get(self._later[0][1]) != self._later[0][0]:
            heapq.heappop(self._later)
        found = [rows.next_due(connection, identity, now) for identity in self._ready]
        found += [self._later[0][0]] if self._later else []
        return min((when for when in found if when is not None), default=None)

    def _look(self, connection: sqlite3.Connection, now: float) -> None:
        """Find out who may have something due at *now*."""
        if not self._known:
            self._earliest.clear()
            self._later.clear()
            self._ready.clear()
            for identity in rows.identities(connection):
                self.expect(identity, rows.next_due(connection, identity, -math.inf) or 0.0)
            self._known = True
        while self._later and self._later[0][0] <= now:
            when, identity = heapq.heappop(self._later)
            if self._earliest.get(identity) == when:
                self._earliest[identity] = -math.inf
                self._ready.append(identity)

    def _used_up(self, connection: sqlite3.Connection, identity: str, now: float) -> None:
        del self._earliest[identity]
        when = rows.next_due(connection, identity, now)
        if when is not None:
            self.expect(identity, when)
