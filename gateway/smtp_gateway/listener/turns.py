"""Turns of the event loop, shared out: one login's many connections do not make another's mail wait for all of them.

The loop reads every connection that has something before it comes back to the first. A login that floods has something on each of its
connections, and another login's mail, which takes some ten round trips, waits for all of them at each. So in one turn of the loop `SHARE`
reads of each login are used; what is beyond waits for the next turns, in the order in which it came. Nothing is idle meanwhile: the
next turn begins at once. Clients that did not log in yet are not held up.

A login that is alone has the loop for itself: dividing turns makes the groups smaller that are synced together.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE = 2
"""Reads of one login in a turn, which then takes a tenth of a millisecond."""
ALONE = 1.0
"""Seconds without a word of anybody else after which a login counts as alone."""


class Member(Protocol):
    """A session, as far as this needs it."""

    def proceed(self) -> None:
        """Use what has arrived."""


class Turns:
    """What each login was given of this turn, and who waits for the next."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nobody; *clock* tells seconds."""
        self._clock = clock
        self._last = ""
        self._shared_until = 0.0
        self._given: dict[str, int] = {}
        self._waiting: dict[str, deque[Member]] = {}
        self._ending = False

    def admit(self, identity: str, session: Member) -> bool:
        """Tell whether *session*, which has something of *identity*, may go on in this turn; if not, it is called in a later one."""
        now = self._clock()
        if identity != self._last:
            self._last, self._shared_until = identity, now + ALONE
        if not identity or now >= self._shared_until:
            return True
        if not self._ending:
            self._ending = True
            asyncio.get_running_loop().call_soon(self._next)
        given = self._given.get(identity, 0)
        if given < SHARE:
            self._given[identity] = given + 1
            return True
        self._waiting.setdefault(identity, deque()).append(session)
        return False

    def _next(self) -> None:
        """Begin a turn with those who waited."""
        self._given = {identity: min(SHARE, len(waiting)) for identity, waiting in self._waiting.items()}
        called = [waiting.popleft() for identity, waiting in self._waiting.items() for _ in range(self._given[identity])]
        self._waiting = {identity: waiting for identity, waiting in self._waiting.items() if waiting}
        self._ending = bool(called)
        if called:
            asyncio.get_running_loop().call_soon(self._next)
        for session in called:
            session.proceed()
