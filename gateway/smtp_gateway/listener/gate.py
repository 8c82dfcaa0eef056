"""A connection before its first octet of SMTP or TLS: what a trusted proxy says of it is read, and it is counted.

    connection --from a trusted proxy--> its header --> counted --> session, or under implicit TLS handshake and session
               --from anybody else--------------------> counted --> the same

Of a proxy's connection nothing but its header is read here (`proxy.IncomingHeader`), so that what is behind it is still in the socket for
whom it is meant. A proxy must send one: whoever it forwards could otherwise write one of its own, and be anybody. From others none is
taken: they are served as themselves, and to their session a header is a command that nobody may give.

A client that is refused under implicit TLS is told like any other, once its handshake is done. A handshake costs more than a session, so
that is done for `TELLING` clients at a time; beyond those the refusal is TLS's own, an alert.

What can go wrong: no header, or none in time; both are counted and logged, and the connection is closed. A client that connects and closes,
as probes do, is neither.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Any

from smtp_gateway.config.model import ListenerTls
from smtp_gateway.listener import replies
from smtp_gateway.listener.entrance import MALFORMED, MISSING, UNKNOWN, Client, client_of
from smtp_gateway.listener.implicit import Doorway
from smtp_gateway.listener.proxy import LIMIT, HeaderError, IncomingHeader
from smtp_gateway.mail import reply

if TYPE_CHECKING:
    from smtp_gateway.config.model import Listener
    from smtp_gateway.listener.connection import Connection, Front
    from smtp_gateway.listener.proxy import Header
    from smtp_gateway.mail.reply import Reply

TELLING = 32
"""Clients that are refused and still have to be told so, beyond which no handshake is made for it: some 40 ms of processor time."""
_ALERT = b"\x15\x03\x03\x00\x02\x02\x50"
"""The TLS alert internal_error, fatal (RFC 8446 sections 5.1 and 6.2): as a record of its own it may stand before any other."""
_READ = memoryview(bytearray(LIMIT))
"""Where headers are read into: each portion is copied before the loop does anything else."""


class Gate(asyncio.BufferedProtocol):
    """One connection on its way to a session."""

    def __init__(self, front: Front, session: Connection, listener: Listener) -> None:
        """Lead to *session*, as *listener* is configured when the connection is made."""
        self._front = front
        self._session = session
        self._proxies = listener.trusted_proxies
        self._implicit_tls = listener.tls is ListenerTls.IMPLICIT
        self._transport: Any = None  # asyncio's plain transport, or its loop's own
        self._peer = UNKNOWN
        self._incoming: IncomingHeader | None = None
        """The header that has to come."""
        self._anything = False
        """Whether any of it came."""
        self._began = 0.0

    # ---- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the header of a trusted proxy; let anybody else go on."""
        self._transport = transport
        self._peer = client_of(transport.get_extra_info("peername"))
        if not self._trusted:
            self._enter(self._peer)
            return
        self._incoming = IncomingHeader()
        self._began = asyncio.get_running_loop().time()
        self._front.sessions.add(self, self._front.timeouts.shortest)

    @property
    def _trusted(self) -> bool:
        if not self._proxies or not self._peer.address:
            return False
        address = ipaddress.ip_address(self._peer.address)
        return any(address in network for network in self._proxies)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 asyncio's signature
        """Return room for nothing but the header."""
        return _READ[: self._incoming.wanted if self._incoming else 1]

    def buffer_updated(self, nbytes: int) -> None:
        """Read on, and let the client in that the header names."""
        if self._incoming is None:
            return
        self._anything = True
        try:
            header = self._incoming.feed(bytes(_READ[:nbytes]))
        except HeaderError as error:
            self._refuse(MALFORMED, str(error))
            return
        if header is not None:
            self._incoming = None
            self._front.sessions.remove(self)
            self._enter(self._named(header))

    def eof_received(self) -> None:
        """Close: a probe has seen what it came for, and anybody else sends no header any more."""
        if self._incoming is not None and self._anything:
            self._refuse(MALFORMED, "not whole")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio's signature
        """Forget a connection that did not come so far as to be counted."""
        self._front.sessions.remove(self)

    # ---- on the way

    def _named(self, header: Header) -> Client:
        return Client(self._peer.address, self._peer.port, named=False) if header.address is None else Client(header.address, header.port)

    def _enter(self, client: Client) -> None:
        """Count *client* in, or refuse it, and let what follows have the connection."""
        front, session = self._front, self._session
        entrance = front.admission.judge(client, front.intake.config.limits, front)
        if self._implicit_tls and entrance.refusal is not None and front.admission.telling > TELLING:
            front.admission.left(entrance)
            self._close(_ALERT)
            return
        session.entrance = entrance
        self._hand_over(Doorway(front, session) if self._implicit_tls else session)

    def _hand_over(self, protocol: asyncio.Protocol) -> None:
        transport = self._transport
        # A loop chooses how it reads when it begins to, and others are not read for as this is.
        reading = transport.is_reading()
        if reading:
            transport.pause_reading()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if reading:
            transport.resume_reading()

    # ---- the end

    def _refuse(self, reason: str, detail: str, farewell: Reply | None = None) -> None:
        """Close a connection whose proxy did not say whose it is."""
        self._front.admission.refuse(reason, self._peer, self._front, detail)
        self._part(farewell)

    def _part(self, farewell: Reply | None) -> None:
        self._incoming = None
        # Before a handshake nothing can be said that the client would understand.
        self._close(b"" if farewell is None or self._implicit_tls else f"{farewell}\r\n".encode())

    def _close(self, last: bytes) -> None:
        if last:
            self._transport.write(last)
        self._transport.close()

    def look(self, now: float) -> None:
        """Close when the header does not come."""
        if self._incoming is not None and now - self._began >= self._front.timeouts.proxy_header:
            self._refuse(MISSING, "none in time", replies.TIMED_OUT)

    def dismiss(self) -> None:
        """Close."""
        if self._incoming is not None:
            self._part(reply.SHUTTING_DOWN)

    def cut(self) -> None:
        """Close now."""
        self._transport.abort()
