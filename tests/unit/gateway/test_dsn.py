"""The parameters of DSN: what is taken, and that nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.mail import dsn
from smtp_gateway.mail.dsn import ENVID_LIMIT, NO_DSN, ORCPT_LIMIT, Asked, Dsn, InvalidParameterError
from smtp_gateway.spool.asked import dsn_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("read", "given", "expected"),
    [
        (dsn.ret, "full", "FULL"),
        (dsn.ret, "HDRS", "HDRS"),
        (dsn.envid, "QQ314159", "QQ314159"),
        (dsn.envid, "a+2Bb+20c+3D", "a+2Bb+20c+3D"),
        (dsn.envid, "x" * ENVID_LIMIT, "x" * ENVID_LIMIT),
        (dsn.notify, "never", "NEVER"),
        (dsn.notify, "Delay,failure,SUCCESS,delay", "SUCCESS,FAILURE,DELAY"),
        (dsn.orcpt, "rfc822;Bob+2Btag@Example.com", "rfc822;Bob+2Btag@Example.com"),
        (dsn.orcpt, r"utf-8;\x{FC}@example.com", r"utf-8;\x{FC}@example.com"),
        (dsn.orcpt, "rfc822;" + "x" * (ORCPT_LIMIT - 7), "rfc822;" + "x" * (ORCPT_LIMIT - 7)),
    ],
)
def test_a_value_is_taken(read: Callable[[str], str], given: str, expected: str) -> None:
    """Keywords in one spelling, xtext as it was given."""
    assert read(given) == expected


@pytest.mark.parametrize("given", ["", "FULL,HDRS", "BODY"])
def test_ret_has_two_values(given: str) -> None:
    """RFC 3461 section 4.3."""
    with pytest.raises(InvalidParameterError, match=r"501 5\.5\.4 RET must"):
        dsn.ret(given)


@pytest.mark.parametrize("given", ["", "NEVER,FAILURE", "FAILURE,", "SOMETIMES", "NEVER,NEVER", "FAILURE;DELAY"])
def test_notify_is_never_or_events(given: str) -> None:
    """RFC 3461 section 4.1: NEVER stands alone."""
    with pytest.raises(InvalidParameterError, match=r"501 5\.5\.4 NOTIFY must"):
        dsn.notify(given)


NOT_XTEXT = ["", "+", "+2", "+2b", "+GG", "a=b", "a b", "a\x00", "\u00fc", "a+0D+0Ab", "a+00", "a+7F", "a+FC", "+0A", "x\n"]


@pytest.mark.parametrize("given", [*NOT_XTEXT, "x" * (ENVID_LIMIT + 1)])
def test_an_envid_that_could_end_a_line_or_is_too_long_is_refused(given: str) -> None:
    """CR, LF and NUL cannot hide in xtext either: what is encoded must be printable ASCII too."""
    with pytest.raises(InvalidParameterError, match=r"501 5\.5\.4 ENVID must"):
        dsn.envid(given)


@pytest.mark.parametrize(
    "given",
    [*NOT_XTEXT, *(f"rfc822;{value}" for value in NOT_XTEXT), ";a@b", "rfc 822;a@b", "rfc822", "rfc822;" + "x" * (ORCPT_LIMIT - 6)],
)
def test_an_orcpt_that_could_end_a_line_or_is_too_long_is_refused(given: str) -> None:
    """Neither as it stands nor once it is decoded into a header field of a notice."""
    with pytest.raises(InvalidParameterError, match=r"501 5\.5\.4 ORCPT must"):
        dsn.orcpt(given)


def test_xtext_is_decoded() -> None:
    """Into what it stands for, once."""
    assert dsn.decoded("a+2B2B+20b") == "a+2B b"


@pytest.mark.parametrize(
    ("notify", "wanted"), [("", True), ("FAILURE", True), ("SUCCESS,FAILURE", True), ("NEVER", False), ("SUCCESS", False), ("DELAY", False)]
)
def test_a_failure_is_told_unless_something_else_was_asked_for(notify: str, *, wanted: bool) -> None:
    """RFC 3461 section 4.1: without NOTIFY the sender is told."""
    assert Asked(notify).failure is wanted


@pytest.mark.parametrize(
    ("notify", "success", "delay"),
    [
        ("", False, None),
        ("SUCCESS", True, False),
        ("FAILURE,DELAY", False, True),
        ("SUCCESS,FAILURE,DELAY", True, True),
        ("NEVER", False, False),
    ],
)
def test_success_is_told_when_asked_for_and_delay_is_left_to_the_gateway(notify: str, *, success: bool, delay: bool | None) -> None:
    """RFC 3461 section 4.1: without NOTIFY no success is told, and of a delay either may be done."""
    assert Asked(notify).success is success
    assert Asked(notify).delay is delay


def test_parameters_are_written_as_they_are_read() -> None:
    """With a blank before each, and none for nothing."""
    asked = Dsn("HDRS", "QQ1", {"a@x": Asked("NEVER", "rfc822;b@y")})

    assert asked.parameters == " RET=HDRS ENVID=QQ1"
    assert asked.about("a@x").parameters == " NOTIFY=NEVER ORCPT=rfc822;b@y"
    assert (NO_DSN.parameters, asked.about("c@x").parameters) == ("", "")


def test_what_was_asked_survives_as_text() -> None:
    """In one column, which is empty for nearly every message and never in the way of its delivery."""
    asked = Dsn("FULL", 'a"b', {"\u00fc@x": Asked("NEVER", "rfc822;b@y"), "b@x": Asked("", "rfc822;c")})

    assert dsn_of(text_of(asked)) == asked
    assert dsn_of("") is NO_DSN
    assert [dsn_of(text) for text in ("{", "[]", "[1, 2, 3]", "null")] == [NO_DSN] * 4
