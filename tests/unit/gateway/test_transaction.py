"""The parts of a transaction that are decisions."""

from __future__ import annotations

import pytest

from smtp_gateway.delivery.settings import Timeouts
from smtp_gateway.delivery.transaction import Mail, hopeless, judged, mail_command, needs_smtputf8
from smtp_gateway.mail.dsn import Dsn
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.mail.reply import Reply

BODY = b"Subject: Hi\r\n\r\nHi\r\n.\r\n"
OFFERED = frozenset({"SIZE", "8BITMIME", "SMTPUTF8", "STARTTLS"})


@pytest.mark.parametrize(
    ("envelope", "extensions", "expected"),
    [
        (Envelope("me@x", ("a@x",)), OFFERED, "MAIL FROM:<me@x> SIZE=19"),
        (Envelope("me@x", ("a@x",), body_8bit=True), OFFERED, "MAIL FROM:<me@x> SIZE=19 BODY=8BITMIME"),
        (Envelope("", ("a@x",), smtputf8=True, body_8bit=True), OFFERED, "MAIL FROM:<> SIZE=19 BODY=8BITMIME SMTPUTF8"),
        (Envelope("me@x", ("a@x",), smtputf8=True, body_8bit=True), frozenset[str](), "MAIL FROM:<me@x>"),
        (Envelope("me@x", ("a@x",), dsn=Dsn("HDRS", "QQ1", {})), OFFERED, "MAIL FROM:<me@x> SIZE=19"),
        (Envelope("me@x", ("a@x",), dsn=Dsn("HDRS", "QQ1", {})), OFFERED | {"DSN"}, "MAIL FROM:<me@x> SIZE=19 RET=HDRS ENVID=QQ1"),
        (Envelope("me@x", ("a@x",)), OFFERED | {"DSN"}, "MAIL FROM:<me@x> SIZE=19"),
        (Envelope("me@x", ("a@x",), requiretls=True), OFFERED | {"REQUIRETLS"}, "MAIL FROM:<me@x> SIZE=19 REQUIRETLS"),
        (Envelope("", ("a@x",), requiretls=True), OFFERED, "MAIL FROM:<> SIZE=19"),
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


def replies(*codes: int) -> list[Reply]:
    """Return a reply for each code."""
    return [Reply(code, "", "x") for code in codes]


@pytest.mark.parametrize(
    ("codes", "told", "shared"),
    [
        ((250, 250, 250, 354), {}, None),
        ((250, 550, 250, 354), {"a": "Failed"}, None),
        ((250, 450, 250, 354), {"a": "Deferred"}, None),
        ((250, 550, 550, 354), {"a": "Failed", "b": "Failed"}, "Failed"),
        ((250, 550, 450, 503), {"a": "Failed", "b": "Deferred"}, "Deferred"),
        ((250, 250, 250, 451), {}, "Deferred"),
        ((250, 250, 250, 554), {}, "Failed"),
        ((250, 550, 250, 554), {"a": "Failed"}, "Failed"),
        ((550, 503, 503, 503), {}, "Failed"),
        ((451,), {}, "Deferred"),
        ((421,), {}, "Deferred"),
        ((250, 421), {}, "Deferred"),
        ((250, 550, 421), {"a": "Failed"}, "Deferred"),
    ],
)
def test_replies_to_a_transaction(codes: tuple[int, ...], told: dict[str, str], shared: str | None) -> None:
    """What was refused by name keeps its answer, everybody else shares one, and the content is sent only when somebody is to get it."""
    verdict = judged(("a", "b"), replies(*codes), "hop")

    assert {address: type(outcome).__name__ for address, outcome in verdict.told.items()} == told
    assert (verdict.shared and type(verdict.shared).__name__) == shared


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((250,), False),
        ((550,), True),
        ((421,), True),
        ((250, 550), False),
        ((250, 550, 550), True),
        ((250, 421), True),
        ((250, 550, 250), False),
    ],
)
def test_asking_one_by_one_ends_when_nothing_can_help(codes: tuple[int, ...], expected: bool) -> None:  # noqa: FBT001 a table's column
    """DATA is not asked for without a recipient, nor RCPT without a sender."""
    assert hopeless(("a", "b"), replies(*codes)) is expected


@pytest.mark.parametrize(("recipients", "seconds"), [(1, 720), (2, 723), (100, 1017)])
def test_all_answers_to_a_transaction_have_one_end(recipients: int, seconds: float) -> None:
    """RFC 5321 section 4.5.3.2's waits, each once, and 3 s for each further recipient."""
    assert Timeouts().asking(recipients) == seconds


def test_no_wait_is_shorter_than_the_standard_asks() -> None:
    """RFC 5321 section 4.5.3.2.1 to 4.5.3.2.6: the greeting, MAIL, RCPT, DATA, a block of content, and the end of it."""
    waits = Timeouts()

    assert min(waits.greeting, waits.mail, waits.rcpt) >= 300
    assert waits.data >= 120
    assert waits.block >= 180
    assert waits.end_of_data >= 600
    assert waits.asking(1) >= waits.mail + waits.rcpt + waits.data
