"""The notice: what it says, to people and to programs, and that it is mail that may be sent."""

from __future__ import annotations

import random
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.content.notice import notice
from smtp_gateway.content.returned import FULL_LIMIT, HEADERS_LIMIT, header_section, is_returnable
from smtp_gateway.delivery.wire import check_body
from smtp_gateway.mail.dsn import Asked, Dsn
from smtp_gateway.mail.outcome import Deferred, Failed, Outcome
from smtp_gateway.mail.reply import Reply
from tests.support.messages import NOW
from tests.support.notices import (
    ABOUT_ALL,
    BODY,
    EXPIRED,
    GOLDEN,
    HOP,
    POSTMASTER,
    RECIPIENT,
    REFUSED,
    original,
    parsed,
    parts,
    report,
    text,
)

if TYPE_CHECKING:
    from smtp_gateway.content.report import Original

NOTICES = Path(__file__).parent / "notices"


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_notices(name: str) -> None:
    """Every word of them was read by a person: one template for failure, delay and success."""
    assert notice(GOLDEN[name]).replace(b"\r\n", b"\n").decode() == (NOTICES / f"{name}.txt").read_text()
    assert {file.stem for file in NOTICES.iterdir()} == set(GOLDEN)


def test_the_headers() -> None:
    """From the mail system, to the sender, marked as an automatic answer to its message, with the date of the failure."""
    message = message_from_bytes(notice(report({RECIPIENT: REFUSED})), policy=default)

    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@gateway.example>"
    assert message["To"] == "me@here.example"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<NOTICE1@gateway.example>"
    assert message["In-Reply-To"] == message["References"] == "<4711@here.example>"
    assert message["Date"] == "Fri, 15 Jan 2027 08:00:00 -0000"
    assert message.get_param("report-type") == "delivery-status"


def test_what_the_postmaster_gets_names_the_sender_and_is_no_answer() -> None:
    """In the subject, in the text and in a field for programs; Auto-Submitted says that nobody set it off (RFC 3834 section 5)."""
    message = parsed(notice(report({RECIPIENT: REFUSED}, to=POSTMASTER)))
    said, status, _ = (part.as_string() for part in message.iter_parts())

    assert message["To"] == POSTMASTER
    assert message["Subject"] == "Undelivered mail (me@here.example)"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "A message of <me@here.example> could not be delivered" in said
    assert "X-Sender: rfc822; me@here.example" in status
    assert b"X-Sender" not in notice(report({RECIPIENT: REFUSED}))


def test_the_three_parts() -> None:
    """A text for people, the status for programs, the headers of the original and nothing of its content."""
    said, status, headers = parts({RECIPIENT: REFUSED})

    assert "<a@x.example>: not delivered" in said
    assert "mx.there.example[192.0.2.1]:25 said:\n    550 5.1.1 No such user really" in said
    for line in (
        "Reporting-MTA: dns; gateway.example",
        "Arrival-Date: Mon, 11 Jan 2027 08:00:00 -0000",
        "Final-Recipient: rfc822; a@x.example",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.there.example",
        "Diagnostic-Code: smtp; 550 5.1.1 No such user really",
    ):
        assert line in status
    assert headers.endswith("Subject: Invoice\n 4711\n.dotted: yes\n")
    assert "Secret" not in headers


def test_each_recipient_has_its_fields() -> None:
    """One notice tells of several recipients, each with its own action; only what is still tried has an end of that."""
    _, status, _ = parts(ABOUT_ALL, retried_until={"b@x.example": NOW + 86400})
    lines = status.splitlines()

    assert [line for line in lines if line.startswith("Action")] == [
        "Action: failed",
        "Action: delayed",
        "Action: relayed",
        "Action: failed",
    ]
    assert [line for line in lines if line.startswith("Status")] == ["Status: 5.1.1", "Status: 4.2.2", "Status: 2.0.0", "Status: 4.4.1"]
    assert [line for line in lines if line.startswith("Will")] == ["Will-Retry-Until: Sat, 16 Jan 2027 08:00:00 -0000"]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Failed(Reply(554), HOP), "5.0.0"),
        (Failed(Reply(450), HOP, expired=True), "4.0.0"),
        (Deferred(Reply(554, "5.7.1", "Go away"), HOP), "4.7.1"),
        (Deferred(Reply(554), HOP), "4.0.0"),
    ],
)
def test_the_status_fits_the_action(outcome: Outcome, status: str) -> None:
    """A reply without a status gets the least specific one; what is tried again has a temporary one (RFC 3464 section 2.3.4)."""
    assert f"\nStatus: {status}\n" in parts({RECIPIENT: outcome})[1]


