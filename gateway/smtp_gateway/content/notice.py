"""The bounce: a delivery status notification to the sender of a message, as multipart/report (RFC 3462, RFC 3464).

Pure and deterministic: the same failure gives the same octets. Three parts: a text for people, the status for programs, and the
header section of the original as far as `HEADERS_LIMIT`; never its content, which may be large and is the sender's anyway, so that
RET=HDRS (RFC 3461 section 4.3) is what every notice does. All
of it is ASCII, with the sender's own address as the one exception (then the notice needs SMTPUTF8, as the original did).
"""

from __future__ import annotations

import quopri
import re
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

from smtp_gateway.mail.dsn import NO_DSN, Dsn, decoded
from smtp_gateway.mail.envelope import END_OF_DATA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.mail.outcome import Failed

HEADERS_LIMIT = 32 * 1024
"""Octets of the original's header section that are returned: more than the trace of a hundred hops."""
_LINE_LIMIT = 900
"""Characters of one line of ours; RFC 5322 section 2.1.1 allows 998."""
_SEVEN_BIT_LINE = 998
_NEVER_IN_A_LINE = bytes.maketrans(b"\r\n\x00", b"   ")
"""What a message in wire form cannot hold (CR and LF alone) or a line of text may not (NUL, RFC 2045 section 2.7)."""


@dataclass(frozen=True, slots=True)
class Original:
    """The message that failed."""

    id: MessageId
    sender: str
    """Where the notice goes; never empty."""
    accepted_at: float
    body: bytes
    """In wire form."""
    dsn: Dsn = NO_DSN
    """What its client asked to be told."""


@dataclass(frozen=True, slots=True)
class Report:
    """Who reports, and when."""

    id: MessageId
    """The notice's own."""
    hostname: str
    now: float


def notice(original: Original, failures: Mapping[str, Failed], report: Report) -> bytes:
    """Return the notice about *failures*, by recipient, in wire form: for the envelope `<>` to `original.sender`."""
    boundary = f"={report.id}="
    parts = (
        _part("text/plain; charset=us-ascii", _explanation(failures, report)),
        _part("message/delivery-status", _status(original, failures, report)),
        _returned(original.body),
    )
    lines = [*_headers(original, report, boundary), b"", b"This is a multipart message in MIME format."]
    for part in parts:
        lines += [b"", f"--{boundary}".encode(), *part]
    lines += [b"", f"--{boundary}--".encode()]
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + END_OF_DATA


def header_section(body: bytes, limit: int = HEADERS_LIMIT) -> list[bytes]:
    """Return the lines of the header section of *body* (in wire form), dots unstuffed, cut at a line's end within *limit* octets."""
    head = body[: limit + 2]
    end = head.find(b"\r\n\r\n")
    lines = (head[:end] if end >= 0 else head[: head.rfind(b"\r\n") + 2]).split(b"\r\n")
    unstuffed = [line.removeprefix(b".").translate(_NEVER_IN_A_LINE) for line in lines]
    # Without an empty line the whole body is header section, and its last line may be the end of data.
    return [line for line in unstuffed if line]


def _headers(original: Original, report: Report, boundary: str) -> list[bytes]:
    # Auto-Submitted keeps vacation programs from answering (RFC 3834 section 5).
    return [
        line.encode("utf-8")
        for line in (
            f"Date: {formatdate(report.now)}",
            f"From: Mail Delivery System <MAILER-DAEMON@{report.hostname}>",
            f"To: <{original.sender}>",
            "Subject: Undelivered mail returned to sender",
            f"Message-ID: <{report.id}@{report.hostname}>",
            "Auto-Submitted: auto-replied",
            "MIME-Version: 1.0",
            "Content-Type: multipart/report; report-type=delivery-status;",
            f'\tboundary="{boundary}"',
        )
    ]


def _part(content_type: str, lines: list[str]) -> list[bytes]:
    return [f"Content-Type: {content_type}".encode(), b"", *(_plain(line).encode("ascii") for line in lines)]


def _explanation(failures: Mapping[str, Failed], report: Report) -> list[str]:
    lines = [
        f"This is the mail system at {report.hostname}.",
        "",
        "Your message could not be delivered to the following recipients.",
        "It will not be tried again for them.",
    ]
    for address, failed in failures.items():
        lines += ["", f"<{address}>", f"    {_reason(failed)}"]
    return lines


def _reason(failed: Failed) -> str:
    said = str(failed.reply) if failed.local or not failed.hop else f"{failed.hop} said: {failed.reply}"
    return f"Given up after repeated attempts. The last one: {said}" if failed.expired else said


def _status(original: Original, failures: Mapping[str, Failed], report: Report) -> list[str]:
    """Return the fields for the message and, a blank line before each, for the recipients (RFC 3464 section 2.2 and 2.3)."""
    lines = [f"Reporting-MTA: dns; {report.hostname}", f"X-Queue-Id: {original.id}", f"Arrival-Date: {formatdate(original.accepted_at)}"]
    if original.dsn.envid:
        lines.insert(0, f"Original-Envelope-Id: {decoded(original.dsn.envid)}")
    for address, failed in failures.items():
        kind, _, orcpt = original.dsn.about(address).orcpt.partition(";")
        lines += ["", *([f"Original-Recipient: {kind}; {decoded(orcpt)}"] if orcpt else [])]
        lines += [f"Final-Recipient: {_typed(address)}", "Action: failed", f"Status: {_enhanced(failed)}"]
        if failed.hop and not failed.local:
            lines += [f"Remote-MTA: dns; {failed.hop.partition('[')[0]}", f"Diagnostic-Code: smtp; {failed.reply}"]
        else:
            lines += [f"Diagnostic-Code: x-smtp-gateway; {failed.reply}"]
        lines += [f"Last-Attempt-Date: {formatdate(report.now)}"]
    return lines


def _enhanced(failed: Failed) -> str:
    """Return the status code: the reply's own, or the least specific one of its class (RFC 3463 section 3.1)."""
    return failed.reply.enhanced or f"{failed.reply.code // 100}.0.0"


def _typed(address: str) -> str:
    """Return *address* with its type; beyond ASCII in the form that fits an ASCII report (RFC 6533 section 3)."""
    if address.isascii():
        return f"rfc822; {address}"
    return "utf-8; " + "".join(char if char.isascii() and char not in "\\+=" else f"\\x{{{ord(char):X}}}" for char in address)


def _plain(line: str) -> str:
    """Return *line* as one line of ASCII that is not too long, whatever a next hop said."""
    return re.sub(r"[^\x20-\x7e]", "?", line)[:_LINE_LIMIT]


def _returned(body: bytes) -> list[bytes]:
    """Return the part with the original's headers, quoted where they are not ASCII or too long for a line (RFC 2045 section 6.7)."""
    lines = header_section(body)
    if all(line.isascii() and len(line) <= _SEVEN_BIT_LINE for line in lines):
        return [b"Content-Type: text/rfc822-headers", b"", *lines]
    quoted = quopri.encodestring(b"\n".join(lines)).split(b"\n")
    return [b"Content-Type: text/rfc822-headers", b"Content-Transfer-Encoding: quoted-printable", b"", *quoted]
