"""What the session says beyond the replies of `smtp_gateway.mail.reply`, and the enhanced codes of what aiosmtpd says without them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from smtp_gateway.mail.reply import Reply

OK = Reply(250, "2.0.0", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
BYE = Reply(221, "2.0.0", "Bye")
READY_FOR_TLS = Reply(220, "2.0.0", "Ready to start TLS")
CANNOT_VERIFY = Reply(252, "2.0.0", "Cannot verify the address, but will accept mail for it")
HELP = Reply(214, "2.0.0", "Commands: AUTH BDAT DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY")
UNEXPECTED_ARGUMENT = Reply(501, "5.5.4", "The command takes no argument")
TLS_NOT_OFFERED = Reply(502, "5.5.1", "STARTTLS is not offered here")
TLS_ALREADY = Reply(503, "5.5.1", "TLS is already in use")
RECIPIENTS_FIRST = Reply(503, "5.5.1", "Need RCPT first")
HELLO_FIRST = Reply(503, "5.5.1", "Error: send HELO first")
"""In aiosmtpd's words, which say it before other commands."""
IN_CHUNKS = Reply(503, "5.5.1", "The message comes by BDAT: only BDAT or RSET may follow")
NO_CHUNK = Reply(501, "5.5.4", "Syntax: BDAT size [LAST]")
IN_TRANSACTION = Reply(503, "5.5.1", "AUTH is not permitted during a mail transaction")
AUTH_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_NOT_BASE64 = Reply(501, "5.5.2", "Response is not base64")
AUTH_MALFORMED = Reply(501, "5.5.2", "Response is not what the mechanism asks for")
AUTH_LINE_TOO_LONG = Reply(500, "5.5.6", "Authentication exchange line is too long")
PROXY_HEADER_REFUSED = Reply(421, "4.7.0", "No PROXY header is taken from this address")
TIMED_OUT = Reply(421, "4.4.2", "Timed out waiting for the client")
GO_AHEAD = "354 End data with <CR><LF>.<CR><LF>"
"""Replies 3yz have no enhanced code (RFC 2034 section 4)."""

EXTENSIONS = ("PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN")
"""What aiosmtpd does not announce: RFC 2920, because commands are answered in order as they stand in the buffer; RFC 2034; RFC 3030;
RFC 3461."""
REQUIRETLS = "REQUIRETLS"
"""Announced under TLS alone (RFC 8689 section 4.1)."""

GREETINGS = 64
"""Greetings that are remembered: one for each host name, pair of limits and encryption in force."""

_ENHANCED = {221: "2.0.0", 451: "4.3.0", 454: "4.7.0", 500: "5.5.2", 501: "5.5.4", 502: "5.5.1", 503: "5.5.1", 552: "5.3.4", 555: "5.5.4"}
"""By reply code, for replies that aiosmtpd gives without one (RFC 3463, RFC 5248). The greeting's 220 and the 250 of HELO and EHLO must
have none (RFC 2034 section 4); other replies 250 come from our hooks."""
_REPLY = re.compile(r"(?P<code>\d{3})[ -](?:(?P<enhanced>[245]\.\d{1,3}\.\d{1,3}) )?(?P<text>.*)", re.DOTALL)


class Offers(NamedTuple):
    """What the reply to EHLO depends on."""

    size: int
    """Octets of a message."""
    recipients: int
    """RCPT commands of one transaction."""
    encrypted: bool
    starttls: bool = True
    """Whether TLS can be begun, where it is not there yet."""
    certified: bool = False
    """Whether the client showed a certificate that counts."""


@lru_cache(GREETINGS)
def extended_greeting(hostname: str, offers: Offers) -> bytes:
    """Return the reply to EHLO, as aiosmtpd and our hook give it: AUTH is announced under TLS, and STARTTLS where there is none yet.

    Neither is where STARTTLS is not offered. EXTERNAL is announced to a client that is certified.
    """
    mechanisms = "AUTH EXTERNAL LOGIN PLAIN" if offers.certified else "AUTH LOGIN PLAIN"
    security = (mechanisms,) if offers.encrypted else ("STARTTLS",) if offers.starttls else ()
    ours = extensions(offers.recipients, encrypted=offers.encrypted)
    lines = (hostname, *ours, f"SIZE {offers.size}", "8BITMIME", "SMTPUTF8", *security)
    return "".join((*(f"250-{line}\r\n" for line in lines), "250 HELP\r\n")).encode()


def extensions(recipients: int, *, encrypted: bool) -> tuple[str, ...]:
    """Return what is announced before what aiosmtpd announces itself."""
    return (*EXTENSIONS, *((REQUIRETLS,) if encrypted else ()), limits(recipients))


def limits(recipients: int) -> str:
    """Return what is announced of the limits in force (RFC 9422): RCPT commands of one transaction; there is none on transactions."""
    return f"LIMITS RCPTMAX={recipients}"


def plain_greeting(hostname: str) -> bytes:
    """Return the reply to HELO."""
    return f"250 {hostname}\r\n".encode()


def with_enhanced_code(line: str) -> str:
    """Return the reply line with an enhanced status code where one belongs and is missing."""
    found = _REPLY.fullmatch(line)
    if found is None or found["enhanced"]:
        return line
    enhanced = _ENHANCED.get(int(found["code"]))
    return f"{found['code']} {enhanced} {found['text']}" if enhanced else line


def refusal(line: str) -> Reply | None:
    """Return the reply that *line* is, when it is 4yz or 5yz."""
    found = _REPLY.fullmatch(line)
    if found is None or found["code"][0] not in "45":
        return None
    return Reply(int(found["code"]), found["enhanced"] or "", found["text"])
