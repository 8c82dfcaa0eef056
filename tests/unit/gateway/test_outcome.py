"""The table from replies to outcomes."""

from __future__ import annotations

import pytest

from smtp_gateway.mail.outcome import Deferred, Delivered, Failed, Phase, judge, unreachable
from smtp_gateway.mail.reply import Reply

CONNECT, HELLO, STARTTLS, AUTH, MAIL, RCPT, DATA, END = Phase
REFUSALS = (MAIL, RCPT, DATA, END)


@pytest.mark.parametrize(
    ("phases", "reply", "expected"),
    [
        ((END,), Reply(250), Delivered),
        (tuple(phase for phase in Phase if phase is not END), Reply(250), Deferred),  # accepted is not delivered
        (tuple(Phase), Reply(421), Deferred),
        (tuple(Phase), Reply(450), Deferred),
        (tuple(Phase), Reply(354), Deferred),
        (tuple(Phase), Reply(334), Deferred),
        ((CONNECT, HELLO, STARTTLS, AUTH), Reply(554), Deferred),  # the host refuses us, not the mail
        (REFUSALS, Reply(550, "5.1.1"), Failed),
        (REFUSALS, Reply(554), Failed),
        (tuple(Phase), Reply(530, "5.7.0"), Deferred),  # our settings, not the mail
        (tuple(Phase), Reply(534, "5.7.9"), Deferred),
        (tuple(Phase), Reply(535, "5.7.8"), Deferred),
        (tuple(Phase), Reply(538, "5.7.11"), Deferred),
        ((RCPT,), Reply(552), Deferred),  # RFC 5321 section 4.5.3.1.10
        ((RCPT,), Reply(552, "5.5.3"), Deferred),
        ((RCPT,), Reply(552, "5.2.2"), Failed),  # a full mailbox
        ((MAIL, END), Reply(552), Failed),  # the message is too large
    ],
)
def test_each_reply_in_its_phases(phases: tuple[Phase, ...], reply: Reply, expected: type) -> None:
    """2yz after the end of data delivers, 4yz defers, 5yz about the mail fails, everything else is temporary."""
    for phase in phases:
        outcome = judge(phase, reply, "hop")

        assert type(outcome) is expected, phase
        assert (outcome.reply, outcome.hop) == (reply, "hop")


def test_an_unreachable_hop_is_temporary_and_nobody_s_word() -> None:
    """What no next hop said is marked as the gateway's own."""
    outcome = unreachable("4.4.1", "Connection refused", "mx[192.0.2.1]:25")

    assert str(outcome.reply) == "451 4.4.1 Connection refused"
    assert outcome.local
