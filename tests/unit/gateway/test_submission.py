"""The rules of submission: what is added to a message and what is taken out, and that nothing else changes."""

from __future__ import annotations

import random

import pytest

from smtp_gateway.content import submission
from smtp_gateway.content.origin import Origin
from smtp_gateway.content.received import header_section
from smtp_gateway.content.submission import AS_IT_IS, HEAD_LIMIT, HEADERS_TOO_LONG, Changes
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool.bodies import LARGE

ORIGIN = Origin(MessageId("ABC123"), "mail.example.com", 1_800_000_000.0)
DATE = b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
MESSAGE_ID = b"Message-ID: <ABC123@mail.example.com>\r\n"
WHOLE = b"From: a@example.com\r\nDate: x\r\nMessage-ID: <y@z>\r\nSubject: Bluebccherry\r\n"
TEXT = b"\r\nBcc: this is text\r\n..\r\n.\r\n"


def submitted(body: bytes) -> bytes:
    """Return what becomes of *body*, without the trace header."""
    changes = submission.submitted(body, len(header_section(body)), ORIGIN)
    assert isinstance(changes, Changes)
    return changes.before + changes.apply(body)


def usual(body: bytes) -> bool:
    """Tell whether *body* is left as it is without a closer look."""
    return submission.usual(body, header_section(body).lower())


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        (b"Subject: x\r\n", DATE + MESSAGE_ID),
        (b"Date: x\r\n", MESSAGE_ID),
        (b"Subject: x\r\nMessage-Id: <y@z>\r\n", DATE),
        (b"message-id : <y@z>\r\nDATE:x\r\n", b""),
        (b"X-Date: x\r\nDated: y\r\nX-Message-ID: z\r\n", DATE + MESSAGE_ID),
        (b"Subject: x\r\n Date: folded\r\n\tMessage-ID: folded\r\n", DATE + MESSAGE_ID),
        (b"Resent-Date: x\r\nResent-Message-ID: <y@z>\r\n", DATE + MESSAGE_ID),
        (b"", DATE + MESSAGE_ID),
    ],
)
def test_what_is_missing_is_added(fields: bytes, added: bytes) -> None:
    """Date and Message-ID stand in front where no field of that name does, in any case of letters (RFC 6409 section 8)."""
    assert submitted(fields + TEXT) == added + fields + TEXT


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        (b"Bcc: a@b\r\n", b""),
        (b"Bcc:\r\n", b""),
        (b"BCC : a@b,\r\n c@d,\r\n\te@f\r\nTo: g@h\r\n", b"To: g@h\r\n"),
        (b"To: a@b\r\nbcc: c@d\r\n \r\n e@f\r\n", b"To: a@b\r\n"),
        (b"Resent-Bcc: a@b\r\nResent-To: c@d\r\nBcc: e@f\r\nBcc: g@h\r\n", b"Resent-To: c@d\r\n"),
        (b"X-Bcc: a@b\r\nBccs: c@d\r\nSubject: x\r\n Bcc: e@f\r\n", b"X-Bcc: a@b\r\nBccs: c@d\r\nSubject: x\r\n Bcc: e@f\r\n"),
    ],
)
def test_blind_copies_are_taken_out(fields: bytes, left: bytes) -> None:
    """Bcc and Resent-Bcc go with their folded lines, wherever they stand; the text keeps what looks like them."""
    assert submitted(WHOLE + fields + TEXT) == WHOLE + left + TEXT
    assert submitted(fields + WHOLE + TEXT) == left + WHOLE + TEXT


def test_a_message_with_all_its_fields_is_left_alone() -> None:
    """The quick look is enough for it, and the closer one comes to the same."""
    whole = WHOLE.replace(b"bcc", b"") + TEXT

    assert usual(whole)
    assert submitted(whole) == whole
    assert submission.submitted(whole, len(header_section(whole)), ORIGIN) == AS_IT_IS
    assert not usual(WHOLE + b"Bcc: a@b\r\n" + TEXT)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b".\r\n", DATE + MESSAGE_ID + b".\r\n"),
        (b"\r\n.\r\n", DATE + MESSAGE_ID + b"\r\n.\r\n"),
        (b"hello there\r\nBcc: text\r\n.\r\n", DATE + MESSAGE_ID + b"\r\nhello there\r\nBcc: text\r\n.\r\n"),
        (b" indented\r\nDate: text\r\n\r\n.\r\n", DATE + MESSAGE_ID + b"\r\n indented\r\nDate: text\r\n\r\n.\r\n"),
        (b"..\r\n.\r\n", DATE + MESSAGE_ID + b"\r\n..\r\n.\r\n"),
        (
            b"Subject: x\r\nno field\r\nBcc: text\r\nDate: y\r\n\r\n.\r\n",
            MESSAGE_ID + b"Subject: x\r\nno field\r\nBcc: text\r\nDate: y\r\n\r\n.\r\n",
        ),
        (
            b"From a@b Fri Jan 15\r\nSubject: x\r\nBcc: c@d\r\n\r\n.\r\n",
            DATE + MESSAGE_ID + b"From a@b Fri Jan 15\r\nSubject: x\r\n\r\n.\r\n",
        ),
        (b"Subject: x\r\nBcc: a@b\r\n.\r\n", DATE + MESSAGE_ID + b"Subject: x\r\n.\r\n"),
        (b": no name\r\n\r\n.\r\n", DATE + MESSAGE_ID + b"\r\n: no name\r\n\r\n.\r\n"),
        (b"S\xc3\xbcbject: x\r\n\r\n.\r\n", DATE + MESSAGE_ID + b"\r\nS\xc3\xbcbject: x\r\n\r\n.\r\n"),
    ],
)
def test_a_malformed_message_is_not_destroyed(body: bytes, expected: bytes) -> None:
    """Text stays text: it gets the empty line that it lacks, and nothing is taken out of it."""
    assert submitted(body) == expected
    assert not usual(body)


