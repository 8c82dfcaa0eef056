"""Canonical commands are read as the strict reader of paths reads them, and everything else is left alone."""

from __future__ import annotations

import pytest

from smtp_gateway.listener import usual
from smtp_gateway.listener.usual import Parameters
from smtp_gateway.mail import path


@pytest.mark.parametrize(
    ("line", "sender", "parameters"),
    [
        (b"MAIL FROM:<a@example.com>\r\n", "a@example.com", Parameters()),
        (b"MAIL FROM: <a@example.com>\r\n", "a@example.com", Parameters()),
        (
            b"mail from:<A.b+c@Example.COM> size=1000 body=8bitmime\r\n",
            "A.b+c@Example.COM",
            Parameters(("SIZE=1000", "BODY=8BITMIME"), 1000),
        ),
        (b"MAIL FROM:<> BODY=7BIT SMTPUTF8\r\n", "", Parameters(("BODY=7BIT", "SMTPUTF8"), smtputf8=True)),
        (b"MAIL FROM:<a@example.com> SIZE=1 SIZE=1\r\n", "a@example.com", None),
        (b"MAIL FROM:<a@" + b"b." * 130 + b"example>\r\n", None, Parameters()),
    ],
)
def test_mail(line: bytes, sender: str | None, parameters: Parameters | None) -> None:
    """A path, and each known parameter once."""
    found = usual.command(line, 0)

    assert found is not None
    assert (found.lastgroup, found.end()) == ("MAIL", len(line))
    assert (usual.mailbox(found, "sender"), usual.parameters(found)) == (sender, parameters)


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        (b"RCPT TO:<b@example.net>\r\n", "RCPT"),
        (b"DATA\r\n", "DATA"),
        (b"data\r\n", "DATA"),
        (b"RSET\r\n", "RSET"),
        (b"NOOP\r\n", "NOOP"),
        (b"QUIT\r\n", "QUIT"),
        (b"EHLO client.example\r\n", "EHLO"),
        (b"EHLO [IPv6:::1]\r\n", "EHLO"),
        (b"helo client\r\n", "HELO"),
    ],
)
def test_the_other_commands(line: bytes, verb: str) -> None:
    """Wherever they stand, whole and in any case."""
    found = usual.command(b"NOOP\r\n" + line + b"QUIT\r\n", 6)

    assert found is not None
    assert (found.lastgroup, found[0]) == (verb, line)
    assert all(usual.command(line[:cut], 0) is None for cut in range(len(line)))


@pytest.mark.parametrize(
    "line",
    [
        b'MAIL FROM:<"q q"@example.com>\r\n',
        b"MAIL  FROM:<a@example.com>\r\n",
        b"MAIL FROM:  <a@example.com>\r\n",
        b"MAIL FROM:a@example.com\r\n",
        b"MAIL FROM:<a@exa mple.com>\r\n",
        b"MAIL FROM:<a@example.com>x\r\n",
        b"MAIL FROM:<a@example.com> \r\n",
        b"MAIL FROM:<a@example.com>  SIZE=1\r\n",
        b"MAIL FROM:<a@example.com> SIZE=\r\n",
        b"MAIL FROM:<a@example.com> SIZE\r\n",
        b"MAIL FROM:<a@example.com> BODY=BINARYMIME\r\n",
        b"MAIL FROM:<a@example.com> AUTH=<>\r\n",
        b"MAIL FROM:<.a@example.com>\r\n",
        b"MAIL FROM:<a..b@example.com>\r\n",
        b"MAIL FROM:<a@-example.com>\r\n",
        b"MAIL FROM:<a@example-.com>\r\n",
        b"MAIL FROM:<a@example.com.>\r\n",
        b"MAIL FROM:<a@" + b"x" * 64 + b".example>\r\n",
        b"MAIL FROM:<a@[192.0.2.1]>\r\n",
        "MAIL FROM:<\u00fc@example.com>\r\n".encode(),
        b"MAIL FROM:<a\x00@example.com>\r\n",
        b"MAIL FROM:<a@example.com>\n",
        b"MAIL FROM:<a@example.com>\r",
        b"RCPT TO:<postmaster>\r\n",
        b"RCPT TO:<>\r\n",
        b"RCPT TO:<@hop.example:b@example.net>\r\n",
        b"RCPT TO:<b@example.net> NOTIFY=NEVER\r\n",
        b"RCPT TO:b@example.net\r\n",
        b"DATA \r\n",
        b"DATA x\r\n",
        b"NOOP x\r\n",
        b"QUIT\n",
        b"QUITX\r\n",
        b" QUIT\r\n",
        b"EHLO\r\n",
        b"EHLO \r\n",
        b"EHLO a b\r\n",
        b"EHLO " + b"x" * 256 + b"\r\n",
        b"AUTH PLAIN AAA\r\n",
        b"STARTTLS\r\n",
        b"VRFY a\r\n",
        b"\r\n",
        b"",
    ],
)
def test_what_is_left_alone(line: bytes) -> None:
    """Wrong or only unusual: the slow way decides."""
    assert usual.command(line, 0) is None


@pytest.mark.parametrize(
    "address", ["a@b", "a.b@c.d", "_x-1@_y.example", "!#$%&'*+/=?^_`{|}~-@x-y.z9", "a" * 64 + "@" + "b" * 63 + ".example"]
)
def test_every_mailbox_that_is_taken_is_a_path(address: str) -> None:
    """The two readers agree about what an address is."""
    found = usual.command(f"RCPT TO:<{address}>\r\n".encode(), 0)

    assert found is not None
    assert usual.mailbox(found, "recipient") == address
    assert path.parse_path(f"<{address}>") == path.Path(address)
