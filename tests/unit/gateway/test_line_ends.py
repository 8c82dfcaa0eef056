"""Line ends are whole, or somebody else may read them otherwise."""

from __future__ import annotations

import random

import pytest

from smtp_gateway.mail.line_ends import leading_dot, only_whole_line_ends


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (b"", True),
        (b"a\r\nb\r\n", True),
        (b"\r\n" * 1000, True),
        (b"\r", False),
        (b"\n", False),
        (b"\n\r", False),
        (b"a\rb\nc", False),
        (b"a\r\r\n", False),
        (b"a\r\n\n", False),
        (b"\r\nx\ry\n\r\n", False),
        (bytes(octet for octet in range(256) if octet not in b"\r\n"), True),
    ],
)
def test_cr_and_lf_only_count_as_a_pair(body: bytes, whole: bool) -> None:  # noqa: FBT001 a table's column
    """A CR and an LF that take turns with something between them are two bare ones."""
    assert only_whole_line_ends(body) is whole


def test_line_ends_are_judged_like_a_slow_reading_does() -> None:
    """Random octets of a small alphabet give the same verdict as a comparison octet by octet."""
    chance = random.Random(5321)  # noqa: S311 a test's own sequence
    for _ in range(3000):
        body = bytes(chance.choices(b"\r\na.\x00\x0b\x0c\x1c\x85\xff", k=chance.randrange(8)))
        slow = all((body[i] == 13) == (body[i + 1 : i + 2] == b"\n") for i in range(len(body))) and not body.startswith(b"\n")
        assert only_whole_line_ends(body) is slow, body


def test_a_leading_dot_is_found_wherever_it_is() -> None:
    """Behind none, a few or hundreds of other dots, and at both ends: as a plain search finds it."""
    chance = random.Random(1870)  # noqa: S311 a test's own sequence
    for dots in (0, 1, 63, 64, 65, 300):
        for _ in range(200):
            others = b"." * dots + b"\r\n" + b"a." * chance.randrange(80)
            octets = others[chance.randrange(3) :] + bytes(chance.choices(b"\r\n.a", k=chance.randrange(12)))
            assert leading_dot(octets) == octets.find(b"\r\n."), octets
    assert [leading_dot(octets) for octets in (b"", b".", b"\n.", b"\r\n.", b".\r\n")] == [-1, -1, -1, 0, -1]
