"""How long a client may take, phase by phase: values, and the table that they are documented from.

RFC 5321 section 4.5.3.2 gives times for clients, and one for servers: 5 minutes at least for the next command (section 4.5.3.2.7). That is
kept for whoever may send mail. Whoever may not yet has done nothing for its connection, and gets less. Where the RFC has a time for the
client's side of a phase (a block of data: 3 minutes), it is the most that the server waits there.

Every time that runs out in a session is told with 421 4.4.2 before the connection is closed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from smtp_gateway.listener.encrypted import HANDSHAKE_TIMEOUT


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds of each phase. Where none is named, they are of silence: from one command, or one portion of a body, to the next."""

    proxy_header: float = 5.0
    """For a whole PROXY header, from the connection on."""
    stranger: float = 60.0
    """For the next command of a client that may not send mail: it did not ask for TLS or log in yet, or failed to. No patience with
    silence is shorter."""
    login: float = 300.0
    """From the connection on, until the client may send mail."""
    command: float = 300.0
    """For the next command of a client that may send mail."""
    body: float = 180.0
    """For the next 16 KiB of a body."""
    goodbye: float = 30.0
    """For reading the last reply: a transport that is only closed waits for its client for ever."""

    @property
    def shortest(self) -> float:
        """The least patience that there is."""
        return min(float(getattr(self, each.name)) for each in fields(self))

    def silence(self, *, known: bool, body: bool) -> float:
        """Return how long a client may be silent that is *known* (it may send mail) or not, within a *body* or not."""
        return self.body if body else self.command if known else self.stranger


USUAL = Timeouts()


@dataclass(frozen=True, slots=True)
class Phase:
    """One row of the documentation."""

    name: str
    seconds: float
    standard: str
    """What the standard says about the phase, and where."""
    reason: str
    """Why it is so long, and not longer."""
    told: str = "421 4.4.2"
    """What the client is told when it runs out."""


PHASES = (
    Phase(
        "PROXY header",
        USUAL.proxy_header,
        "at least 3 s, so that a lost segment is sent again (proxy-protocol.txt section 2)",
        "A proxy sends it with the connection. Postfix waits as long (postscreen_upstream_proxy_timeout).",
        "421 4.4.2; nothing on a listener with implicit TLS, where nothing may be said before the handshake",
    ),
    Phase(
        "TLS handshake",
        HANDSHAKE_TIMEOUT,
        "none",
        "A few round trips; a half-open handshake holds memory.",
        "nothing: the connection is in no state for a reply",
    ),
    Phase(
        "next command before the client may send mail (first command, STARTTLS, AUTH and each line of its exchange)",
        USUAL.stranger,
        "5 minutes at least for any command (RFC 5321 section 4.5.3.2.7)",
        "A connection without a login is anybody's. Programs log in within round trips; a minute is what a person who types needs.",
    ),
    Phase(
        "all that comes before the client may send mail, together",
        USUAL.login,
        "none",
        "Otherwise NOOP once a minute holds a connection for ever. OpenSSH gives 2 minutes (LoginGraceTime) to those who type passwords.",
    ),
    Phase(
        "next command of a client that may send mail",
        USUAL.command,
        "5 minutes at least (RFC 5321 section 4.5.3.2.7)",
        "Applications keep connections for their next mail; Postfix and Exim wait as long.",
    ),
    Phase(
        "body: each 16 KiB after DATA, the first included",
        USUAL.body,
        "2 minutes to begin, 3 minutes for each block (RFC 5321 sections 4.5.3.2.4 and 4.5.3.2.5)",
        "91 octets a second: slower than any link, faster than a client that only holds a session. Time that the disk takes is not counted.",
    ),
    Phase(
        "last reply",
        USUAL.goodbye,
        "none",
        "A client that does not read it would hold the connection.",
        "nothing: the connection is cut",
    ),
)
"""Every time-out of a listener, in the order in which a session meets them."""
