"""Networks that guess passwords, and how long nobody new gets in from them.

A network is an IPv4 address or an IPv6 /64, the least that one customer is given (RFC 6177). Behind one address there may be one attacker,
or a whole cluster whose nodes translate addresses; a ban must stop the guessing of the first, and one wrong password among the second
must not lock out the rest. Three rules make the difference:

- Only *different* wrong credentials count. An application that shows the same wrong password all night learns nothing by it and is no
  attack; a guesser has to vary.
- A network is allowed more the more logins it has proven: `ALLOWED` for itself and as many for each of them.
- In a ban, credentials that were right from this network before are still compared; all others are refused unseen. So whoever was at work
  goes on, and guessing gains nothing: a right guess at them would have to be what somebody there uses already.

Success does not clear what was counted: whoever has one login could guess at the others between two uses of it.

Pure: the time is told. Bounded: networks that did nothing for the longest time are forgotten first; what only failed cannot push out what
succeeded.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from smtp_gateway.policy.network import network_of

ALLOWED = 10
"""Different wrong credentials within `WINDOW`: a person who tries all the passwords that come to mind needs fewer (NIST SP 800-63B
section 5.2.2 asks for at most 100 in a row)."""
WINDOW = 600.0
"""Seconds for which a failure counts."""
BAN = 600.0
"""Seconds of a ban. With `ALLOWED` that is 60 guesses an hour: 1,500 a day, against the 10^12 of a short random password."""
NETWORKS = 10_000
"""Networks that are remembered for failing, and as many for succeeding: some 2 KiB each at most, but for those with logins of their own."""
PROVEN = 64
"""Credentials of one network that are remembered to be right."""


@dataclass(slots=True)
class _Failures:
    seen: dict[bytes, float] = field(default_factory=dict)
    """The digests of wrong credentials, and when each was first seen."""
    until: float = 0.0
    """When the ban ends."""


class Bans:
    """What networks did."""

    def __init__(self) -> None:
        """Know of nothing."""
        self._failing: OrderedDict[str, _Failures] = OrderedDict()
        self._proven: OrderedDict[str, OrderedDict[bytes, None]] = OrderedDict()

    def bars(self, address: str, digest: bytes, now: float) -> bool:
        """Tell whether credentials are to be refused unseen at *now* (seconds): the network of *address* is banned, and they are new to it."""
        network = network_of(address)
        failures = self._failing.get(network)
        return failures is not None and now < failures.until and digest not in self._proven.get(network, ())

    def failed(self, address: str, digest: bytes, now: float) -> bool:
        """Count wrong credentials; tell whether a ban begins with them."""
        network = network_of(address)
        failures = self._failing.setdefault(network, _Failures())
        self._failing.move_to_end(network)
        if len(self._failing) > NETWORKS:
            self._failing.popitem(last=False)
        failures.seen = {each: at for each, at in failures.seen.items() if now - at < WINDOW}
        failures.seen.setdefault(digest, now)
        if len(failures.seen) <= ALLOWED * (1 + len(self._proven.get(network, ()))):
            return False
        failures.seen.clear()
        failures.until = now + BAN
        return True

    def succeeded(self, address: str, digest: bytes) -> None:
        """Remember that these credentials were right from the network of *address*."""
        network = network_of(address)
        proven = self._proven.setdefault(network, OrderedDict())
        proven[digest] = None
        proven.move_to_end(digest)
        if len(proven) > PROVEN:
            proven.popitem(last=False)
        self._proven.move_to_end(network)
        if len(self._proven) > NETWORKS:
            self._proven.popitem(last=False)