@pytest.mark.parametrize(
    ("body", "before"),
    [(b"Bcc: a@b\r\n\r\n.\r\n", b""), (b" indented\r\n.\r\n", b"\r\n"), (b"\r\ntext\r\n.\r\n", b""), (b".\r\n", b"")],
)
def test_relayed_mail_keeps_its_fields_and_gets_none(body: bytes, before: bytes) -> None:
    """Only a text without any field is kept apart from the trace header, which it would become a part of."""
    assert submission.relayed(body) == Changes(before)


def test_the_bound_on_a_header_section_is_what_is_seen_of_a_large_message() -> None:
    """What goes to the disk while it arrives is looked at before."""
    assert HEAD_LIMIT <= LARGE


@pytest.mark.parametrize("line", [b"X-Padding: " + b"x" * 87 + b"\r\n", b"X: y\r\n" + b" folded\r\n" * 11_000, b"X:" + b"y" * 300_000])
def test_an_endless_header_section_is_refused(line: bytes) -> None:
    """A blind copy behind the limit would be told to everyone."""
    body = b"Date: x\r\nMessage-ID: y\r\n" + line * (2 * HEAD_LIMIT // len(line) + 1) + b"\r\nBcc: a@b\r\n\r\n.\r\n"

    assert not usual(body)
    assert submission.submitted(body, len(header_section(body)), ORIGIN) == HEADERS_TOO_LONG


@pytest.mark.parametrize("blind", [b"", b"Bcc: a@b\r\n"])
@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False), (2, False), (3, False), (4, False), (5, False)])
def test_where_a_large_message_is_cut_changes_nothing(blind: bytes, more: int, fits: bool) -> None:  # noqa: FBT001 a table's column
    """A section as long as the limit is taken, one octet more is refused, however much was seen of what follows."""
    fields = blind + b"X: y\r\nDate: x\r\nMessage-ID: y\r\nX: " + b"y" * 90_000 + b"\r\n"
    padding = HEAD_LIMIT - len(fields) - len(b"Z: \r\n\r\n") + more
    whole = fields + b"Z: " + b"z" * padding + b"\r\n\r\n" + b"text\r\n" * 100_000 + b".\r\n"
    for seen in (HEAD_LIMIT + 1, HEAD_LIMIT + 2, HEAD_LIMIT + 3000, len(whole)):
        head = whole[:seen]
        changes = submission.submitted(head, len(header_section(head)), ORIGIN)
        assert isinstance(changes, Changes) is fits
        assert usual(head) is (fits and not blind)
        if isinstance(changes, Changes):
            assert changes.apply(head) == head.removeprefix(blind)


@pytest.mark.parametrize("beginning", [b"xxx", b" xxx"])
def test_a_long_text_without_fields_is_no_header_section(beginning: bytes) -> None:
    """A line that is longer than a line may be and has no colon is text, and gets its empty line."""
    assert submitted(beginning + b"x" * 2 * HEAD_LIMIT + b"\r\n.\r\n").startswith(DATE + MESSAGE_ID + b"\r\n" + beginning)


PIECES = [
    *(b"Date: x\r\n", b"Message-ID: <y@z>\r\n", b"Bcc: a@b\r\n", b"Resent-bcc:\r\n", b"Subject: Bcc: x\r\n", b" folded\r\n", b"\t\r\n"),
    *(b"\r\n", b"text\r\n", b"..\r\n", b"To: \xff\xfe\r\n", b"From x y\r\n", b":\r\n", b"X" * 3000 + b": y\r\n", b"date\r\n", b"bcc :\r\n"),
]


@pytest.mark.parametrize("seed", range(300))
def test_whatever_comes_only_whole_fields_are_left_out(seed: int) -> None:
    """Every line that is left stands as it was, in its order; what is gone are blind copies; the quick look never hides one."""
    chance = random.Random(seed)  # noqa: S311 a reproducible choice, not a secret
    body = b"".join(chance.choices(PIECES, k=chance.randrange(1, 9))) + b".\r\n"
    changes = submission.submitted(body, len(header_section(body)), ORIGIN)

    assert isinstance(changes, Changes)
    for gone in changes.without:
        assert body[gone].lower().startswith((b"bcc", b"resent-bcc"))
        assert all(line[:1] in b" \t" for line in body[gone].split(b"\r\n")[1:])
        assert b"\r\n\r\n" not in body[: gone.start]
    assert sum(each.stop - each.start for each in changes.without) == len(body) - len(changes.apply(body))
    if usual(body):
        assert changes == AS_IT_IS
