"""One client's connection: its beginning and end, its encryption, its replies, its silence. `conversation` adds what is said on it.

aiosmtpd's own connection (a task, a stream and a timer for each) is not used; what its commands need of it is here. The differences, and
why, are listed in `smtp_gateway.listener.session`.

Octets that are written wait in the transport. A client that does not read them is not read from either, and what it sent before waits.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import structlog
from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Session as Introduced

from smtp_gateway.listener import replies
from smtp_gateway.listener.encrypted import Plaintext, encrypt
from smtp_gateway.listener.entrance import UNKNOWN, Admission, client_of
from smtp_gateway.listener.external import names_in
from smtp_gateway.listener.handshakes import Sparing, failed
from smtp_gateway.listener.hooks import Hooks
from smtp_gateway.listener.lines import COMMAND_LIMIT, Inbox
from smtp_gateway.listener.said import Said
from smtp_gateway.listener.timeouts import USUAL
from smtp_gateway.listener.turns import Turns
from smtp_gateway.mail import reply
from smtp_gateway.mail.envelope import Peer
from smtp_gateway.policy import checks, relaying
from smtp_gateway.policy.auth import Identity
from smtp_gateway.policy.certified import Certified
from smtp_gateway.policy.relaying import WITH_LOGIN, Terms

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from smtp_gateway.authentication import Authentication
    from smtp_gateway.config.model import Listener
    from smtp_gateway.intake import Intake
    from smtp_gateway.listener.entrance import Client, Entrance
    from smtp_gateway.listener.sessions import Sessions
    from smtp_gateway.listener.timeouts import Timeouts
    from smtp_gateway.mail.reply import Reply
    from smtp_gateway.telemetry.observer import Observer

VERBS = frozenset({"BDAT", *(name.removeprefix("smtp_") for name in dir(SMTP) if name.startswith("smtp_"))})
"""The commands that have a method: aiosmtpd's, and our own."""
PENDING = 64 * 1024
"""Octets that may wait until what is being done is done: a client that pipelines more is read from again after that."""

_log = structlog.get_logger()


class State(Enum):
    """What the octets of the client are, and what is done about them."""

    COMMAND = "command"
    """Command lines, answered as they come."""
    DATA = "data"
    """A message's body."""
    CHUNK = "chunk"
    """A part of one (`smtp_gateway.listener.chunking`)."""
    WAIT = "wait"
    """A message is being made durable: octets wait, and the client is not to blame for the time that takes."""
    SLOW = "slow"
    """A task answers a command (`smtp_gateway.listener.session`): octets wait, or are lines of its exchange."""


@dataclass(frozen=True, slots=True)
class Front:
    """What the sessions of one listener have in common."""

    listener: str
    intake: Intake
    authentication: Authentication
    observer: Observer
    tls: Callable[[], ssl.SSLContext]
    """Returns the context of the next handshake."""
    sessions: Sessions
    timeouts: Timeouts = USUAL
    terms: Callable[[str], Terms] = lambda _address: WITH_LOGIN
    """On which terms the client of an address may send, as the configuration of the moment has it."""
    admission: Admission = field(default_factory=Admission)
    turns: Turns = field(default_factory=Turns)
    pattern: dict[str, Any] = field(default_factory=dict)
    """What aiosmtpd gives a session of this listener: it looks at every member of two classes for that, which takes longer than a
    message, so it is asked once; empty before the first session."""
    handshakes: Sparing = field(default_factory=Sparing)
    """When to tell of the next one that fails."""
    certified: Certified = field(default_factory=Certified)
    """Who clients are that show a certificate."""

    @property
    def configured(self) -> Listener | None:
        """The listener by the configuration in force now; None when that has none of its name any more."""
        return next((one for one in self.intake.config.listeners if one.name == self.listener), None)


class PeerGoneError(ConnectionResetError):
    """The session is over."""


