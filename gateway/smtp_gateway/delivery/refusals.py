"""Next hops that refused our credentials for good: they are left alone for a while, longer each time, for each failed login counts.

Providers lock accounts and ban addresses that go on trying, and a route whose first smarthost refuses and whose second works would
try with each message. Postfix remembers refusals too (smtp_sasl_auth_cache_name). The first rests are short, because a new password takes
some providers a moment. Only 5yz is remembered: 4yz says that the next hop could not tell. Another password is another `Smarthost`,
of which nothing is remembered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from smtp_gateway.delivery.faults import CredentialsRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.config.model import Smarthost
    from smtp_gateway.mail.outcome import Outcome

SHORTEST = 15.0
"""Seconds of the first rest; each further one is twice as long."""
LONGEST = 300.0
"""Seconds: two failed logins in ten minutes, where fail2ban bans for five (maxretry, findtime)."""


def rest(refusals: int) -> float:
    """Return the seconds for which credentials are not offered that were refused so often in a row, at least once."""
    return min(SHORTEST * 2.0 ** min(refusals - 1, 10), LONGEST)


class Refusals:
    """The next hops of one client that refused its credentials."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without any; *clock* tells seconds."""
        self._clock = clock
        self._refused: dict[Smarthost, tuple[int, float, Outcome]] = {}
        """How often each did in a row, until when it rests, and what it said last."""

    def check(self, hop: Smarthost) -> None:
        """Return when *hop* may be offered its credentials. Raises `CredentialsRefusedError` with what it said last when not."""
        refused = self._refused.get(hop)
        if refused is not None and self._clock() < refused[1]:
            raise CredentialsRefusedError(refused[2])

    def note(self, hop: Smarthost, fault: CredentialsRefusedError) -> None:
        """Remember what *hop* said, if that will not change by itself. What others were told meanwhile is one refusal with it."""
        times, until, _ = self._refused.get(hop, (0, 0.0, None))
        now = self._clock()
        if fault.lasting and now >= until:
            self._refused[hop] = (times + 1, now + rest(times + 1), fault.outcome)

    def accepted(self, hop: Smarthost) -> None:
        """Forget what *hop* said before: it holds a session now."""
        self._refused.pop(hop, None)

    def forget(self) -> None:
        """Let all be tried again."""
        self._refused.clear()
