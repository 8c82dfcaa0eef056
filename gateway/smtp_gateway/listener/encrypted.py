"""A connection under TLS: the event loop's own, which is lent what it reads into.

    socket -> Portions -> the loop's TLS -> Plaintext -> session

uvloop's TLS and asyncio's like it read up to 256 KiB at a time into a buffer that each connection owns, put that into a BIO, which grows
to its largest content and stays so large, and take each record out of it into a new object of 256 KiB. Under large messages that is 0.6 MB
a connection, and a heap in pieces. The two protocols around it use nothing but the interface of asyncio's buffered protocols: one bounds
what is read, the other has one place for all connections into which records are decrypted (docs/decisions/0013).

Both kinds of listeners come here: after STARTTLS (`smtp_gateway.listener.connection`), and with the first octets of implicit TLS
(`smtp_gateway.listener.implicit`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

HANDSHAKE_TIMEOUT = 30.0
"""Seconds for a TLS handshake, a few round trips; asyncio's own 60 would let twice as many half-open ones pile up."""
GOODBYE_TIMEOUT = 5.0
"""Seconds for the client's close_notify: nothing depends on it (RFC 8446 section 6.1)."""
PORTION = 64 * 1024
"""Octets that are read from a connection at a time: four records of TLS (RFC 8446 section 5.1). Half of it saves no memory that can be
measured, twice as much takes 10 MiB more for a hundred clients. Messages of 1 MB cost 2 % more processor time than with 256 KiB."""
_DECRYPTED = memoryview(bytearray(256 * 1024))
"""Where all connections decrypt into: what is there is copied to its session before the loop does anything else."""


class Portions(asyncio.BufferedProtocol):
    """Between the socket and the loop's TLS: lets that read no more than `PORTION` at a time."""

    def __init__(self, tls: asyncio.BufferedProtocol) -> None:
        """Stand before *tls*."""
        self._tls = tls

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 asyncio's signature
        """Return the beginning of the buffer that TLS has."""
        return memoryview(self._tls.get_buffer(PORTION))[:PORTION]

    def buffer_updated(self, nbytes: int) -> None:
        """Let TLS go on."""
        self._tls.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        """Let TLS end."""
        return self._tls.eof_received()

    def pause_writing(self) -> None:
        """Let TLS hold what it has to send."""
        self._tls.pause_writing()

    def resume_writing(self) -> None:
        """Let TLS send it."""
        self._tls.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let TLS tell the session."""
        self._tls.connection_lost(exc)


class Plaintext(asyncio.BufferedProtocol):
    """Between the loop's TLS and a session: hands on what was decrypted."""

    def __init__(self, session: asyncio.Protocol) -> None:
        """Stand before *session*, until its connection is lost."""
        self._session = session

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 asyncio's signature
        """Return the place that all connections share."""
        return _DECRYPTED

    def buffer_updated(self, nbytes: int) -> None:
        """Give the session its octets."""
        self._session.data_received(bytes(_DECRYPTED[:nbytes]))

    def eof_received(self) -> bool | None:
        """Tell the session."""
        return self._session.eof_received()

    def pause_writing(self) -> None:
        """Tell the session."""
        self._session.pause_writing()

    def resume_writing(self) -> None:
        """Tell the session."""
        self._session.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the session, and let go of it: uvloop's TLS keeps its protocol, and a session its transport, until garbage is collected."""
        self._session.connection_lost(exc)
        del self._session


class Early(Plaintext):
    """The same for a session that has not begun: a client may send with the last octets of its handshake, and that waits until it has."""

    def __init__(self, session: asyncio.Protocol) -> None:
        """Stand before *session*."""
        super().__init__(session)
        self._early: list[bytes] | None = []

    def begin(self, transport: asyncio.Transport) -> None:
        """Let the session begin on *transport*, and give it what came before; one whose client is gone already learns just that."""
        early, self._early = self._early or (), None
        if transport.is_closing():
            self._session.connection_lost(None)
            return
        self._session.connection_made(transport)
        for octets in early:
            self._session.data_received(octets)

    def buffer_updated(self, nbytes: int) -> None:
        """Give the session its octets, or keep them."""
        if self._early is None:
            super().buffer_updated(nbytes)
        else:
            self._early.append(bytes(_DECRYPTED[:nbytes]))

    def eof_received(self) -> bool | None:
        """Tell the session; before it began there is nobody to tell, and the connection ends."""
        return super().eof_received() if self._early is None else None

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the session, if it began."""
        if self._early is None:
            super().connection_lost(exc)


async def encrypt(protocol: Plaintext, plain: Any, context: ssl.SSLContext, within: float = HANDSHAKE_TIMEOUT) -> Any:
    """Go on under TLS with *protocol* where *plain* was the transport; return its new transport, or None when the connection ended.

    The handshake may take *within* seconds. What comes behind it may be given to *protocol* before this returns.

    Raises `OSError`, or `RuntimeError`, the loop's word for a transport that closed already.
    """
    transport = await asyncio.get_running_loop().start_tls(
        plain,
        protocol,
        context,
        server_side=True,
        ssl_handshake_timeout=within,
        ssl_shutdown_timeout=GOODBYE_TIMEOUT,
    )
    if not plain.is_closing():
        plain.set_protocol(Portions(plain.get_protocol()))
    # A transport that is closed here ends a handshake without an error: asyncio has no other transport then, uvloop one without TLS.
    return transport if transport is not None and transport.get_extra_info("ssl_object") is not None else None
