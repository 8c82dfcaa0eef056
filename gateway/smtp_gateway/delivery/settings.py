"""How sessions with next hops are held: names, patience, trust. Values."""

from __future__ import annotations

from dataclasses import dataclass, field

from smtp_gateway.delivery.tokens import Tokens
from smtp_gateway.delivery.trust import Trust


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait in each phase: the least that RFC 5321 section 4.5.3.2 asks for, where it asks."""

    connect: float = 30.0
    """Not in the RFC; Postfix waits as long (smtp_connect_timeout), and the kernel alone would for two minutes."""
    greeting: float = 300.0
    hello: float = 300.0
    """For EHLO, and for each reply to AUTH. Not in the RFC: the same as for MAIL."""
    start_tls: float = 120.0
    """For the reply to STARTTLS, and again for the handshake. Not in the RFC; the same as for DATA."""
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    block: float = 180.0
    """For the next hop to take a block of content."""
    end_of_data: float = 600.0
    goodbye: float = 5.0
    """For the answer to QUIT. The mail is safe by then, so it is not worth a wait."""

    def asking(self, recipients: int) -> float:
        """Return the seconds for the replies to MAIL, RCPT and DATA together: each command's own, and a hundredth of RCPT's a further recipient.

        RFC 5321 section 4.5.3.2 bounds the wait for one reply. With nothing else, a next hop that uses up each of them would hold the
        message, and its place, for eight hours where there are a hundred recipients; so it is a quarter of an hour, 10 s for each of them.
        """
        return self.mail + self.rcpt + self.data + (recipients - 1) * self.rcpt / 100


@dataclass(frozen=True, slots=True)
class Reuse:
    """How long and how often a session is used; times in seconds."""

    idle: float = 5.0
    """Between two messages. A receiver pays for our idle sessions with a process each: Postfix keeps its own 2 s
    (smtp_connection_cache_time_limit), KumoMTA 60 s (idle_timeout)."""
    age: float = 300.0
    """Since it was opened (Postfix: smtp_connection_reuse_time_limit), so that a changed DNS or load balancer is followed."""
    messages: int = 100
    """Carried by one session; large receivers cut sessions somewhat above that."""
    kept: int = 200
    """Idle sessions in all: as many as there are places for attempts."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is the same for every session."""

    hostname: str
    """The EHLO name."""
    trust: Trust = field(default_factory=Trust)
    timeouts: Timeouts = Timeouts()
    reuse: Reuse = Reuse()
    tokens: Tokens = field(default_factory=Tokens)
    """For next hops that are told an access token."""
