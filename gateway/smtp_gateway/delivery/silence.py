"""Whether the network blocks port 25, told by what becomes of mail to exchangers: there are too many of them to probe.

Such networks drop packets, so that nothing comes back at all. From one exchanger that may be its own fault; from those of several domains,
while none of any domain answers, it is the way there. Domains are told apart by the last two labels of the exchangers' names, because
many exchangers of one provider can be away together. A refusal comes from somebody, and says neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

DOMAINS = 3
"""Domains whose exchangers have to be silent. Two may be a coincidence: an old domain, and another one's maintenance."""
KEPT = 2 * 3600.0
"""Seconds for which a silence counts: mail waits for up to an hour for its next attempt (`Retry.maximum`), so one that lasts is heard again."""

_log = structlog.get_logger()


class Silence:
    """Exchangers from which nothing came back since one of any domain last answered."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin knowing nothing; *clock* tells seconds and never goes back."""
        self._clock = clock
        self._until: dict[str, float] = {}
        """By domain, until when its silence counts: no more than `DOMAINS` of them are needed."""

    @property
    def blocked(self) -> bool:
        """Whether port 25 seems to be blocked."""
        now = self._clock()
        return sum(now < until for until in self._until.values()) >= DOMAINS

    def heard_nothing(self, host: str) -> None:
        """Take note that nothing came back from the exchanger *host*."""
        before = self.blocked
        domain = ".".join(host.rstrip(".").lower().split(".")[-2:])
        self._until.pop(domain, None)
        self._until[domain] = self._clock() + KEPT
        if len(self._until) > DOMAINS:
            del self._until[next(iter(self._until))]
        if self.blocked and not before:
            _log.warning("port 25 blocked", silent=sorted(self._until))

    def heard(self) -> None:
        """Take note that an exchanger answered."""
        if self._until:
            if self.blocked:
                _log.info("port 25 open")
            self._until.clear()
