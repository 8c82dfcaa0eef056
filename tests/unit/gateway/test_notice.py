"""The bounce: what it says, to people and to programs, and that it is mail that may be sent."""

from __future__ import annotations

import random
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import pytest

from smtp_gateway.content.notice import HEADERS_LIMIT, Original, Report, header_section, notice
from smtp_gateway.delivery.wire import check_body
from smtp_gateway.mail.dsn import Asked, Dsn
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.mail.outcome import Failed
from smtp_gateway.mail.reply import Reply

NOW = 1_800_000_000.0
REPORT = Report(MessageId("NOTICE1"), "gateway.example", NOW)
BODY = b"Received: from x\r\n\tby y\r\nSubject: Hi\r\n..dotted: yes\r\n\r\nSecret content\r\n.\r\n"
REFUSED = Failed(Reply(550, "5.1.1", "No such user\nreally"), "mx.there.example[192.0.2.1]:25")


def original(body: bytes = BODY, sender: str = "me@here.example") -> Original:
    """Return a message that failed."""
    return Original(MessageId("ORIGINAL1"), sender, NOW - 3600, body)


def parts(octets: bytes) -> list[str]:
    """Return the notice's three parts as text, after demanding that it may be sent."""
    check_body(octets)
    unstuffed = b"\r\n".join(line.removeprefix(b".") for line in octets.removesuffix(b".\r\n").split(b"\r\n"))
    message = message_from_bytes(unstuffed, policy=default)
    assert message.get_content_type() == "multipart/report"
    assert message.defects == []
    return [part.as_string() for part in message.iter_parts()]


def test_the_headers() -> None:
    """From the mail system, to the sender, marked as automatic, with the date of the failure."""
    message = message_from_bytes(notice(original(), {"a@x.example": REFUSED}, REPORT), policy=default)

    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@gateway.example>"
    assert message["To"] == "me@here.example"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<NOTICE1@gateway.example>"
    assert message["Date"] == "Fri, 15 Jan 2027 08:00:00 -0000"
    assert message.get_param("report-type") == "delivery-status"


def test_the_three_parts() -> None:
    """A text for people, the status for programs, the headers of the original and nothing of its content."""
    text, status, headers = parts(notice(original(), {"a@x.example": REFUSED}, REPORT))

    assert "<a@x.example>\n    mx.there.example[192.0.2.1]:25 said: 550 5.1.1 No such user really" in text
    for line in (
        "Reporting-MTA: dns; gateway.example",
        "Arrival-Date: Fri, 15 Jan 2027 07:00:00 -0000",
        "Final-Recipient: rfc822; a@x.example",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.there.example",
        "Diagnostic-Code: smtp; 550 5.1.1 No such user really",
    ):
        assert line in status
    assert headers.endswith("Received: from x\n\tby y\nSubject: Hi\n.dotted: yes\n")
    assert "Secret" not in headers


def test_each_recipient_has_its_fields() -> None:
    """Several failures are one notice."""
    failures = {"a@x.example": REFUSED, "b@y.example": Failed(Reply(554), "mx[192.0.2.2]:25")}
    _, status, _ = parts(notice(original(), failures, REPORT))

    assert [line for line in status.splitlines() if line.startswith("Status")] == ["Status: 5.1.1", "Status: 5.0.0"]


def test_what_the_gateway_found_itself_is_not_ascribed_to_a_next_hop() -> None:
    """A diagnosis of our own has neither a remote MTA nor the type `smtp` (RFC 3464 section 2.3.6)."""
    local = Failed(Reply(550, "5.1.2", "The recipient's domain does not exist"), local=True)
    octets = notice(original(), {"a@x.example": local}, REPORT)

    assert b"Remote-MTA" not in octets
    assert b"\r\nDiagnostic-Code: x-smtp-gateway; 550 5.1.2 The recipient's domain does not exist\r\n" in octets


def test_an_expired_message_says_so() -> None:
    """The reply is the last one, the text says that it was given up."""
    text, status, _ = parts(notice(original(), {"a@x.example": Failed(Reply(450, "4.2.1", "Busy"), "mx[::1]:25", expired=True)}, REPORT))

    assert "Given up after repeated attempts. The last one: mx[::1]:25 said: 450 4.2.1 Busy" in text
    assert "Status: 4.2.1" in status


