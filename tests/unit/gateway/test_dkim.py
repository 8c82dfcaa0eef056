"""DKIM signatures: the published example of RFC 8463, and what dkimpy says of ours."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.config import signing_keys
from smtp_gateway.content import relaxed
from smtp_gateway.content.dkim import MOST, OVERSIGNED, SIGNED, WIDTH, Section, Signature
from smtp_gateway.content.relaxed import BodyHash
from tests.support.signing import ED25519_OF_THE_RFC, dkim_key, key, published, verdicts

FIELDS = (
    (b"From", b" Joe SixPack <joe@football.example.com>"),
    (b"To", b" Suzie Q <suzie@shopping.example.net>"),
    (b"Subject", b" Is dinner ready?"),
    (b"Date", b" Fri, 11 Jul 2003 21:00:37 -0700 (PDT)"),
    (b"Message-ID", b" <20030712040037.46341.5F8J@football.example.com>"),
)
SECTION = b"".join(name + b":" + value + b"\r\n" for name, value in FIELDS)
TEXT = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
"""The message of RFC 6376 appendix A and RFC 8463 appendix A.3."""


def body_hash(text: bytes) -> bytes:
    """Return the hash of a body."""
    hashed = BodyHash()
    hashed.feed(text)
    return hashed.digest()


def signed(section: bytes, text: bytes, kind: str = "ed25519") -> bytes:
    """Return the message with a signature of here.example."""
    private = signing_keys.read(key(kind))
    field = Section(section).unsigned(Signature("here.example", "k1", signing_keys.algorithm(private), 1_700_000_000), body_hash(text))
    return field.signed(signing_keys.signature(private, field.octets)) + section + b"\r\n" + text


def test_the_example_of_rfc_8463_comes_out() -> None:
    """Its body hash and, over the fields that its signature names, its Ed25519 signature (appendix A.3)."""
    own = (
        b" v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n q=dns/txt; s=brisbane; t=1528637909; "
        b"h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="
    )
    octets = b"".join(relaxed.field(*field) + b"\r\n" for field in FIELDS) + relaxed.field(b"DKIM-Signature", own)

    assert base64.b64encode(body_hash(TEXT)) == b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
    assert base64.b64encode(signing_keys.signature(signing_keys.read(ED25519_OF_THE_RFC), octets)) == (
        b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    )


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_signature_verifies_until_something_is_changed(kind: str) -> None:
    """Another text, another Subject, or a second From do not go unnoticed; another trace and trimmed lines do."""
    records = published([dkim_key(kind=kind)])
    message = signed(SECTION, TEXT, kind)

    assert verdicts(message, records) == [True]
    assert verdicts(b"Received: by relay.example\r\n" + message.replace(b"Joe.\r\n", b"Joe. \r\n\r\n"), records) == [True]
    for before, after in (
        (b"hungry", b"angry"),
        (b"dinner", b"lunch"),
        (b"From: Joe", b"From: Eve <eve@evil.example>\r\nFrom: Joe"),
        (b"Subject: Is", b"Reply-To: eve@evil.example\r\nSubject: Is"),
        (b"Subject: Is", b"Content-Type: text/html\r\nSubject: Is"),
    ):
        assert message.count(before) == 1
        assert verdicts(message.replace(before, after), records) == [False]


def test_the_field_says_what_is_promised() -> None:
    """No length, no expiry, the time of acceptance, and lines that are not long."""
    field = signed(SECTION, TEXT, "rsa").removesuffix(SECTION + b"\r\n" + TEXT).decode()
    tags = {name: "".join(value.split()) for name, value in re.findall(r"(\w+)=([^;]*)", field.partition(":")[2])}

    assert {name: value for name, value in tags.items() if name not in {"h", "bh", "b"}} == {
        "v": "1",
        "a": "rsa-sha256",
        "c": "relaxed/relaxed",
        "d": "here.example",
        "s": "k1",
        "t": "1700000000",
    }
    assert tags["h"].split(":") == [
        *("From", "From", "Reply-To", "To", "To", "Cc", "Subject", "Subject", "Date", "Date", "Message-ID", "Message-ID"),
        *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
    ]
    assert all(len(line) <= WIDTH + 8 for line in field.split("\r\n"))


NAMES = st.sampled_from([*OVERSIGNED, *SIGNED, "X-Other", "received", "SUBJECT", "from"])
VALUES = st.sampled_from([b"", b" a", b"\ta  b ", b" a\r\n\tb", b" \xc3\xa9 <a@here.example>", b" x" * 100])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12), st.sampled_from([b"", b"\r\n", b"a \t b\r\n\r\n", b".dot\r\n..dots\r\n"]))
def test_any_message_verifies(fields: list[tuple[str, bytes]], text: bytes) -> None:
    """Whatever fields it has, and how often: dkimpy finds the same ones in the same order."""
    section = b"From: me@here.example\r\n" + b"".join(name.encode() + b":" + value + b"\r\n" for name, value in fields)

    assert verdicts(signed(section, text), published([dkim_key(kind="ed25519")])) == [True]


def test_a_signature_is_the_same_each_time() -> None:
    """A message that is tried again goes out as it did before."""
    assert [signed(SECTION, TEXT, kind) for kind in ("rsa", "ed25519")] == [signed(SECTION, TEXT, kind) for kind in ("rsa", "ed25519")]


def test_fields_without_end_are_not_signed() -> None:
    """As many as fill a header section would take the event loop's time."""
    assert Section(b"To: a\r\n" * MOST).signable
    assert not Section(b"To: a\r\n" * (MOST + 1)).signable
