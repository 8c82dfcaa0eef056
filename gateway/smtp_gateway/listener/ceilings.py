"""How many connections there may be: in all, and from one client network. Pure counting, done when a connection is accepted.

A client's network is its address for IPv4, and the /64 of its address for IPv6: one host has a /64 (RFC 6177 section 2) and could otherwise
come from a new address each time. A connection that is a proxy's own, or whose client the proxy cannot name, counts in all alone: the
proxy's address stands for everybody behind it.

The ceilings are asked for with each connection, so a new configuration counts from the next one on, and nobody is sent away who is in.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from smtp_gateway.mail.reply import Reply

if TYPE_CHECKING:
    from smtp_gateway.config.model import Limits


class Ceiling(StrEnum):
    """Which bound a connection would go over; the word of metrics and logs."""

    ALL = "connections"
    CLIENT = "connections_per_client"


FULL = {
    Ceiling.ALL: Reply(421, "4.3.2", "Too many connections, try again later"),
    Ceiling.CLIENT: Reply(421, "4.7.0", "Too many connections from your network, try again later"),
}
"""What a client over a ceiling is told in place of a greeting (RFC 5321 section 3.1 has 554, which senders may take for good; 421 is the
reply to a service that is not available now, section 4.2.3)."""


class Ceilings:
    """The connections that are open now, all listeners together."""

    def __init__(self) -> None:
        """Begin with none."""
        self._all = 0
        self._networks: dict[str, int] = {}

    def __len__(self) -> int:
        """Tell how many are open."""
        return self._all

    @property
    def networks(self) -> int:
        """From how many networks they come."""
        return len(self._networks)

    def enter(self, network: str | None, limits: Limits) -> Ceiling | None:
        """Count a connection in, from *network* or from nobody in particular; return the ceiling instead that is in its way."""
        if self._all >= limits.connections:
            return Ceiling.ALL
        if network is not None:
            here, most = self._networks.get(network, 0), limits.connections_per_client
            if most is not None and here >= most:
                return Ceiling.CLIENT
            self._networks[network] = here + 1
        self._all += 1
        return None

    def leave(self, network: str | None) -> None:
        """Count a connection out that `enter` counted in from *network*."""
        self._all -= 1
        if network is not None:
            here = self._networks[network]
            if here > 1:
                self._networks[network] = here - 1
            else:
                del self._networks[network]