def test_what_the_gateway_found_itself_is_not_ascribed_to_a_next_hop() -> None:
    """A diagnosis of our own has neither a remote MTA nor the type `smtp` (RFC 3464 section 2.3.6)."""
    local = Failed(Reply(550, "5.1.2", "The recipient's domain does not exist"), local=True)
    octets = notice(report({RECIPIENT: local}))

    assert b"Remote-MTA" not in octets
    assert b"\r\nDiagnostic-Code: x-smtp-gateway; 550 5.1.2 The recipient's domain does not exist\r\n" in octets
    assert "This mail system:\n" in text({RECIPIENT: local})
    assert f"This mail system about {HOP}:\n" in text({RECIPIENT: EXPIRED})


def test_the_clients_own_names_are_told_again() -> None:
    """ENVID and ORCPT come back decoded (RFC 3464 sections 2.2.1 and 2.3.1); who gave none has no such fields."""
    asked = Dsn("", "QQ+2B1", {"a@x.example": Asked("", "rfc822;A+2Btag@x.example")})
    failures = {"a@x.example": REFUSED, "b@x.example": REFUSED}
    _, status, _ = parts(failures, original(dsn=asked))

    assert "Original-Envelope-Id: QQ+1\nReporting-MTA: " in status
    assert status.count("Original-Recipient") == 1
    assert "Original-Recipient: rfc822; A+tag@x.example\nFinal-Recipient: rfc822; a@x.example" in status
    assert b"Original-" not in notice(report(failures))


def test_it_is_deterministic() -> None:
    """The same failure gives the same octets."""
    assert notice(report({RECIPIENT: REFUSED})) == notice(report({RECIPIENT: REFUSED}))


def test_only_ascii_but_for_the_sender() -> None:
    """Recipients beyond ASCII are written in the form of RFC 6533, text and headers are quoted, control characters never get through."""
    about = original("Subject: Grüße\r\n\r\n.\r\n".encode())
    failures = {'"ü +"@x.example': Failed(Reply(550, "5.1.1", "Nö\x07"), HOP)}
    octets = notice(report(failures, about))

    assert octets.isascii()
    assert rb'Final-Recipient: utf-8; "\x{FC}\x{20}\x{2B}"@x.example' in octets
    assert "Gr=C3=BC=C3=9Fe" in octets.decode()
    assert '<"ü +"@x.example>: not delivered' in text(failures, about)
    assert "Nö?" in text(failures, about)
    assert "To: <mé@here.example>".encode() in notice(report(failures, replace(about, sender="mé@here.example")))


UTF8 = "Subject: Grüße\r\n\r\nGrüße\r\n.\r\n".encode()
LATIN1 = "Subject: Grüße\r\n\r\nGrüße\r\n.\r\n".encode("latin-1")
EIGHT_BIT = "Subject: Hi\r\n\r\nGrüße\r\n.\r\n".encode()


@pytest.mark.parametrize(
    ("about", "content_type", "encoding"),
    [
        (original(), "text/rfc822-headers", ""),
        (original(UTF8), "text/rfc822-headers", "quoted-printable"),
        (original(UTF8, smtputf8=True), "message/global-headers", "quoted-printable"),
        (original(UTF8, smtputf8=True, sender="mé@here.example"), "message/global-headers", "8bit"),
        (original(LATIN1, smtputf8=True), "text/rfc822-headers", "quoted-printable"),
        (original(BODY, whole=True), "message/rfc822", ""),
        (original(EIGHT_BIT, whole=True), "message/rfc822", "8bit"),
        (original(UTF8, whole=True, smtputf8=True), "message/global", "quoted-printable"),
        (original(UTF8, whole=True, smtputf8=True, sender="mé@here.example"), "message/global", "8bit"),
    ],
)
def test_the_part_that_returns(about: Original, content_type: str, encoding: str) -> None:
    """Headers or the whole, with the types of RFC 6522 and RFC 6533; encoded only where the type and the way of the notice demand it."""
    octets = notice(report({RECIPIENT: REFUSED}, about))
    part = list(parsed(octets).iter_parts())[2]

    assert part.get_content_type() == content_type
    assert part.get("Content-Transfer-Encoding", "") == encoding
    assert (octets.split(b"\r\n\r\n")[0].endswith(b"8bit")) is (encoding == "8bit")


