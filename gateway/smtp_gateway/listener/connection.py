"""One client's connection under aiosmtpd: its beginning and end, its encryption, its replies. `session` adds the commands.

The differences from aiosmtpd, and why, are listed in `smtp_gateway.listener.session`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from aiosmtpd.smtp import SMTP

from smtp_gateway.listener import replies
from smtp_gateway.listener.commands import AUTH_LIMIT, CHUNK, COMMAND_LIMIT, PeerGoneError
from smtp_gateway.listener.hooks import Hooks
from smtp_gateway.mail import reply
from smtp_gateway.mail.envelope import Peer
from smtp_gateway.policy.auth import Identity

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from smtp_gateway.intake import Intake
    from smtp_gateway.listener.commands import CommandReader
    from smtp_gateway.mail.reply import Reply
    from smtp_gateway.policy.auth import Logins
    from smtp_gateway.telemetry.observer import Observer

IDLE_TIMEOUT = 300.0
"""Seconds that a client may take for its next command: at least 5 minutes (RFC 5321 section 4.5.3.2.7)."""
HANDSHAKE_TIMEOUT = 30.0
"""Seconds for a TLS handshake, a few round trips; asyncio's own 60 would let twice as many half-open ones pile up."""
TLS_GOODBYE_TIMEOUT = 5.0
"""Seconds for the client's close_notify: nothing depends on it (RFC 8446 section 6.1)."""
_log = structlog.get_logger()


