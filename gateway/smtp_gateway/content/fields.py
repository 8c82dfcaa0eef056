"""Header fields of messages in wire form, as far as a notice asks about them: read leniently, because the message is what it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from smtp_gateway.content.returned import header_section

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANSWERS = ("auto-replied", "auto-notified")
"""Values of Auto-Submitted that say "this was set off by a message" (RFC 3834 section 5.2, RFC 5436 section 2.7.1). `auto-generated` is not
among them: it is what applications and cron jobs rightly say of mail whose fate somebody has to know."""
_REPORTS = ("delivery-status", "disposition-notification")
"""Reports on the fate of a message (RFC 3464, RFC 8098); others, such as feedback reports, are mail like any other."""
_WORD = re.compile(r"\s*([a-z0-9/.-]+)")
_REPORT_TYPE = re.compile(r";\s*report-type\s*=\s*\"?([a-z-]+)")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")


def first_field(body: bytes, name: str) -> str:
    """Return the first field *name* (lower case) of *body*, unfolded; empty when there is none, or when it is no text in ASCII.

    Encoded words (RFC 2047) are no text that anybody can read.
    """
    value = next((value for field, value in _fields(body) if field == name), b"")
    text = " ".join(value.decode("ascii", "replace").split())
    return text if text.isprintable() and "\ufffd" not in text and "=?" not in text else ""


def message_id(body: bytes) -> str:
    """Return the Message-ID of *body* with its brackets; empty when there is none that can be repeated as it is."""
    value = first_field(body, "message-id")
    return value if _MESSAGE_ID.fullmatch(value) else ""


def is_answer(body: bytes) -> bool:
    """Tell whether *body* says of itself that it is a notice, or an automatic answer: nothing is to be answered to it."""
    for name, value in _fields(body):
        text = value.decode("ascii", "replace").lower()
        word = _WORD.match(text)
        if name == "auto-submitted" and word and word[1] in _ANSWERS:
            return True
        report = _REPORT_TYPE.search(text)
        if name == "content-type" and word and word[1] == "multipart/report" and report and report[1] in _REPORTS:
            return True
    return False


def _fields(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the fields of the header section: names in lower case, values with their folds."""
    name, value = "", b""
    for line in header_section(body):
        if line[:1] in b" \t":
            value += b" " + line
            continue
        if name:
            yield name, value
        before, _, value = line.partition(b":")
        name = before.strip().decode("ascii", "replace").lower()
    if name:
        yield name, value
