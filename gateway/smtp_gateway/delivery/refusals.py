"""Next hops that refused our credentials for good: they are left alone for a while, for each failed login counts.

Providers lock accounts and ban addresses that go on trying, and a route whose first smarthost refuses and whose second works would
try with each message. Postfix remembers refusals too (smtp_sasl_auth_cache_name). Only 5yz is remembered: 4yz says that the next hop could
not tell. Another password is another `Smarthost`, of which nothing is remembered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from smtp_gateway.delivery.faults import CredentialsRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.config.model import Smarthost
    from smtp_gateway.mail.outcome import Outcome

REST = 300.0
"""Seconds for which credentials are not offered again: two failed logins in ten minutes, where fail2ban bans for five (maxretry, findtime)."""


class Refusals:
    """The next hops of one client that refused its credentials."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without any; *clock* tells seconds."""
        self._clock = clock
        self._told: dict[Smarthost, tuple[float, Outcome]] = {}
        """Until when each rests, and what it said."""

    def check(self, hop: Smarthost) -> None:
        """Return when *hop* may be offered its credentials. Raises `CredentialsRefusedError` with what it said last when not."""
        until, outcome = self._told.get(hop, (0.0, None))
        if outcome is not None and self._clock() < until:
            raise CredentialsRefusedError(outcome)

    def note(self, hop: Smarthost, fault: CredentialsRefusedError) -> None:
        """Remember what *hop* said, if that will not change by itself."""
        if fault.lasting:
            self._told[hop] = (self._clock() + REST, fault.outcome)

    def forget(self) -> None:
        """Let all be tried again."""
        self._told.clear()
