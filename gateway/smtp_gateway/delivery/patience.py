"""One timer for all the waits of a connection.

`asyncio.timeout` makes a timer and a context for each wait, which costs more than reading the reply that is waited for, and a reply nearly
always comes. Here the deadline is a number; the timer that looks at it is made again only when it rings too late or too early. Several
waits can have one end in common (`within`), so that many short ones do not add up to a long one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Patience:
    """How long a connection goes on waiting."""

    def __init__(self, loop: asyncio.AbstractEventLoop, overdue: Callable[[], None]) -> None:
        """Call *overdue* when a wait has lasted too long."""
        self._loop = loop
        self._overdue = overdue
        self._deadline = math.inf
        self._latest = math.inf
        self._in_all = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._rings = math.inf
        self.seconds = 0.0
        """What the last wait was given: by itself, or together with those before it where that ended first."""

    def begin(self, seconds: float) -> None:
        """Wait at most *seconds* from now; the wait before is over."""
        self.seconds, self._deadline = seconds, self._loop.time() + seconds
        if self._deadline > self._latest:
            self.seconds, self._deadline = self._in_all, self._latest
        if self._deadline < self._rings:
            self._ring_at(self._deadline)

    def within(self, seconds: float) -> None:
        """Let all waits that begin from here on end *seconds* from now; infinity takes that back."""
        self._in_all, self._latest = seconds, self._loop.time() + seconds

    def end(self) -> None:
        """Wait for nothing."""
        self._deadline = math.inf

    def cancel(self) -> None:
        """Wait for nothing any more, and let go of the timer."""
        self.end()
        if self._timer is not None:
            self._timer.cancel()

    def _ring_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings, self._timer = when, self._loop.call_at(when, self._rung)

    def _rung(self) -> None:
        self._rings, self._timer = math.inf, None
        if self._loop.time() >= self._deadline:
            self.end()
            self._overdue()
        elif self._deadline < math.inf:
            self._ring_at(self._deadline)
