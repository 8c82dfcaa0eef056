"""The connections that are open now: counted in and out, looked at for silence, and dismissed at shutdown.

Where something comes before a session (a PROXY header, a TLS handshake), that is counted before the session is, so that a shutdown waits
for it too; whoever comes so late is dismissed in place of a greeting.

One look at all of them takes the place of a timer for each: a timer costs each connection as much as its greeting.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

LOOK_EVERY = 1.0
"""Seconds between two looks; shorter where the patience of a listener is (`PARTS`)."""
PARTS = 10
"""A time-out is late by one part in so many at most."""


class Member(Protocol):
    """A session, or what comes before it, as far as this needs it."""

    def look(self, now: float) -> None:
        """End the session when its client has been silent for too long at *now* (the loop's clock)."""

    def dismiss(self) -> None:
        """Say goodbye at the end of the transaction in progress, or at once where there is none."""

    def cut(self) -> None:
        """Say goodbye now."""


class Sessions:
    """The connections that are open now."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: set[Member] = set()
        self._none = asyncio.Event()
        self._none.set()
        self._next_look: asyncio.TimerHandle | None = None
        self._interval = LOOK_EVERY
        self.closed = False
        """Whether all who come are dismissed at once."""

    def __len__(self) -> int:
        """Tell how many are open now."""
        return len(self._open)

    def add(self, session: Member, patience: float) -> None:
        """Count *session* in; it is looked at until it is counted out, often enough for *patience* (seconds)."""
        if not self._open:
            self._none.clear()
        self._open.add(session)
        if patience < self._interval * PARTS:
            self._interval = patience / PARTS
        if self._next_look is None:
            self._look_later()
        if self.closed:
            session.dismiss()

    def remove(self, session: Member) -> bool:
        """Count *session* out; tell whether it was in."""
        if session not in self._open:
            return False
        self._open.remove(session)
        if not self._open:
            self._none.set()
        return True

    def _look_later(self) -> None:
        self._next_look = asyncio.get_running_loop().call_later(self._interval, self._look)

    def _look(self) -> None:
        self._next_look = None
        if self._open:
            now = asyncio.get_running_loop().time()
            for session in tuple(self._open):
                session.look(now)
            self._look_later()

    async def finish(self, within: float) -> int:
        """Dismiss all, cut those that are still there *within* seconds later, and return how many those were."""
        for session in tuple(self._open):
            session.dismiss()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._none.wait()
        late = tuple(self._open)
        for session in late:
            session.cut()
        return len(late)
