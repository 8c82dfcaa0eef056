"""Notices for tests: the same message with other fates."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

from smtp_gateway.content.notice import notice
from smtp_gateway.content.report import Original, Report
from smtp_gateway.delivery.wire import check_body
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.mail.outcome import Deferred, Delivered, Failed
from smtp_gateway.mail.reply import Reply
from tests.support.messages import NOW

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import EmailMessage

    from smtp_gateway.mail.outcome import Outcome

SENDER, POSTMASTER, RECIPIENT = "me@here.example", "postmaster@here.example", "a@x.example"
HOP = "mx.there.example[192.0.2.1]:25"
BODY = (
    b"Received: from x\r\n\tby y\r\nMessage-ID: <4711@here.example>\r\nSubject: Invoice\r\n 4711\r\n..dotted: yes\r\n"
    b"\r\nSecret content\r\n..\r\n.\r\n"
)
REFUSED = Failed(Reply(550, "5.1.1", "No such user\nreally"), HOP)
BUSY = Deferred(Reply(450, "4.2.2", "Over quota"), HOP)
TAKEN = Delivered(Reply(250, "2.0.0", "Ok"), HOP)
EXPIRED = Failed(Reply(451, "4.4.1", "Connection timed out"), HOP, local=True, expired=True)
ABOUT_ALL: dict[str, Outcome] = {"a@x.example": REFUSED, "b@x.example": BUSY, "c@x.example": TAKEN, "d@x.example": EXPIRED}


def original(body: bytes = BODY, **changes: Any) -> Original:
    """Return the message, four days old."""
    return replace(Original(MessageId("ORIGINAL1"), SENDER, NOW - 4 * 86400, body), **changes)


def report(outcomes: Mapping[str, Outcome], about: Original | None = None, **changes: Any) -> Report:
    """Return what is reported of it."""
    about = about or original()
    return replace(Report(MessageId("NOTICE1"), "gateway.example", NOW, about.sender, about, outcomes), **changes)


GOLDEN = {
    "failure": report({RECIPIENT: REFUSED}),
    "delay": report({RECIPIENT: BUSY}, retried_until={RECIPIENT: NOW + 86400}),
    "success": report({RECIPIENT: TAKEN}),
    "several": report(ABOUT_ALL, retried_until={"b@x.example": NOW + 86400}),
    "postmaster": report({RECIPIENT: REFUSED}, to=POSTMASTER),
    "double": report({"me@here.example": REFUSED}, original(sender=""), to=POSTMASTER),
    "whole": report({RECIPIENT: REFUSED}, original(whole=True)),
    "international": report(
        {"ü@x.example": Failed(Reply(553, "5.6.7", "The message needs SMTPUTF8"), local=True)},
        original("Subject: Grüße\r\n\r\n.\r\n".encode(), sender="mé@here.example", smtputf8=True),
    ),
}
"""The notices that are kept in tests/unit/gateway/notices, as people get them."""


def parsed(octets: bytes) -> EmailMessage:
    """Parse a notice, after demanding that it may be sent: a report of three parts without a defect."""
    check_body(octets)
    unstuffed = b"\r\n".join(line.removeprefix(b".") for line in octets.removesuffix(b".\r\n").split(b"\r\n"))
    message = message_from_bytes(unstuffed, policy=default)
    assert message.get_content_type() == "multipart/report"
    assert [part.defects for part in message.walk()] == [[] for _ in message.walk()]
    assert len(list(message.iter_parts())) == 3
    return message


def parts(*about: Any, **changes: Any) -> list[str]:
    """Return the three parts of a notice as text."""
    return [part.as_string() for part in parsed(notice(report(*about, **changes))).iter_parts()]


def text(*about: Any, **changes: Any) -> str:
    """Return what people read of a notice."""
    part = next(iter(parsed(notice(report(*about, **changes))).iter_parts()))
    return str(part.get_content()).replace("\r\n", "\n")
