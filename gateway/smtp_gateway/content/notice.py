"""The notice about the fate of a message: a delivery status notification, as multipart/report (RFC 6522, RFC 3464).

Pure and deterministic: the same fate gives the same octets. Three parts: a text for people (`smtp_gateway.content.explanation`), the
status for programs (`smtp_gateway.content.delivery_status`), and what comes back of the original (`smtp_gateway.content.returned`).
All of it is ASCII, with two exceptions: the sender's own address (then the notice needs SMTPUTF8, as the original did), and a message
that is returned whole.
"""

from __future__ import annotations

import quopri
import re
from email.utils import formatdate
from typing import TYPE_CHECKING

from smtp_gateway.content.delivery_status import delivery_status
from smtp_gateway.content.explanation import explanation, subject
from smtp_gateway.content.fields import message_id
from smtp_gateway.content.returned import returned
from smtp_gateway.mail.envelope import END_OF_DATA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway.content.report import Report

DAEMON = "mailer-daemon"
"""The local part that notices come from, by a convention older than the standards; compared without case."""
_LINE_LIMIT = 900
"""Characters of one line of ours; RFC 5322 section 2.1.1 allows 998."""
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")


def notice(report: Report) -> bytes:
    """Return the notice, in wire form: for the envelope `<>` to `report.to`."""
    parts = (
        _text(explanation(report)),
        [b"Content-Type: message/delivery-status", b"", *(_ascii(line) for line in delivery_status(report))],
        returned(report.original, smtputf8=not report.to.isascii()),
    )
    boundary = f"={report.id}="
    encoding = () if all(map(bytes.isascii, parts[-1])) else ("Content-Transfer-Encoding: 8bit",)
    lines = [*(line.encode() for line in (*_headers(report, boundary), *encoding)), b"", b"This is a multipart message in MIME format."]
    for part in parts:
        lines += [b"", f"--{boundary}".encode(), *part]
    lines += [b"", f"--{boundary}--".encode()]
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + END_OF_DATA


def _headers(report: Report, boundary: str) -> Iterable[str]:
    yield f"Date: {formatdate(report.now)}"
    yield f"From: Mail Delivery System <{DAEMON.upper()}@{report.hostname}>"
    yield f"To: <{report.to}>"
    yield f"Subject: {subject(report)}"
    yield f"Message-ID: <{report.id}@{report.hostname}>"
    if about := message_id(report.original.body):
        yield f"In-Reply-To: {about}"
        yield f"References: {about}"
    # Keeps vacation programs from answering; what a postmaster gets is no answer (RFC 3834 section 5).
    yield f"Auto-Submitted: {'auto-replied' if report.to_sender else 'auto-generated'}"
    yield "MIME-Version: 1.0"
    yield "Content-Type: multipart/report; report-type=delivery-status;"
    yield f'\tboundary="{boundary}"'


def _text(lines: list[str]) -> list[bytes]:
    """Return the part for people: plain, or, where it quotes something beyond ASCII, quoted-printable (RFC 2045 section 6.7)."""
    printable = [_UNPRINTABLE.sub("?", line)[:_LINE_LIMIT] for line in lines]
    if all(map(str.isascii, printable)):
        return [b"Content-Type: text/plain; charset=us-ascii", b"", *(line.encode("ascii") for line in printable)]
    quoted = quopri.encodestring("\n".join(printable).encode("utf-8")).split(b"\n")
    return [b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: quoted-printable", b"", *quoted]


def _ascii(line: str) -> bytes:
    """Return *line* as one line of ASCII that is not too long, whatever a next hop said."""
    return re.sub(r"[^\x20-\x7e]", "?", line)[:_LINE_LIMIT].encode("ascii")