def test_the_clients_own_names_are_told_again() -> None:
    """ENVID and ORCPT come back decoded (RFC 3464 sections 2.2.1 and 2.3.1); who gave none has no such fields."""
    asked = Dsn("", "QQ+2B1", {"a@x.example": Asked("", "rfc822;A+2Btag@x.example")})
    failures = {"a@x.example": REFUSED, "b@x.example": REFUSED}
    _, status, _ = parts(notice(replace(original(), dsn=asked), failures, REPORT))

    assert "Original-Envelope-Id: QQ+1\nReporting-MTA: " in status
    assert status.count("Original-Recipient") == 1
    assert "Original-Recipient: rfc822; A+tag@x.example\nFinal-Recipient: rfc822; a@x.example" in status
    assert b"Original-" not in notice(original(), failures, REPORT)


def test_it_is_deterministic() -> None:
    """The same failure gives the same octets."""
    assert notice(original(), {"a@x.example": REFUSED}, REPORT) == notice(original(), {"a@x.example": REFUSED}, REPORT)


def test_only_ascii_but_for_the_sender() -> None:
    """Recipients beyond ASCII are written in the form of RFC 6533, headers are quoted, control characters never get through."""
    failures = {"ü@x.example": Failed(Reply(550, "5.1.1", "Nö\x07"), "mx[192.0.2.1]:25")}
    octets = notice(original("Subject: Grüße\r\n\r\n.\r\n".encode()), failures, REPORT)

    assert octets.isascii()
    assert rb"Final-Recipient: utf-8; \x{FC}@x.example" in octets
    assert "Gr=C3=BC=C3=9Fe" in octets.decode()
    assert "To: <mé@here.example>".encode() in notice(original(sender="mé@here.example"), failures, REPORT)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b".\r\n", []),
        (b"\r\n.\r\n", []),
        (b"Subject: no body\r\n.\r\n", [b"Subject: no body"]),
        (b"A: 1\r\n..\r\n\r\nx\r\n.\r\n", [b"A: 1", b"."]),
        (b"A: 1\r\n\r\nB: 2\r\n.\r\n", [b"A: 1"]),
    ],
)
def test_the_header_section(body: bytes, lines: list[bytes]) -> None:
    """It ends at the first empty line or with the message, and its dots are unstuffed."""
    assert header_section(body) == lines


def test_a_huge_header_section_is_cut_at_a_line() -> None:
    """The notice stays small whatever the original was."""
    body = b"X-Line: filler\r\n" * 100_000 + b"\r\n.\r\n"
    lines = header_section(body)

    assert set(lines) == {b"X-Line: filler"}
    assert sum(len(line) + 2 for line in lines) <= HEADERS_LIMIT + 2
    assert len(notice(original(body), {"a@x.example": REFUSED}, REPORT)) < HEADERS_LIMIT * 2


def test_whatever_the_original_is_the_notice_may_be_sent() -> None:
    """Random octets in the header section and in the reply never make a notice that is not in wire form."""
    chance = random.Random(25)  # noqa: S311 a reproducible choice, not a secret
    for _ in range(500):
        head = bytes(chance.choice(b"\r\n.. :\x00\xff=Az") for _ in range(chance.randrange(200)))
        reply = Reply(550, "5.1.1", "".join(chance.choice("\r\n.\x00\x85é x") for _ in range(40)))
        check_body(notice(original(head + b"\r\n\r\n.\r\n"), {"a@x.example": Failed(reply, "h[1]:25")}, REPORT))


def test_a_long_line_is_quoted() -> None:
    """No line of the notice is longer than SMTP allows (RFC 5321 section 4.5.3.1.6)."""
    octets = notice(
        original(b"X: " + b"y" * 5000 + b"\r\n\r\n.\r\n"), {"a@x.example": Failed(Reply(550, "", "z" * 5000), "h[1]:25")}, REPORT
    )

    assert max(len(line) for line in octets.split(b"\r\n")) <= 998
