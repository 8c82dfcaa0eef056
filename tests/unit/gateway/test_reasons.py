"""Replies in plain words."""

from __future__ import annotations

import pytest

from smtp_gateway.content import reasons
from smtp_gateway.content.reasons import Reason, reason_of
from smtp_gateway.mail.reply import Reply


@pytest.mark.parametrize(
    ("code", "enhanced", "reason"),
    [
        (550, "5.1.1", reasons.UNKNOWN_MAILBOX),
        (551, "", reasons.UNKNOWN_MAILBOX),
        (550, "5.1.2", reasons.NO_DOMAIN),
        (556, "5.1.10", reasons.NO_DOMAIN),
        (521, "", reasons.NO_DOMAIN),
        (501, "5.1.3", reasons.BAD_ADDRESS),
        (550, "5.2.1", reasons.DISABLED),
        (552, "5.2.2", reasons.FULL),
        (452, "4.2.2", reasons.FULL),
        (552, "5.3.4", reasons.TOO_BIG),
        (552, "5.2.3", reasons.TOO_BIG),
        (550, "5.4.6", reasons.LOOP),
        (451, "4.4.1", reasons.UNREACHABLE),
        (553, "5.6.7", reasons.NEEDS_SMTPUTF8),
        (554, "5.6.0", reasons.FORMAT),
        (554, "5.7.1", reasons.REFUSED),
        (550, "5.7.26", reasons.REFUSED),
        (451, "4.7.1", reasons.PUT_OFF),
        (535, "5.7.8", reasons.NO_WAY_IN),
        (530, "", reasons.NO_WAY_IN),
        (450, "4.3.2", reasons.BUSY),
        (421, "", reasons.BUSY),
        (550, "", reasons.UNSAID),
        (550, "5.0.0", reasons.UNSAID),
        (554, "5.99.1", reasons.UNSAID),
    ],
)
def test_what_a_reply_means(code: int, enhanced: str, reason: Reason) -> None:
    """By the status code; by the reply's where there is none, and only where it means one thing."""
    assert reason_of(Reply(code, enhanced, "Whatever the text says")) is reason


def test_what_this_mail_system_lacks_is_not_ascribed_to_the_recipients() -> None:
    """TLS that is demanded and a token that is not to be had have codes that mean something else when a next hop gives them."""
    for status in ("4.7.0", "4.7.4", "4.7.5"):
        assert reason_of(Reply(451, status), local=True) is reasons.NO_WAY_IN
        assert reason_of(Reply(451, status)) is reasons.PUT_OFF
    assert reason_of(Reply(451, "4.4.1"), local=True) is reasons.UNREACHABLE


def test_every_reason_is_two_sentences() -> None:
    """One says what happened, one what to do."""
    found = [one for one in vars(reasons).values() if isinstance(one, Reason)]

    assert len(found) > 10
    for one in found:
        assert one.what.endswith(".")
        assert one.advice.endswith(".")
