"""The usual commands are read as the strict reader of paths reads them, and everything else is left alone."""

from __future__ import annotations

import pytest

from smtp_gateway.listener.usual import Mail, mail, rcpt

LIMIT = 1000


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"MAIL FROM:<a@example.com>\r\n", Mail("a@example.com", ())),
        (b"mail from:<A.b+c@Example.COM> size=1000 body=8bitmime\r\n", Mail("A.b+c@Example.COM", ("SIZE=1000", "BODY=8BITMIME"))),
        (b"MAIL FROM:<> BODY=7BIT\r\n", Mail("", ("BODY=7BIT",))),
        (b'MAIL FROM:<"q q"@example.com>\r\n', Mail('"q q"@example.com', ())),
        (b"MAIL FROM: <a@example.com>\r\n", None),
        (b"MAIL  FROM:<a@example.com>\r\n", None),
        (b"MAIL FROM:a@example.com\r\n", None),
        (b"MAIL FROM:<a@exa mple.com>\r\n", None),
        (b"MAIL FROM:<a@example.com>x\r\n", None),
        (b"MAIL FROM:<a@example.com> SIZE=1001\r\n", None),
        (b"MAIL FROM:<a@example.com> SIZE=\r\n", None),
        (b"MAIL FROM:<a@example.com> SIZE\r\n", None),
        (b"MAIL FROM:<a@example.com> SIZE=1 SIZE=1\r\n", None),
        (b"MAIL FROM:<a@example.com> BODY=BINARYMIME\r\n", None),
        (b"MAIL FROM:<a@example.com> SMTPUTF8\r\n", None),
        (b"MAIL FROM:<a@example.com> AUTH=<>\r\n", None),
        ("MAIL FROM:<\u00fc@example.com>\r\n".encode(), None),
        (b"RCPT TO:<a@example.com>\r\n", None),
    ],
)
def test_mail(line: bytes, expected: Mail | None) -> None:
    """A path, and at most a size within the limit and a body type."""
    assert mail(line, LIMIT) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"RCPT TO:<b@example.net>\r\n", "b@example.net"),
        (b"rcpt to:<@hop.example:b@example.net>\r\n", "b@example.net"),
        (b"RCPT TO:<postmaster>\r\n", None),
        (b"RCPT TO:<>\r\n", None),
        (b"RCPT TO:<b@example.net> NOTIFY=NEVER\r\n", None),
        (b"RCPT TO:b@example.net\r\n", None),
        ("RCPT TO:<\u00fc@example.net>\r\n".encode(), None),
    ],
)
def test_rcpt(line: bytes, expected: str | None) -> None:
    """A mailbox and nothing else."""
    assert rcpt(line) == expected