@pytest.mark.parametrize(
    ("body", "smtputf8", "returnable"),
    [
        (BODY, False, True),
        (EIGHT_BIT, False, True),
        (UTF8, True, True),
        (UTF8, False, False),
        (LATIN1, True, False),
        (b".\r\n", False, False),
        (b"Subject: Hi\r\n\r\n" + b"x" * 998 + b"\r\n.\r\n", False, True),
        (b"Subject: Hi\r\n\r\n" + b"x" * 999 + b"\r\n.\r\n", False, False),
        (b"Subject: Hi\r\n\r\n\x00\r\n.\r\n", False, False),
        (b"Subject: Hi\r\n\r\n" + b"x\r\n" * (FULL_LIMIT // 3) + b".\r\n", False, False),
    ],
)
def test_what_can_come_back_whole(body: bytes, *, smtputf8: bool, returnable: bool) -> None:
    """What does not make a notice that a next hop may refuse, up to a bound."""
    assert is_returnable(body, smtputf8=smtputf8) is returnable


def test_the_whole_message_comes_back_octet_for_octet() -> None:
    """Its dots too, which are stuffed on the way."""
    octets = notice(report({RECIPIENT: REFUSED}, original(whole=True)))

    assert b"\r\n\r\n" + BODY.removesuffix(b".\r\n") + b"\r\n--=NOTICE1=--" in octets


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
    assert len(notice(report({RECIPIENT: REFUSED}, original(body)))) < HEADERS_LIMIT * 2


replies = st.builds(Reply, st.sampled_from((450, 550, 599)), st.sampled_from(("", "5.1.1", "4.7.0", "5.99.99")), st.text(max_size=3000))


@given(replies, st.booleans())
def test_whatever_a_next_hop_says_the_notice_is_a_message_in_ascii(reply: Reply, expired: bool) -> None:  # noqa: FBT001 hypothesis gives it
    """It parses without a defect, no line is longer than SMTP allows, and nothing but ASCII is in it (RFC 5321 section 4.5.3.1.6)."""
    octets = notice(report({RECIPIENT: Failed(reply, HOP, expired=expired)}))

    parsed(octets)
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= 998


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_whatever_the_original_is_the_notice_may_be_sent(head: bytes, whole: bool, smtputf8: bool) -> None:  # noqa: FBT001 hypothesis gives them
    """A header section of any octets never makes a notice that is not in wire form, or not a message."""
    wire = b"".join(b"." * line.startswith(b".") + line.replace(b"\r", b"") + b"\r\n" for line in head.split(b"\n"))
    body = wire + b".\r\n"
    about = original(body, whole=whole and is_returnable(body, smtputf8=smtputf8), smtputf8=smtputf8)
    octets = notice(report({RECIPIENT: REFUSED}, about))

    check_body(octets)
    assert max(map(len, octets.split(b"\r\n"))) <= 999
    assert [part.get_content_maintype() for part in message_from_bytes(octets, policy=default).iter_parts()][:2] == ["text", "message"]


def test_octets_that_no_message_has_make_a_notice_that_may_be_sent() -> None:
    """Bare CR and LF in what the spool gives back, which took none, do not get through either."""
    chance = random.Random(25)  # noqa: S311 a reproducible choice, not a secret
    for _ in range(500):
        head = bytes(chance.choice(b"\r\n.. :\x00\xff=Az") for _ in range(chance.randrange(200)))
        check_body(notice(report({RECIPIENT: REFUSED}, original(head + b"\r\n\r\n.\r\n"))))


def test_a_long_line_is_quoted() -> None:
    """No line of the notice is longer than SMTP allows (RFC 5321 section 4.5.3.1.6)."""
    octets = notice(report({RECIPIENT: Failed(Reply(550, "", "z" * 5000), HOP)}, original(b"X: " + b"y" * 5000 + b"\r\n\r\n.\r\n")))

    assert max(len(line) for line in octets.split(b"\r\n")) <= 998


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        (b"Hi there", "Subject:  Hi there\n"),
        (b"folded\r\n\tup", "Subject:  folded up\n"),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", ""),
        ("Grüße".encode(), ""),
        (b"bell \x07", ""),
        (b"word " * 100, "Subject:  " + "word " * 23 + "...\n"),
    ],
)
def test_the_subject_is_quoted_where_people_can_read_it(subject: bytes, shown: str) -> None:
    """Unfolded and cut; left out where it is encoded, or no text."""
    said = text({RECIPIENT: REFUSED}, original(b"Subject: " + subject + b"\r\n\r\n.\r\n"))

    assert shown in said
    assert ("Subject:" in said) is bool(shown)


@pytest.mark.parametrize(
    ("seconds", "said"), [(20, "less than a minute"), (60, "1 minute"), (7000, "2 hours"), (90_000, "1 day"), (432_000, "5 days")]
)
def test_how_long_it_was_tried_is_said_in_words(seconds: float, said: str) -> None:
    """In the largest unit that fits."""
    assert f"again for {said}." in text({RECIPIENT: EXPIRED}, original(accepted_at=NOW - seconds)).replace("\n    ", " ")


def test_a_message_id_that_is_none_is_not_repeated() -> None:
    """What could not stand in a header of ours is left out."""
    for value in (b"none", b"<a> <b>", b"<a b@c>", "<ü@c>".encode(), b"<" + b"x" * 300 + b">"):
        assert b"In-Reply-To" not in notice(report({RECIPIENT: REFUSED}, original(b"Message-ID: " + value + b"\r\n\r\n.\r\n")))
