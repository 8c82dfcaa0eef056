"""Who is talking, and what is being said: the values that travel from a listener to the spool and on to delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from smtp_gateway.mail.dsn import NO_DSN, Dsn

MessageId = NewType("MessageId", str)
"""The gateway's own name of an accepted message: unique in one spool, sortable by arrival, in every log line about it."""

END_OF_DATA = b".\r\n"
"""The line that ends a body in wire form (RFC 5321 section 4.1.1.4)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The client of one SMTP session, as far as it has introduced itself."""

    address: str
    """Its IP address, without brackets or port."""
    listener: str
    """The name of the listener that it connected to."""
    hello: str = ""
    """Its EHLO or HELO argument; empty before it greeted."""
    extended: bool = True
    """Whether it greeted with EHLO (ESMTP) and not with HELO."""
    tls_version: str | None = None
    """`TLSv1.2` or `TLSv1.3`; None while the connection is in the clear."""
    login: str | None = None
    """The authenticated login; None before AUTH."""
    identity: str | None = None
    """The name of the Secret that the login came from, or `listener/NAME` where none is needed: what logs and metrics may say of it."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What MAIL and RCPT said about one message (RFC 5321 section 2.3.1)."""

    sender: str
    """The reverse-path; empty for the null sender."""
    recipients: tuple[str, ...]
    """The forward-paths, in the order given, without duplicates."""
    smtputf8: bool = False
    """Whether the client declared SMTPUTF8 (RFC 6531): the next hop must offer it too."""
    body_8bit: bool = False
    """Whether the client declared BODY=8BITMIME (RFC 6152)."""
    dsn: Dsn = NO_DSN
    """What it asks to be told (RFC 3461)."""
    requiretls: bool = False
    """Whether it asks for TLS on the whole way (RFC 8689)."""

    @property
    def demands_tls(self) -> bool:
        """Whether the message goes nowhere without it: notices do rather than be lost (RFC 8689 section 5)."""
        return self.requiretls and bool(self.sender)


# A body is `bytes` in **wire form** everywhere between the client's socket and the next hop's: lines end with CRLF, leading
# dots are doubled, and the end-of-data line `.CRLF` closes it. So nothing is unstuffed and stuffed again on the way.