class Connection(SMTP):
    """One connection of a client."""

    command_size_limits = defaultdict(lambda: COMMAND_LIMIT)  # noqa: RUF012 as aiosmtpd has it
    """aiosmtpd's, which each of its EHLOs enlarges for all sessions; nothing reads it here."""
    # None to aiosmtpd before the connection is made, when there is nobody to ask.
    session: Introduced
    envelope: Said

    def __init__(self, front: Front) -> None:
        """Open a session of *front*, with the host name and limits that are in force now."""
        if not front.pattern:
            front.pattern.update(pattern(front))
        self.__dict__.update(front.pattern)
        config = front.intake.config
        self.hostname, self.data_size_limit = config.hostname, config.limits.message_size
        self.loop = asyncio.get_running_loop()
        self.transport: Any = None  # asyncio's plain transport, or its loop's own
        self._front = front
        self.entrance: Entrance | None = None
        """What was decided about the connection; before it is made only where somebody else decided (`gate`)."""
        self._gone = False
        """Whether the connection is counted out."""
        self._state = State.COMMAND
        self._verb = ""
        self._inbox = Inbox()
        self._known: Peer | None = None
        self._terms = WITH_LOGIN
        self._replies: list[bytes] = []
        self._tls_version: str | None = None
        self._certified: tuple[str, ...] = ()
        """Whom the client's certificate is issued for; nobody when it showed none."""
        self._began = self._heard = 0.0
        self._over = False
        """Whether nothing more is taken from the client, nor said to it."""
        self._ended = False
        """Whether the client sends no more."""
        self._unread = False
        """Whether the client does not read its replies."""
        self._behind = False
        """Whether the disk is slower than the client."""
        self._reading = True
        self._leaving = False
        self._shaking_hands = False
        """Whether a handshake is under way, so that nothing may be said."""

    # ---- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, in the clear or under implicit TLS, or say that there is no room, or no time any more."""
        front, self.transport = self._front, transport
        if transport.get_extra_info("ssl_object") is not None:
            self._under_tls()
        if self.entrance is None:
            self.entrance = front.admission.judge(client_of(transport.get_extra_info("peername")), front.intake.config.limits, front)
        self._introduce()
        self._began = self._heard = self.loop.time()
        refused = self.entrance.refusal
        if refused is None:
            front.observer.connected(front.listener)
        front.sessions.add(self, front.timeouts.shortest)
        if refused is not None:
            self._say(f"{refused}\r\n".encode())
            self._end()
        elif not self._over:
            self.transport.write(f"220 {self.hostname} {self.__ident__}\r\n".encode())

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 asyncio's signature
        """End. Called by the transport, and by a failed handshake, whose transport does not."""
        self._over = True
        front, entrance = self._front, self.entrance
        if front.sessions.remove(self) and entrance is not None and entrance.refusal is None:
            front.observer.disconnected(front.listener)
        if entrance is not None and not self._gone:
            self._gone = True
            front.admission.left(entrance)

    def eof_received(self) -> bool:
        """Note that the client sends no more; what it sent is still answered."""
        self._ended = True
        self._go_on()
        return self._tls_version is None

    def pause_writing(self) -> None:
        """Take nothing more from a client that does not read its replies, so that it cannot fill the memory with them."""
        self._unread = True
        self._regulate()

    def resume_writing(self) -> None:
        """Go on: the client has read most of its replies."""
        self._unread = False
        self._go_on()

    @abstractmethod
    def _go_on(self) -> None:
        """Use what has arrived, as far as the state allows: the conversation's part."""

    # ---- reading and writing

    def _regulate(self) -> None:
        """Read on or not, as memory allows."""
        reading = not (self._unread or self._behind or len(self._inbox.octets) > PENDING)
        if reading is not self._reading and not self._over:
            self._reading = reading
            if reading:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _say(self, line: bytes) -> None:
        """Put one reply behind those that the next `_flush` writes."""
        self._replies.append(line)

    def _flush(self) -> None:
        """Write all replies at once."""
        if self._replies and not self._over:
            self.transport.write(b"".join(self._replies))
        self._replies.clear()

    def _answer(self, answer: Reply) -> None:
        """Say *answer* to the command, and count it when it refuses."""
        if answer.negative:
            self._front.observer.refused(self._front.listener, self._label, answer)
        self._say(f"{answer}\r\n".encode())

    async def push(self, status: str | bytes) -> None:
        """Say one reply line of aiosmtpd, with the enhanced code that it lacks, and count it when it refuses a command."""
        if isinstance(status, str):
            line = replies.with_enhanced_code(status)
            refusal = replies.refusal(line)
            if refusal is not None:
                self._front.observer.refused(self._front.listener, self._label, refusal)
            status = line.encode("utf-8", "replace")
        self._say(status + b"\r\n")

    @property
    def _label(self) -> str:
        """The verb being answered: one that the gateway knows, or `other`."""
        return self._verb if self._verb in VERBS else "other"

    # ---- the end

    def _end(self) -> None:
        """Close, once the client has its replies."""
        self._flush()
        if not self._over:
            self._over = True
            self._reset_timeout()
            self.transport.close()

    def _reset_timeout(self, duration: float | None = None) -> None:  # noqa: ARG002 aiosmtpd's signature
        """Note that something was heard."""
        self._heard = self.loop.time()

    def look(self, now: float) -> None:
        """End the session when its client has been silent for too long."""
        silence = now - self._heard
        if self._over:
            if silence >= self._front.timeouts.goodbye:
                self.transport.abort()
        elif self._state is not State.WAIT and self._late(silence, now):
            self._part_with(replies.TIMED_OUT)

    def _late(self, silence: float, now: float) -> bool:
        """Tell whether the client has had its time: of silence, or to be somebody who may send mail."""
        times, age = self._front.timeouts, now - self._began
        if silence < times.stranger and age < times.login:
            return False
        known = checks.transaction(self._peer, self._terms) is None
        return silence >= times.silence(known=known, body=self._state in {State.DATA, State.CHUNK}) or (not known and age >= times.login)

    def dismiss(self) -> None:
        """Say goodbye at the end of the transaction in progress, or at once where there is none."""
        self._leaving = True
        self._depart()

    def _depart(self) -> None:
        """Part with a client that was dismissed, when no transaction is open."""
        if not self._over and self._state is State.COMMAND and not self._in_transaction:
            self._say(f"{reply.SHUTTING_DOWN}\r\n".encode())
            self._end()

    def cut(self) -> None:
        """Say goodbye now."""
        self._part_with(reply.SHUTTING_DOWN)

    def _part_with(self, farewell: Reply) -> None:
        if self._shaking_hands or self.transport.get_write_buffer_size():
            # A client that has not read its replies will not read this one either, and one that shakes hands would take it for TLS.
            self._over = True
            self.transport.abort()
        else:
            self._say(f"{farewell}\r\n".encode())
            self._end()

    # ---- who it is

    def _introduce(self) -> None:
        """Know nothing of the client but its address."""
        self.session = Introduced(self.loop)
        client = self._client
        self.session.peer = (client.address, client.port)  # type: ignore[assignment]  # whatever a socket calls its peer
        # Whom a proxy cannot name is a stranger, wherever the proxy stands.
        self._terms = terms = self._front.terms(client.address if client.named else "")
        if not terms.starttls:
            self.tls_context = None
        self._known = None
        self._forget_transaction()

    def _forget_transaction(self) -> None:
        self.envelope = Said()

    def _set_rset_state(self) -> None:
        """Forget the transaction, as aiosmtpd asks before it answers RSET, HELO and EHLO."""
        self._forget_transaction()

    @property
    def _in_transaction(self) -> bool:
        return bool(self.envelope.mail_from)

    @property
    def _client(self) -> Client:
        return self.entrance.client if self.entrance is not None else UNKNOWN

    @property
    def _peer(self) -> Peer:
        if self._known is None:
            self._known = self._introduced()
        return self._known

    def _introduced(self) -> Peer:
        session = self.session
        who = session.auth_data
        return Peer(
            address=self._client.address,
            listener=self._front.listener,
            hello=session.host_name or "",
            extended=session.extended_smtp,
            tls_version=self._tls_version,
            login=who.login if isinstance(who, Identity) else None,
            identity=who.identity if isinstance(who, Identity) else self._terms.identity,
        )

    def out_of_bounds(self, address: str) -> Reply | None:
        """Refuse a recipient to whom the client may not send."""
        domains = self._terms.domains
        return None if domains is None or self._peer.login is not None else relaying.recipient(domains, address)

    # ---- STARTTLS

    async def _handshake(self) -> None:
        self._regulate()
        error: Exception | None = None
        transport = None
        self._shaking_hands = True
        try:
            transport = await encrypt(Plaintext(self), self.transport, self._front.tls())
        except (OSError, RuntimeError) as failure:
            error = failure
        self._shaking_hands = False
        if transport is None:
            # Where the session was ended meanwhile, the loops say nothing.
            failed(self._front, self._peer.address, error or (TimeoutError("the session was ended") if self._over else None))
            self.connection_lost(None)
            raise PeerGoneError from error
        # What follows the handshake may have arrived already, so that it must not be forgotten a second time here.
        self.transport = transport
        self._under_tls()

    def _under_tls(self) -> None:
        self._tls_version = version = self.transport.get_extra_info("ssl_object").version()
        self._front.observer.shook_hands(self._front.listener, version)
        self._certified = names_in(self.transport.get_extra_info("peercert"))
        self._tls_protocol = True  # type: ignore[assignment]  # aiosmtpd only asks whether it is set


def pattern(front: Front) -> dict[str, Any]:
    """Return what aiosmtpd gives each session of *front*: all but what asyncio's streams are made of, and methods bound to one session."""
    loop = asyncio.get_running_loop()
    made = SMTP(
        Hooks(front.intake),
        data_size_limit=front.intake.config.limits.message_size,
        enable_SMTPUTF8=True,
        hostname=front.intake.config.hostname,
        ident="ESMTP",
        tls_context=front.tls(),
        auth_required=True,
        loop=loop,
    )
    streams = vars(asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), lambda *_: None, loop=loop))
    bound = ("_smtp_methods", "_auth_methods")
    return {name: value for name, value in vars(made).items() if name not in streams and name not in bound}
