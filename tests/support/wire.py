"""A session without a network: octets go in as they are cut here, and what it writes is kept."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import TYPE_CHECKING, Any, Self

from smtp_gateway.authentication import Authentication
from smtp_gateway.intake import Intake
from smtp_gateway.listener.connection import Front
from smtp_gateway.listener.session import Session
from smtp_gateway.listener.sessions import Sessions
from smtp_gateway.listener.turns import Member, Turns
from tests.support.conversation import PATIENCE, plain
from tests.support.gateway import IMPATIENT, RecordingOnward, RecordingSpool, config
from tests.support.observing import RecordingObserver
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway.config.model import Config
    from smtp_gateway.spool.api import Spool

AUTHENTICATED = f"EHLO client.example\r\nAUTH PLAIN {plain('app', 'secret')}\r\n".encode()
"""What a client says before MAIL."""
_NAME = re.compile(rb"queued as \S+")


class Encrypted:
    """What a transport says of its TLS."""

    def version(self) -> str:
        """Say the version."""
        return "TLSv1.3"


class Wire(asyncio.Transport):
    """The server's end of a connection, under TLS unless it is said otherwise, to a client that reads everything at once, or nothing."""

    def __init__(self, *, read: bool = True, encrypted: bool = True) -> None:
        """Begin open."""
        super().__init__({"peername": ("192.0.2.1", 2525), "ssl_object": Encrypted() if encrypted else None})
        self.said = bytearray()
        self.writes = 0
        self.gone = asyncio.Event()
        """Set when it is closed or cut."""
        self.aborted = False
        self.reading = True
        self._read = read

    @property
    def open(self) -> bool:
        """Whether it is neither closed nor cut."""
        return not self.gone.is_set()

    def write(self, data: Any) -> None:
        """Keep it."""
        assert self.open
        self.said += data
        self.writes += 1

    def get_write_buffer_size(self) -> int:
        """Return what the client has not read."""
        return 0 if self._read else len(self.said)

    def is_closing(self) -> bool:
        """Tell whether it is closed."""
        return not self.open

    def close(self) -> None:
        """Close."""
        self.gone.set()

    def abort(self) -> None:
        """Cut."""
        self.aborted = True
        self.gone.set()

    def pause_reading(self) -> None:
        """Hear nothing."""
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        """Hear again."""
        assert not self.reading
        self.reading = True


class Counter:
    """A way in of one session at a time."""

    def __init__(self, configuration: Config | None = None, spool: Spool | None = None) -> None:
        """Put into *spool*, or into one in memory."""
        configuration = configuration or config()
        self.recorded = RecordingSpool()
        self.observer = RecordingObserver()
        self.onward = RecordingOnward()
        self.sessions = Sessions()
        self.intake = Intake(spool or self.recorded, configuration, self.observer, self.onward)
        # No handshake is made with it, so it needs none of the certificates that a default one takes 20 ms to load.
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        gate = Authentication(configuration.logins, self.observer, IMPATIENT)
        self.front = Front("submission", self.intake, gate, self.observer, lambda: tls, self.sessions, turns=Undivided())


class Undivided(Turns):
    """Turns of a loop that nobody shares: what a session is told, it uses at once."""

    def admit(self, identity: str, session: Member) -> bool:  # noqa: ARG002 the signature of turns
        """Admit everybody."""
        return True


class Caller:
    """One client."""

    def __init__(self, counter: Counter, *, read: bool = True, encrypted: bool = True) -> None:
        """Connect."""
        self.wire = Wire(read=read, encrypted=encrypted)
        self.session = Session(counter.front)
        self.session.connection_made(self.wire)

    @classmethod
    async def authenticated(cls, counter: Counter) -> Self:
        """Connect, and get to where MAIL is allowed."""
        caller = cls(counter)
        caller.session.data_received(AUTHENTICATED)
        await caller.hears(b"235 ")
        return caller

    async def send(self, pieces: Iterable[bytes]) -> None:
        """Send *pieces*, each when the server reads, until it hangs up."""
        for piece in pieces:
            if not self.wire.reading:
                await eventually(lambda: self.wire.reading or not self.wire.open)
            if not self.wire.open:
                return
            self.session.data_received(piece)

    async def hears(self, octets: bytes) -> None:
        """Wait until the server has said *octets*."""
        await eventually(lambda: octets in self.wire.said, what=f"{octets!r}")

    async def dismissed(self) -> bytes:
        """Wait until the server has hung up; return all that it said, without the names of messages."""
        await asyncio.wait_for(self.wire.gone.wait(), PATIENCE)
        self.vanish()
        return _NAME.sub(b"queued", bytes(self.wire.said))

    def vanish(self) -> None:
        """Cut the connection."""
        self.wire.gone.set()
        self.session.connection_lost(None)
