"""Which next hops gave no session lately, and on which of its ports one did: not every message pays for the same connection time-out.

Who gave none is tried last. Never left out: what is remembered may be wrong by now, and where all others fail as well it is tried after
all. What only refuses in words keeps its place, because its answer costs no time. Deliveries and probes tell what they found, and once in
a while one attempt finds out anew.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from smtp_gateway.delivery.silence import Silence
from smtp_gateway.mail.outcome import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from smtp_gateway.config.model import Smarthost
    from smtp_gateway.mail.outcome import Outcome

AVOIDED = 120.0
"""Seconds for which a next hop is tried last. A probe that fails comes again sooner, so a smarthost's time ends when a probe says so; an
exchanger, which nobody probes, is found out about by one message every two minutes."""
REMEMBERED = 10_000
"""Next hops that are remembered, some 300 octets each: a list of dead addresses can name any number of exchangers."""


class Reachability:
    """What is known of next hops."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin knowing nothing; *clock* tells seconds and never goes back."""
        self._clock = clock
        self._missed: dict[Smarthost, float] = {}
        """Until when a next hop is tried last."""
        self._exchangers = Silence(clock)
        self._ports: dict[Smarthost, int] = {}
        """The port that is tried first, of smarthosts where it is an alternate one."""

    def in_order(self, hops: Sequence[Smarthost]) -> Sequence[Smarthost]:
        """Return *hops* as they should be tried: in their order, those behind the others that gave no session lately."""
        if not self._missed or len(hops) == 1:
            return hops
        last = {hop for hop in hops if self._avoids(hop)}
        return (*(hop for hop in hops if hop not in last), *(hop for hop in hops if hop in last)) if last else hops

    @property
    def port_25_blocked(self) -> bool:
        """Whether the network seems to block port 25: no exchanger of any domain answers."""
        return self._exchangers.blocked

    def told(self, hop: Smarthost, outcome: Outcome) -> None:
        """Take note of what *hop* came to that gave no session."""
        if not isinstance(outcome, Deferred) or not outcome.local:
            self.reached(hop)
            return
        self.missed(hop)
        if outcome.silent and _is_exchanger(hop):
            self._exchangers.heard_nothing(hop.host)

    def missed(self, hop: Smarthost) -> None:
        """Take note that *hop* gave no session, and no answer that says why."""
        self._missed.pop(hop, None)
        self._missed[hop] = self._clock() + AVOIDED
        if len(self._missed) > REMEMBERED:
            del self._missed[next(iter(self._missed))]

    def reached(self, hop: Smarthost, port: int | None = None) -> None:
        """Take note that *hop* gave a session, or an answer, on *port* where it is known which."""
        if self._missed:
            self._missed.pop(hop, None)
        if hop.alternate_ports and port is not None:
            self._ports[hop] = port
        if _is_exchanger(hop):
            self._exchangers.heard()

    def ports(self, hop: Smarthost) -> Sequence[int]:
        """Return the ports of *hop* as they should be tried: the one that answered last, and the others in their order."""
        if not hop.alternate_ports:
            return (hop.port,)
        first = self._ports.get(hop, hop.port)
        return (first, *(port for port in (hop.port, *hop.alternate_ports) if port != first))

    def forget(self) -> None:
        """Know nothing any more."""
        self._missed.clear()
        self._ports.clear()

    def _avoids(self, hop: Smarthost) -> bool:
        until = self._missed.get(hop)
        if until is None or self._clock() < until:
            return until is not None
        # This attempt finds out; the others go on as before until it has, and do not all wait with it.
        self.missed(hop)
        return False


def _is_exchanger(hop: Smarthost) -> bool:
    """Tell whether *hop* is from the DNS, whose names are absolute, and not from the configuration."""
    return hop.host.endswith(".")
