"""A session with one next hop: greeting, EHLO, STARTTLS, AUTH (RFC 5321 section 3.1 and 3.2, RFC 3207, RFC 4954).

On port 465 TLS comes first, and there is no STARTTLS (RFC 8314 section 3.3).

What the next hop said before TLS is forgotten after it. Where TLS fails, the session does not come about, whatever was asked for: going on
in the clear takes a fresh connection (RFC 7435 section 3), which `ways` has where it is allowed. Every way not to come about is a
`HopUnusableError`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from smtp_gateway.config.model import SUBMISSIONS_PORT, HopTls, TokenCredentials
from smtp_gateway.delivery import bearer, requiretls, sasl
from smtp_gateway.delivery.connection import Connection, open_connection
from smtp_gateway.delivery.faults import (
    ConnectionLostError,
    HopUnusableError,
    NotEncryptedError,
    SessionError,
    SilentPortError,
    TlsUnusableError,
)
from smtp_gateway.delivery.trust import Terms
from smtp_gateway.mail.encryption import Encryption
from smtp_gateway.mail.outcome import Phase, judge

if TYPE_CHECKING:
    from smtp_gateway.config.model import ClientCertificate, Credentials, Smarthost
    from smtp_gateway.delivery.settings import Settings
    from smtp_gateway.mail.reply import Reply

_READY = 220
_UNKNOWN_COMMAND = (500, 502)
"""Answers to EHLO that mean a server from before ESMTP (RFC 5321 section 3.2): HELO will do."""
_DEMANDS_TLS = (HopTls.REQUIRED, HopTls.VERIFY)


@dataclass(frozen=True, slots=True)
class Hop:
    """One address of one next hop, and how it is to be spoken to."""

    host: str
    address: str
    port: int
    tls: HopTls
    credentials: Credentials | None = None
    """What it wants to be told before mail; None: nothing."""
    client_certificate: ClientCertificate | None = None
    authority: str | None = None
    """As `Smarthost` has them."""

    @classmethod
    def at(cls, address: str, port: int, smarthost: Smarthost) -> Self:
        """Return the hop that *smarthost* is on *port* of *address*."""
        shown = smarthost.credentials, smarthost.client_certificate
        return cls(smarthost.host, address, port, smarthost.tls, *shown, smarthost.authority)

    @property
    def terms(self) -> Terms:
        """By which a handshake is made with it."""
        return Terms(self.tls, self.client_certificate, self.authority)

    @property
    def implicit(self) -> bool:
        """Whether TLS comes before the greeting, whatever `tls` says but for its trust."""
        return self.port == SUBMISSIONS_PORT

    def __str__(self) -> str:
        """Return the form that logs and notices use."""
        return f"{self.host.rstrip('.')}[{self.address}]:{self.port}"


@dataclass(frozen=True, slots=True)
class Session:
    """An open session that waits for MAIL."""

    hop: Hop
    connection: Connection
    extensions: frozenset[str]
    """The keywords of the reply to EHLO, in upper case."""
    mechanisms: frozenset[str] = frozenset()
    """The SASL mechanisms that it offers."""
    encryption: Encryption | None = None
    """None in the clear."""


def ways(hop: Hop) -> tuple[Hop, ...]:
    """Return how *hop* may be spoken to: as asked for, and, where TLS is opportunistic and fails, in the clear."""
    return (hop, replace(hop, tls=HopTls.NONE)) if hop.tls is HopTls.OPPORTUNISTIC and not hop.implicit else (hop,)


async def open_session(hop: Hop, settings: Settings) -> Session:
    """Return a session with *hop* over one connection. Raises `HopUnusableError`, and `SilentPortError` when nobody greets."""
    try:
        connection = await open_connection(hop.address, hop.port, settings.timeouts.connect)
    except SessionError as fault:
        raise SilentPortError(fault.deferral(str(hop))) from fault
    try:
        encryption = await _shake_hands(hop, connection, settings) if hop.implicit else None
        return await _establish(Session(hop, connection, frozenset(), encryption=encryption), settings)
    except SessionError as fault:
        connection.leave(settings.timeouts.goodbye)
        raise HopUnusableError(fault.deferral(str(hop))) from fault
    except BaseException:
        connection.leave(settings.timeouts.goodbye)
        raise


async def _establish(session: Session, settings: Settings) -> Session:
    """Do what the next hop wants before mail."""
    introduced = await _introduce(session, settings)
    credentials, patience = session.hop.credentials, settings.timeouts.hello
    if isinstance(credentials, TokenCredentials):
        await bearer.authenticate(introduced, credentials, settings)
    elif credentials is not None:
        await sasl.authenticate(introduced, sasl.by_password(credentials), patience)
    elif session.hop.client_certificate is not None and sasl.EXTERNAL.name in introduced.mechanisms:
        await sasl.authenticate(introduced, (sasl.EXTERNAL,), patience)
    return introduced


async def _introduce(session: Session, settings: Settings) -> Session:
    """Exchange the greeting and names, and put TLS beneath them as far as the hop's setting asks for it."""
    try:
        greeting = await session.connection.reply(settings.timeouts.greeting)
    except ConnectionLostError as fault:
        raise SilentPortError(fault.deferral(str(session.hop))) from fault
    if greeting.code != _READY:
        raise HopUnusableError(judge(Phase.CONNECT, greeting, str(session.hop)))
    greeted = await _hello(session, settings)
    if session.hop.tls is HopTls.NONE or session.encryption is not None:
        return greeted
    if "STARTTLS" in greeted.extensions:
        return await _encrypt(greeted, settings)
    if session.hop.tls in _DEMANDS_TLS:
        message = "TLS is required and the next hop does not offer STARTTLS"
        raise NotEncryptedError(message)
    return greeted


