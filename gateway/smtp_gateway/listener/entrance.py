"""Who connects, and whether there is room: decided once for a connection, before anything is said on it.

What is not let in is told so, counted, and logged once a minute for each listener and reason: whoever fills the ceilings must not fill
the log as well.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from smtp_gateway.listener.ceilings import FULL, Ceilings
from smtp_gateway.policy.network import network_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.config.model import Limits
    from smtp_gateway.mail.reply import Reply
    from smtp_gateway.telemetry.observer import Observer

QUIET = 60.0
"""Seconds between two log lines of one listener about one reason."""
UNTRUSTED, MALFORMED, MISSING = "proxy_untrusted", "proxy_malformed", "proxy_missing"
"""Why a connection is refused beside the ceilings: a PROXY header from somebody who may not send one; none that can be read, or none in
time, from somebody who must."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Client:
    """The other end of one connection."""

    address: str
    """Its IP address: what the proxy said, where one that is trusted said something."""
    port: int = 0
    named: bool = True
    """Whether the address is the client's own, and not that of a proxy that did not say who it is."""

    @property
    def network(self) -> str | None:
        """What the ceiling for one client counts by."""
        return network_of(self.address) if self.named else None


UNKNOWN = Client("")
"""A client that went before it was looked at."""


def client_of(peername: Any) -> Client:
    """Return whom a socket's name (`getpeername`) names; IPv4 as such where a dual-stack socket shows it as IPv6."""
    return Client(str(peername[0]).removeprefix("::ffff:"), int(peername[1])) if peername else UNKNOWN


@dataclass(frozen=True, slots=True)
class Entrance:
    """A connection that was judged."""

    client: Client
    network: str | None = None
    """As what it is counted."""
    refusal: Reply | None = None
    """Why it is not let in; None when it is. Either way it is counted until it has `left`."""


class Door(Protocol):
    """Where a connection comes in."""

    @property
    def listener(self) -> str:
        """The listener's name."""

    @property
    def observer(self) -> Observer:
        """Who counts."""


class Admission:
    """The room that all listeners of a gateway share."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin empty; *clock* tells seconds."""
        self.ceilings = Ceilings()
        self.telling = 0
        """Clients that are refused and not gone yet."""
        self._clock = clock
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        """By listener and reason: when the log was last told, and how many were refused since."""

    def judge(self, client: Client, limits: Limits, door: Door) -> Entrance:
        """Count the connection of *client* in, or say why not."""
        network = client.network
        ceiling = self.ceilings.enter(network, limits)
        if ceiling is None:
            return Entrance(client, network)
        self.telling += 1
        self.refuse(ceiling.value, client, door)
        return Entrance(client, network, FULL[ceiling])

    def left(self, entrance: Entrance) -> None:
        """Count out a connection that is over."""
        if entrance.refusal is None:
            self.ceilings.leave(entrance.network)
        else:
            self.telling -= 1

    def refuse(self, reason: str, peer: Client, door: Door, detail: str = "") -> None:
        """Count a connection that is refused for *reason*, and tell the log unless it was told lately."""
        door.observer.turned_away(door.listener, reason)
        now = self._clock()
        last, unlogged = self._told.get((door.listener, reason), (now - QUIET, 0))
        due = now - last >= QUIET
        self._told[door.listener, reason] = (now, 0) if due else (last, unlogged + 1)
        if due:
            _log.warning("connection refused", listener=door.listener, reason=reason, peer=peer.address, unlogged=unlogged, detail=detail)
