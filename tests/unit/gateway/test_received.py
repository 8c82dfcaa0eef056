from __future__ import annotations

from dataclasses import replace

import pytest

from smtp_gateway.content.origin import Origin
from smtp_gateway.content.received import HELLO_LIMIT, header_section, hops, protocol, received, sanitised
from smtp_gateway.mail.envelope import MessageId, Peer

PEER = Peer("192.0.2.1", "submission", hello="client.example", tls_version="TLSv1.3", login="app", identity="app-logins")
ORIGIN = Origin(MessageId("ABC123"), "mail.example.com", 1_800_000_000.0)


def test_the_header_says_from_whom_by_whom_how_and_when() -> None:
    """The clauses stand in the order of RFC 5321 section 4.4, on folded lines that end with CRLF."""
    expected = (
        b"Received: from client.example ([192.0.2.1])\r\n"
        b"\tby mail.example.com with ESMTPSA id ABC123;\r\n"
        b"\tFri, 15 Jan 2027 08:00:00 +0000\r\n"
    )

    assert received(PEER, ORIGIN) == expected


def test_an_ipv6_client_is_written_as_a_tagged_literal() -> None:
    """RFC 5321 section 4.1.3 wants `IPv6:` before the address."""
    header = received(replace(PEER, address="2001:db8::1"), ORIGIN)

    assert b"([IPv6:2001:db8::1])" in header


def test_neither_login_nor_envelope_is_told() -> None:
    """The next hop learns that the client authenticated, not as whom."""
    assert b"app" not in received(PEER, ORIGIN)


def test_an_anonymous_client_is_unknown_and_nothing_else() -> None:
    """Neither its address nor what it calls itself is told; the rest of the header is as ever (RFC 5321 section 7.6)."""
    lines = received(replace(PEER, address="2001:db8::1", hello="laptop.home"), ORIGIN, anonymous=True).split(b"\r\n")

    assert lines == [b"Received: from unknown", *received(PEER, ORIGIN).split(b"\r\n")[1:]]


@pytest.mark.parametrize(
    ("extended", "tls", "login", "smtputf8", "keyword"),
    [
        (False, None, None, False, "SMTP"),
        (True, None, None, False, "ESMTP"),
        (True, "TLSv1.3", None, False, "ESMTPS"),
        (True, None, "app", False, "ESMTPA"),
        (True, "TLSv1.2", "app", False, "ESMTPSA"),
        (True, "TLSv1.3", "app", True, "UTF8SMTPSA"),
        (True, None, None, True, "UTF8SMTP"),
    ],
)
def test_the_keyword_follows_the_registry(extended: bool, tls: str | None, login: str | None, smtputf8: bool, keyword: str) -> None:  # noqa: FBT001 a table's columns
    """RFC 3848 and RFC 6531 give a keyword to each combination."""
    peer = replace(PEER, extended=extended, tls_version=tls, login=login)

    assert protocol(peer, smtputf8=smtputf8) == keyword


@pytest.mark.parametrize(
    ("hello", "shown"),
    [
        ("client.example", "client.example"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("", "unknown"),
        ("a (b) c", "a??b??c"),
        ("x\r\nBcc: victim@example.com", "x??Bcc:?victim?example.com"),
        ("bücher", "b?cher"),
        ("\udcff\x00;", "???"),
    ],
)
def test_the_clients_name_cannot_leave_its_place(hello: str, shown: str) -> None:
    """Whatever is not part of a domain or a literal becomes a question mark."""
    assert sanitised(hello) == shown


def test_an_endless_name_is_cut() -> None:
    """No client makes the header longer than a domain can be."""
    assert len(sanitised("x" * 10_000)) == HELLO_LIMIT


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b".\r\n", 0),
        (b"Received: a\r\n.\r\n", 1),
        (b"Received: a\r\n\tb\r\nRECEIVED : c\r\nX-Received: d\r\n\r\nReceived: e\r\n.\r\n", 2),
        (b"Received: x\r\n" * 150 + b"\r\nhello\r\n.\r\n", 150),
        (b"\r\nReceived: in the text\r\n.\r\n", 0),
    ],
)
def test_hops_are_the_trace_headers(body: bytes, count: int) -> None:
    """Only the header section counts, and only fields of that name."""
    assert hops(header_section(body)) == count