async def _hello(session: Session, settings: Settings) -> Session:
    patience = settings.timeouts.hello
    reply = await session.connection.exchange(f"EHLO {settings.hostname}", patience)
    extensions, mechanisms = _extensions(reply), sasl.offered(reply)
    if reply.code in _UNKNOWN_COMMAND:
        reply = await session.connection.exchange(f"HELO {settings.hostname}", patience)
        extensions = mechanisms = frozenset()
    if not reply.positive:
        raise HopUnusableError(judge(Phase.HELLO, reply, str(session.hop)))
    if session.encryption is None:
        extensions -= {requiretls.KEYWORD}  # it counts under TLS alone (RFC 8689 section 4.2.1)
    return replace(session, extensions=extensions, mechanisms=mechanisms)


async def _encrypt(session: Session, settings: Settings) -> Session:
    """Send STARTTLS, shake hands, and introduce ourselves again: what was said before does not count (RFC 3207 section 4.2).

    Raises `TlsUnusableError` whatever goes wrong, the second EHLO included.
    """
    connection, patience = session.connection, settings.timeouts.start_tls
    try:
        reply = await connection.exchange("STARTTLS", patience)
        if reply.code != _READY:
            raise TlsUnusableError(judge(Phase.STARTTLS, reply, str(session.hop)))
        encryption = await _shake_hands(session.hop, connection, settings)
        return await _hello(replace(session, encryption=encryption), settings)
    except SessionError as fault:
        raise TlsUnusableError(fault.deferral(str(session.hop))) from fault
    except HopUnusableError as fault:
        raise TlsUnusableError(fault.outcome) from fault


async def _shake_hands(hop: Hop, connection: Connection, settings: Settings) -> Encryption:
    """Put TLS on *connection* by the terms of *hop*, and return what was agreed on. Raises `HandshakeError`."""
    context = await settings.trust.context(hop.terms)
    await connection.start_tls(context, hop.host.rstrip("."), settings.timeouts.start_tls)
    return Encryption(*connection.tls, verified=hop.tls is HopTls.VERIFY)


def _extensions(reply: Reply) -> frozenset[str]:
    """Return the keywords of a reply to EHLO; its first line is the name of the server (RFC 5321 section 4.1.1.1)."""
    return frozenset(line.split()[0].upper() for line in reply.text.splitlines()[1:] if line.split())