class Sessions:
    """The connections that are open now."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: set[Connection] = set()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, session: Connection) -> None:
        """Count *session* in."""
        self._open.add(session)
        self._none.clear()

    def remove(self, session: Connection) -> bool:
        """Count *session* out; tell whether it was in."""
        known = session in self._open
        self._open.discard(session)
        if not self._open:
            self._none.set()
        return known

    async def finish(self, within: float) -> int:
        """Dismiss all, cut those that are still there *within* seconds later, and return how many those were."""
        for session in tuple(self._open):
            session.dismiss()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._none.wait()
        late = tuple(self._open)
        for session in late:
            session.cut()
        return len(late)


@dataclass(frozen=True, slots=True)
class Front:
    """What the sessions of one listener have in common."""

    listener: str
    intake: Intake
    logins: Logins
    observer: Observer
    tls: ssl.SSLContext
    sessions: Sessions
    timeout: float = IDLE_TIMEOUT
    pattern: dict[str, Any] = field(default_factory=dict)
    """What sessions begin with, kept from the first one; empty before it."""


class Connection(SMTP):
    """One connection of a client."""

    line_length_limit = CHUNK
    command_size_limit = COMMAND_LIMIT
    # The words of the exchange are what most servers say, and the few clients that read them expect.
    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"

    def __init__(self, front: Front) -> None:
        """Open a session of *front*, with the host name and limits that are in force now."""
        config = front.intake.config
        self._front = front
        self._tls_version: str | None = None
        self._leaving = False
        self._heard = 0.0
        self._stream: asyncio.StreamReader
        self._commands: CommandReader
        if front.pattern:
            self._resemble(front.pattern)
        else:
            self._construct(config.hostname, config.limits.message_size)
            front.pattern.update(pattern_of(self))
        self.hostname, self.data_size_limit = config.hostname, config.limits.message_size
        self.command_size_limits = defaultdict(lambda: COMMAND_LIMIT, AUTH=AUTH_LIMIT)

    def _construct(self, hostname: str, message_size: int) -> None:
        """Let aiosmtpd make a session: it looks at every member of the class and of the handler, which takes longer than a message."""
        front = self._front
        super().__init__(
            Hooks(front.intake),
            data_size_limit=message_size,
            enable_SMTPUTF8=True,
            hostname=hostname,
            ident="ESMTP",
            tls_context=front.tls,
            auth_required=True,
            timeout=front.timeout,
            loop=asyncio.get_running_loop(),
        )

    def _resemble(self, pattern: Mapping[str, Any]) -> None:
        """Be as the first session of the listener was when aiosmtpd had made it; methods are bound to this one."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=self.line_length_limit, loop=loop)
        asyncio.StreamReaderProtocol.__init__(self, reader, client_connected_cb=self._cb_client_connected, loop=loop)
        self.__dict__.update(pattern)
        self._smtp_methods = {verb: getattr(self, method.__name__) for verb, method in pattern["_smtp_methods"].items()}
        self._auth_methods = {
            name: one._replace(method=getattr(self, one.method.__name__)) for name, one in pattern["_auth_methods"].items()
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, in the clear or under implicit TLS."""
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._under_tls(tls.version())
        super().connection_made(transport)
        self._front.sessions.add(self)
        self._front.observer.connected(self._front.listener)

    def connection_lost(self, error: Exception | None) -> None:
        """End. Called by the transport, and by a failed handshake, whose transport does not."""
        if self._front.sessions.remove(self):
            self._front.observer.disconnected(self._front.listener)
            super().connection_lost(error)

    def eof_received(self) -> bool:
        """Note that the client sends no more; what it sent is still answered."""
        self._stream.feed_eof()
        return self._tls_version is None

    async def _handle_client(self) -> None:
        # aiosmtpd's loop lets the loss of a connection out, where asyncio would log it as an exception nobody retrieved.
        with contextlib.suppress(ConnectionError):
            await super()._handle_client()
        if self.transport is not None:
            self.transport.close()

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Note that something was heard. One timer at a time looks whether it is long ago; aiosmtpd makes one for each command."""
        self._heard = self.loop.time()
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_later(duration or self._front.timeout, self._timeout_cb)

    def _timeout_cb(self) -> None:
        left = self._heard + self._front.timeout - self.loop.time()
        if left > 0:
            self._timeout_handle = self.loop.call_later(left, self._timeout_cb)
        else:
            self._part_with(replies.TIMED_OUT)

    def dismiss(self) -> None:
        """Say goodbye at the end of the transaction in progress, or at once where there is none."""
        self._leaving = True
        if self._commands.idle and not self._in_transaction:
            self._part_with(reply.SHUTTING_DOWN)

    def cut(self) -> None:
        """Say goodbye now."""
        self._part_with(reply.SHUTTING_DOWN)

    def _part_with(self, farewell: Reply) -> None:
        transport = self._writer.transport
        if transport.get_write_buffer_size():
            # A client that does not read its replies would keep a transport that is only closed open for ever.
            transport.abort()
        elif not transport.is_closing():
            self._writer.write(f"{farewell}\r\n".encode())
            transport.close()

    def before_command(self) -> None:
        """End the session when it was dismissed and no transaction is open."""
        if self._leaving and not self._in_transaction:
            self._part_with(reply.SHUTTING_DOWN)
            raise PeerGoneError

    async def refuse_line(self, reply: Reply) -> None:
        """Answer a line that never became a command."""
        await self.push(str(reply))

    async def drain(self) -> None:
        """Wait until the client has read most of its replies."""
        await self._writer.drain()

    @property
    def _in_transaction(self) -> bool:
        return bool(self.envelope and self.envelope.mail_from)

    async def push(self, status: str | bytes) -> None:
        """Send one reply line, and count it when it refuses a command."""
        if isinstance(status, str):
            line = replies.with_enhanced_code(status)
            refusal = replies.refusal(line)
            if refusal is not None:
                self._front.observer.refused(self._front.listener, self._command, refusal)
            status = line.encode("utf-8", "replace")
        self._writer.write(status + b"\r\n")
        await self._writer.drain()

    @property
    def _command(self) -> str:
        """The verb being answered, as a label: one that the gateway knows, or `other`."""
        verb = self._commands.verb
        return verb if verb in self._smtp_methods else "other"

    async def handle_exception(self, error: Exception) -> str:
        """Log the whole cause, and tell the client only that it should come again."""
        if not isinstance(error, ConnectionError):
            _log.error("session failed", peer=self._peer.address, listener=self._front.listener, command=self._command, exc_info=error)
        return str(reply.TRY_AGAIN_LATER)

    @property
    def _peer(self) -> Peer:
        session = self.session
        who = session.auth_data if session else None
        return Peer(
            address=_address(session.peer if session else None),
            listener=self._front.listener,
            hello=(session.host_name if session else None) or "",
            extended=bool(session and session.extended_smtp),
            tls_version=self._tls_version,
            login=who.login if isinstance(who, Identity) else None,
            identity=who.identity if isinstance(who, Identity) else None,
        )

    async def _handshake(self) -> None:
        try:
            transport = await self.loop.start_tls(
                self._writer.transport,
                self,
                self._front.tls,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=TLS_GOODBYE_TIMEOUT,
            )
        except (OSError, RuntimeError) as error:
            # RuntimeError: the loop's word for a transport that closed already.
            _log.info("TLS handshake failed", peer=self._peer.address, listener=self._front.listener, reason=str(error))
            self.connection_lost(None)
            raise PeerGoneError from error
        if transport is None:
            raise PeerGoneError
        # What follows the handshake may be in the stream already, so that it must not be cleared a second time here.
        self.transport = transport
        self._stream._transport = transport  # type: ignore[attr-defined]  # noqa: SLF001 as aiosmtpd does: there is no public way
        self._writer._transport = transport  # type: ignore[attr-defined]  # noqa: SLF001 as above
        self._under_tls(transport.get_extra_info("ssl_object").version())

    def _under_tls(self, version: str) -> None:
        self._tls_version = version
        self._tls_protocol = True  # type: ignore[assignment]  # aiosmtpd only asks whether it is set


def pattern_of(session: Connection) -> dict[str, Any]:
    """Return what aiosmtpd gave *session* and would give every other one: all but what asyncio's protocol is made of."""
    own = vars(asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=session.loop), lambda *_: None, loop=session.loop))
    ours = ("_front", "_tls_version", "_leaving", "_heard", "_stream")
    return {name: value for name, value in vars(session).items() if name not in own and name not in ours}


def _address(peername: Any) -> str:
    """Return the IP address of a socket's name; IPv4 as such where a dual-stack socket shows it as IPv6."""
    return str(peername[0]).removeprefix("::ffff:") if peername else ""
