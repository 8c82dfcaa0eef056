"""The listeners: their sockets, and the sessions that come in through them.

A port is one dual-stack socket, so that a port number chosen by the system (0) is the same for IPv4 and IPv6. Clients that connect and
close, as health probes of load balancers do, are sessions of no command: counted, not logged. Where something comes before the first
command (a PROXY header, a TLS handshake), a connection begins at a `gate`; elsewhere it is a session at once.

What can go wrong: a port that cannot be bound (`BindError`, at start only).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

from smtp_gateway.config.model import ListenerTls
from smtp_gateway.listener.entrance import Admission
from smtp_gateway.listener.gate import Gate
from smtp_gateway.listener.session import Session
from smtp_gateway.listener.sessions import Sessions
from smtp_gateway.telemetry.log import hush

if TYPE_CHECKING:
    from smtp_gateway.listener.connection import Front

BACKLOG = 1024
"""Connections that the kernel keeps until they are accepted; it cuts this to `net.core.somaxconn`."""
KEEPALIVE_AFTER = 60
"""Seconds of silence before the kernel asks whether the client is still there: below the idle time-outs of load balancers (350 s at
AWS, 240 s at Azure)."""


class BindError(Exception):
    """A listener's port cannot be bound."""

    def __init__(self, listener: str, port: int, cause: OSError) -> None:
        """Say which, and why."""
        super().__init__(f"listener {listener} cannot use port {port}: {cause.strerror or cause}")
        self.listener = listener
        self.port = port


class Listeners:
    """All listeners of a gateway."""

    def __init__(self) -> None:
        """Listen nowhere yet."""
        hush()
        self._servers: list[asyncio.Server] = []
        self.sessions = Sessions()
        """Those of all listeners."""
        self.admission = Admission()
        """The room that they share."""
        self.ports: dict[str, int] = {}
        """The port of each listener, by its name."""

    @property
    def accepting(self) -> bool:
        """Whether connections are taken."""
        return bool(self._servers)

    async def open(self, front: Front, address: tuple[str | None, int]) -> None:
        """Accept connections for *front* at *address*: a host, or None for all, and a port, or 0 for one of the system's choice.

        Whether they begin with TLS is asked anew for each, as the configuration of the moment has it.
        Those that are accepted just before `stop_accepting`, and come to a session after it, are dismissed in place of a greeting.
        Raises `BindError`.
        """
        host, port = address
        try:
            bound = listening_socket(host, port)
        except OSError as error:
            raise BindError(front.listener, port, error) from error

        known = front.configured

        def connection() -> asyncio.BaseProtocol:
            nonlocal known
            # One that is gone from the configuration goes on as it was, until the pod is replaced for it.
            known = front.configured or known
            gated = known is not None and (known.tls is ListenerTls.IMPLICIT or known.trusted_proxies)
            return Gate(front, Session(front), known) if known and gated else Session(front)

        server = await asyncio.get_running_loop().create_server(connection, sock=bound, backlog=BACKLOG)
        self._servers.append(server)
        self.sessions.closed = False
        self.ports[front.listener] = bound.getsockname()[1]

    def stop_accepting(self) -> None:
        """Close the listening sockets; sessions go on."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.sessions.closed = True

    async def finish_sessions(self, within: float) -> int:
        """Let each session end its transaction, and end those that have not within *within* seconds; return how many those were."""
        return await self.sessions.finish(within)


def listening_socket(host: str | None, port: int) -> socket.socket:
    """Return a listening TCP socket for *host*, or for all addresses of both families; IPv4 alone where IPv6 is off.

    Raises `OSError`.
    """
    if host is not None:
        bound = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG)
    else:
        bound = _dual_stack(port)
    bound.setblocking(False)  # noqa: FBT003 the parameter has no other way
    # Accepted sockets inherit these.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_AFTER)
    return bound


def _dual_stack(port: int) -> socket.socket:
    try:
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    except OSError as error:
        if error.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
            raise
        return socket.create_server(("0.0.0.0", port), backlog=BACKLOG)  # noqa: S104 listening to everyone is a mail server's purpose
