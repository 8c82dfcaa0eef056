"""The last look at what leaves the gateway."""

from __future__ import annotations

import random

import pytest

from smtp_gateway.delivery.wire import BodyCheck, UnsafeOctetsError, check_body, commands, safe_mailbox


@pytest.mark.parametrize("body", [b".\r\n", b"\r\n.\r\n", b"a\r\n.\r\n", b"..\r\n..x\r\n.\r\n", b"\x00\xff\r\n\r\n\r\n.\r\n"])
def test_wire_form_passes(body: bytes) -> None:
    """Lines end with CRLF, dots are doubled, the end of data closes the body."""
    check_body(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"a",
        b"a\r\n",
        b".\r",
        b"\r\n.",
        b"a\n.\r\n",
        b"a\r\n.\n",
        b"a\r\r\n.\r\n",
        b"a\r\n\n.\r\n",
        b"\n\r\r\n.\r\n",
        b"a\r\n.\r\nb\r\n.\r\n",
        b".\r\n.\r\n",
        b".\r\n\r\n.\r\n",
        b"a\r\n.\r\n\r\n",
    ],
)
def test_anything_else_is_stopped(body: bytes) -> None:
    """Bare CR or LF, an early end of data, or none."""
    with pytest.raises(UnsafeOctetsError):
        check_body(body)


def test_it_agrees_with_a_reader_that_goes_line_by_line() -> None:
    """Random bodies pass exactly when a slow, plain reading of the rule finds them sound, in one piece and in many."""
    chance = random.Random(2525)  # noqa: S311 a reproducible choice, not a secret
    passed = 0
    for _ in range(30_000):
        body = b"".join(chance.choice([b"\r\n", b"\r\n", b"\r\n", b".", b".", b"a", b"\r", b"\n"]) for _ in range(chance.randrange(1, 8)))
        lines = body.split(b"\r\n")
        sound = body.endswith(b"\r\n") and b"\r" not in b"".join(lines) and b"\n" not in b"".join(lines)
        sound = sound and lines[-2] == b"." and b"." not in lines[:-2]
        try:
            check_body(body)
            found = True
        except UnsafeOctetsError:
            found = False
        assert found == sound, body
        assert in_pieces(body, chance) == sound, body
        passed += found
    assert passed > 100


def in_pieces(body: bytes, chance: random.Random) -> bool:
    """Tell whether *body* passes when it is cut anywhere."""
    check, start = BodyCheck(), 0
    try:
        while start < len(body):
            step = chance.randrange(1, 4)
            check.feed(body[start : start + step])
            start += step
        check.finish()
    except UnsafeOctetsError:
        return False
    return True


@pytest.mark.parametrize("text", ["RCPT TO:<a@x>\r\nDATA", "EHLO a\n", "a\rb", "a\x00b", "\x7f", "a\tb"])
def test_a_command_is_one_line(text: str) -> None:
    """Control characters never reach the next hop, wherever a command's parts came from."""
    with pytest.raises(UnsafeOctetsError):
        commands(["NOOP", text])


def test_a_command_is_sent_as_utf_8() -> None:
    """For SMTPUTF8."""
    assert commands(["RCPT TO:<ü@x.example>", "DATA"]) == "RCPT TO:<ü@x.example>\r\nDATA\r\n".encode()


@pytest.mark.parametrize(
    ("address", "safe"),
    [
        ("a@x.example", True),
        ("ü@x.example", True),
        ("postmaster", True),
        ('"a b>\\""@x.example', True),
        ("a@[IPv6:::1]", True),
        ("", False),
        ("a b@x.example", False),
        ("a@x.example>", False),
        ("<a@x.example", False),
        ('"a"b"@x.example', False),
        ('"a\r\n"@x.example', False),
        ("a@x.example\n", False),
        ("a@", True),  # no address, and it cannot end early either
        ("a@b@x.example", True),  # ugly, and it cannot end early
    ],
)
def test_addresses(address: str, *, safe: bool) -> None:
    """Safe is what cannot be read as the end of the address and the beginning of something else."""
    assert safe_mailbox(address) is safe
