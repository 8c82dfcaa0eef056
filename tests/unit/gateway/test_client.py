"""The parts of the client that are decisions."""

from __future__ import annotations

import pytest

from smtp_gateway.delivery.client import Mail, mail_command, needs_smtputf8
from smtp_gateway.mail.envelope import Envelope

BODY = b"Subject: Hi\r\n\r\nHi\r\n.\r\n"
OFFERED = frozenset({"SIZE", "8BITMIME", "SMTPUTF8", "STARTTLS"})


@pytest.mark.parametrize(
    ("envelope", "extensions", "expected"),
    [
        (Envelope("me@x", ("a@x",)), OFFERED, "MAIL FROM:<me@x> SIZE=19"),
        (Envelope("me@x", ("a@x",), body_8bit=True), OFFERED, "MAIL FROM:<me@x> SIZE=19 BODY=8BITMIME"),
        (Envelope("", ("a@x",), smtputf8=True, body_8bit=True), OFFERED, "MAIL FROM:<> SIZE=19 BODY=8BITMIME SMTPUTF8"),
        (Envelope("me@x", ("a@x",), smtputf8=True, body_8bit=True), frozenset[str](), "MAIL FROM:<me@x>"),
    ],
)
def test_the_mail_command(envelope: Envelope, extensions: frozenset[str], expected: str) -> None:
    """A parameter is sent when the next hop offers it and the message needs it."""
    assert mail_command(Mail(envelope, BODY), extensions) == expected


@pytest.mark.parametrize(
    ("envelope", "body", "needed"),
    [
        (Envelope("me@x", ("a@x",)), BODY, False),
        (Envelope("me@x", ("a@x",), smtputf8=True), BODY, False),
        (Envelope("mé@x", ("a@x",), smtputf8=True), BODY, True),
        (Envelope("me@x", ("ä@x",), smtputf8=True), BODY, True),
        (Envelope("me@x", ("ä@x",)), BODY, True),
        (Envelope("me@x", ("a@x",), smtputf8=True), "Subject: Grüße\r\n\r\nHi\r\n.\r\n".encode(), True),
        (Envelope("me@x", ("a@x",), smtputf8=True), "Subject: Hi\r\n\r\nGrüße\r\n.\r\n".encode(), False),
        (
            Envelope("me@x", ("a@x",)),
            "Subject: Grüße\r\n\r\nHi\r\n.\r\n".encode(),
            False,
        ),  # 8-bit headers without the extension: as they came
    ],
)
def test_whether_smtputf8_is_needed(envelope: Envelope, body: bytes, *, needed: bool) -> None:
    """Addresses and headers beyond ASCII need it; content does not."""
    assert needs_smtputf8(Mail(envelope, body)) is needed
