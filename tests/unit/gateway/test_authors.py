from __future__ import annotations

from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.content.authors import FIELD_LIMIT, authors

REST = b"Subject: x\r\n\r\nFrom: evil@evil.example\r\n"


def read(value: bytes) -> tuple[str, ...] | None:
    """Return the authors of a message with this From."""
    return authors(b"From: " + value + b"\r\n" + REST)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"a@example.com", ("a@example.com",)),
        (b"<a@example.com>", ("a@example.com",)),
        (b"A <a@example.com>", ("a@example.com",)),
        (b'"A, B" <a@example.com>', ("a@example.com",)),
        (b'"evil@evil.example" <a@example.com>', ("a@example.com",)),
        (b'"say \\"hi\\" <x@y>" <a@example.com>', ("a@example.com",)),
        (b"John Q. Public <a@example.com>", ("a@example.com",)),
        (b"=?utf-8?q?M=C3=BCller?= <a@example.com>", ("a@example.com",)),
        (b"=?utf-8?b?ZXZpbEBldmlsLmV4YW1wbGU=?= <a@example.com>", ("a@example.com",)),
        ("M\u00fcller <a@example.com>".encode(), ("a@example.com",)),
        (b"M\xfcller <a@example.com>", ("a@example.com",)),
        ("<m\u00fcller@b\u00fccher.example>".encode(), ("m\u00fcller@b\u00fccher.example",)),
        (b"A\r\n\t<a@example.com>", ("a@example.com",)),
        (b"\r\n a@example.com", ("a@example.com",)),
        (b"a@example.com (A (inner) \\) comment)", ("a@example.com",)),
        (b"(<evil@evil.example>,) a@example.com", ("a@example.com",)),
        (b"A (c) <a@example.com> (d)", ("a@example.com",)),
        (b"A < a@example.com >", ("a@example.com",)),
        (b'"a b"@example.com', ('"a b"@example.com',)),
        (b"a@[192.0.2.1]", ("a@[192.0.2.1]",)),
        (b"a@example.com, B <b@example.com>,c@example.com", ("a@example.com", "b@example.com", "c@example.com")),
        (b"Team: a@example.com, B <b@example.com>;", ("a@example.com", "b@example.com")),
        (b"Team: a@example.com;, b@example.com", ("a@example.com", "b@example.com")),
        (b"Nobody:;, b@example.com", ("b@example.com",)),
        (b"a@example.com <b@example.com>", ("a@example.com", "b@example.com")),
        (b"O'Neil-Smith/x <a@example.com>", ("a@example.com",)),
    ],
)
def test_addresses_are_read_by_the_grammar(value: bytes, found: tuple[str, ...]) -> None:
    """Names, comments, folding, groups, quoted strings, encoded words and octets beyond ASCII; every address counts."""
    assert read(value) == found


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"A",
        b"A B",
        b"a@",
        b"@example.com",
        b"a@example.com,",
        b",a@example.com",
        b"a@example.com,,b@example.com",
        b"a@example.com b@example.com",
        b"a@example.com; b@example.com",
        b"<a@example.com> evil@evil.example",
        b"<a@example.com> <evil@evil.example>",
        b"<a@example.com>>",
        b"<<a@example.com>>",
        b"<a@example.com",
        b"a@example.com>",
        b"<>",
        b"A <>",
        b"<@evil.example:a@example.com>",
        b"a@b@example.com",
        b"evil@evil.example x <a@example.com>",
        b"a @ example.com",
        b"a. b@example.com",
        b"a(c)@example.com",
        b"a..b@example.com",
        b".a@example.com",
        b"a.@example.com",
        b"a@example..com",
        b"a@.example.com",
        b'"a"b@example.com',
        b'"a"."b"@example.com',
        b'"a@example.com',
        b"a@[192.0.2.1",
        b"(a@example.com",
        b"a@example.com)",
        b"(" * 9 + b")" * 9 + b"a@example.com",
        b"a\\b@example.com",
        b"a@example.com\x00",
        b"a\x01 <a@example.com>",
        b"\xff@example.com",
        b"a@\xff.example",
        "a\u200b@example.com".encode(),
        b"Team: a@example.com",
        b"Team: Inner: a@example.com;;",
        b"Team: a@example.com; b@example.com",
        b"Team:;",
        b": a@example.com;",
        b"x@y: a@example.com;",
        b"=?utf-8?q?Smith,_John?= <a@example.com>",
        b"undisclosed",
        b"a@example.com" + b" " * FIELD_LIMIT,
    ],
)
def test_what_is_not_in_the_grammar_is_not_clear(value: bytes) -> None:
    """Whatever one reader could take for another address than this one, nobody has to."""
    assert read(value) is None


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"From: a@b\r\nSender: c@d\r\n\r\n", ("a@b", "c@d")),
        (b"Sender: c@d\r\nX: y\r\nFrom: a@b, e@f\r\n\r\n", ("a@b", "e@f", "c@d")),
        (b"fRoM : a@b\r\n\r\n", ("a@b",)),
        (b"FROM:a@b\r\n\r\nbody", ("a@b",)),
        (b"X: y\r\n\tFrom: evil@evil\r\nFrom: a@b\r\n.\r\n", ("a@b",)),
        (b"Resent-From: x@y\r\nReply-To: x@y\r\nX-From: x@y\r\n..From: x@y\r\nFrom: a@b\r\n\r\n", ("a@b",)),
        (b"X:\r\nFrom: a@b\r\n\r\n", ("a@b",)),
        (b"From: a@b\r\nFrom: a@b\r\n\r\n", None),
        (b"From: a@b\r\nfrom : evil@evil\r\n\r\n", None),
        (b".From: evil@evil\r\nFrom: a@b\r\n\r\n", None),
        (b"From: a@b\r\n.From: evil@evil\r\n.\r\n", None),
        (b"From: a@b\r\n. X:, evil@evil\r\n\r\n", None),
        (b"From: a@b\r\n.\t:, evil@evil\r\n\r\n", None),
        (b"From: a@b\r\nSender: a@b\r\nSender: a@b\r\n\r\n", None),
        (b"From: a@b\r\nSender: nobody\r\n\r\n", None),
        (b"Sender: a@b\r\n\r\n", None),
        (b"Subject: x\r\n\r\nFrom: a@b\r\n", None),
        (b"\r\nFrom: a@b\r\n\r\n", None),
        (b"", None),
        (b".\r\n", None),
        (b"From: a@b\r\nnot a field\r\nFrom: evil@evil\r\n\r\n", None),
        (b"From a@b Thu Nov 26 2026\r\nFrom: a@b\r\n\r\n", None),
        (b" From: a@b\r\n\r\n", None),
        (b"From: a@b\r\nX\xff: y\r\n\r\n", None),
        (b"From: a@b\r\nX: y", None),
        (b"From: a@b\r\n", None),
    ],
)
def test_the_fields_are_found_in_the_header_alone(head: bytes, found: tuple[str, ...] | None) -> None:
    """From is there once, Sender once or not at all, and the section is whole and nothing but fields."""
    assert authors(head) == found


WORDS = st.sampled_from(
    ["a@example.com", "evil@evil.example", "<", ">", ",", ";", ":", '"', "(", ")", "@", ".", " ", "\\", "A", "[", "]", "\r\n "]
)


@given(st.lists(WORDS, max_size=12).map("".join))
def test_what_is_read_is_all_that_is_there(value: str) -> None:
    """A lenient reader (the standard library's) never shows an address that was not among those that were judged."""
    found = read(value.encode())
    shown = parseaddr(value.replace("\r\n", ""))[1] if found is not None else ""

    assert shown in ("", *(found or ()))


@given(st.binary(max_size=300))
def test_no_header_breaks_the_reader(octets: bytes) -> None:
    """Whatever comes is read or not clear."""
    found = read(octets)

    assert found is None or all("@" in address for address in found)
