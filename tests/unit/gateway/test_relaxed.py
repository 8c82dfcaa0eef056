"""DKIM's relaxed canonicalization: RFC 6376's examples, and whatever dkimpy makes of the same octets."""

from __future__ import annotations

import hashlib

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.content import relaxed
from smtp_gateway.content.relaxed import BodyHash

PIECES = st.lists(st.sampled_from([b"a", b"b.", b".", b" ", b"\t", b"\r\n", b"  \r\n", b"\xe9", b"\r\n\r\n\r\n"]), max_size=40)


def hashed(*blocks: bytes) -> bytes:
    """Return the hash of a body that comes in *blocks*."""
    body = BodyHash()
    for block in blocks:
        body.feed(block)
    return body.digest()


def test_the_example_of_the_rfc() -> None:
    """RFC 6376 section 3.4.5: two fields, and a body with blanks, a tab and empty lines at its end."""
    assert relaxed.field(b"A", b" X") == b"a:X"
    assert relaxed.field(b"B ".rstrip(), b" Y\t\r\n\tZ  ") == b"b:Y Z"
    assert hashed(b" C \r\nD \t E\r\n\r\n\r\n") == hashlib.sha256(b" C\r\nD E\r\n").digest()


@pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\n\r\n", b" \t\r\n \r\n"])
def test_a_body_of_empty_lines_is_nothing(body: bytes) -> None:
    """The hash is that of no octets, which RFC 6376 section 3.4.4 gives in Base64."""
    assert hashed(body) == hashlib.sha256(b"").digest()


@given(PIECES, st.integers(min_value=1, max_value=7))
def test_any_body_in_any_blocks_is_what_dkimpy_makes_of_it(pieces: list[bytes], size: int) -> None:
    """Also where a block ends within white space or between CR and LF."""
    body = b"".join(pieces) + b"\r\n"
    blocks = [body[at : at + size] for at in range(0, len(body), size)]

    assert hashed(*blocks) == hashlib.sha256(Relaxed.canonicalize_body(body)).digest()


@given(st.sampled_from([b"Subject", b"X-a", b"TO"]), PIECES)
def test_any_field_is_what_dkimpy_makes_of_it(name: bytes, pieces: list[bytes]) -> None:
    """Folded in any way."""
    value = b"".join(pieces).replace(b"\r\n", b"\r\n ")

    ((known, content),) = Relaxed.canonicalize_headers([(name, value + b"\r\n")])
    assert relaxed.field(name, value) + b"\r\n" == known + b":" + content


def test_megabytes_of_empty_lines_are_counted() -> None:
    """They count as soon as text follows, and are not held until then."""
    lines = b"\r\n" * 100_000
    body = BodyHash()
    for _ in range(4):
        body.feed(lines)
    body.feed(b"end\r\n")

    assert body.digest() == hashlib.sha256(lines * 4 + b"end\r\n").digest()
