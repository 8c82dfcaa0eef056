"""Which replies ask for less, and which do not: the replies are what large receivers and providers say."""

from __future__ import annotations

import pytest

from smtp_gateway.mail.outcome import Deferred, Delivered, Failed
from smtp_gateway.mail.reply import Reply
from smtp_gateway.mail.throttling import is_throttling, throttling

ASKED_FOR_LESS = [
    Reply(454, "", "Throttling failure: Maximum sending rate exceeded"),
    Reply(454, "", "Throttling failure: Daily message quota exceeded"),
    Reply(432, "4.3.2", "Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending"),
    Reply(432, "4.3.2", "STOREDRV.ClientSubmit; sender thread limit exceeded"),
    Reply(451, "4.7.500", "Server busy. Please try again later from [192.0.2.1]. (S77714)"),
    Reply(451, "4.7.650", "The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation."),
    Reply(421, "4.7.28", "[192.0.2.1] Our system has detected something"),
    Reply(421, "4.7.0", "Our system has detected an unusual\nrate of unsolicited mail originating from your IP address."),
    Reply(421, "4.4.5", "Server busy, try again later."),
    Reply(450, "4.2.1", "Peak SMTP relay limit exceeded for customer. This is a temporary error."),
    Reply(421, "4.7.0", "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints"),
    Reply(421, "4.7.0", "mx.example Error: too many connections from 192.0.2.1"),
    Reply(421, "", "Too many concurrent SMTP connections from this IP address; please try again later."),
    Reply(450, "4.7.1", "Error: too much mail from 192.0.2.1"),
    Reply(421, "", "smtp-19.example Too many connections, slow down"),
]
OTHERS = [
    Reply(450, "4.2.0", "<a@x.example>: Recipient address rejected: Greylisted, see http://postgrey.example/"),
    Reply(451, "4.7.1", "Greylisting in action, please come back later"),
    Reply(451, "4.7.1", "Graylisted; rate limit of unknown senders"),
    Reply(450, "4.2.1", "The user you are trying to contact is receiving mail at a rate that prevents additional messages"),
    Reply(452, "4.2.2", "The email account that you tried to reach is over quota."),
    Reply(452, "4.5.3", "Too many recipients"),
    Reply(421, "4.3.2", "Service shutting down"),
    Reply(421, "4.4.2", "mx.example Error: timeout exceeded"),
    Reply(451, "4.3.0", "Temporary lookup failure"),
    Reply(454, "4.7.0", "TLS not available due to local problem"),
    Reply(454, "4.7.0", "Temporary authentication failure"),
    Reply(550, "5.7.1", "Daily SMTP relay limit exceeded for customer"),
    Reply(250, "2.0.0", "Ok: slow down"),
]


@pytest.mark.parametrize("reply", ASKED_FOR_LESS, ids=str)
def test_a_reply_that_asks_for_less_is_recognised(reply: Reply) -> None:
    """By its enhanced code where that says nothing else, by its words elsewhere, whatever line they end on."""
    assert is_throttling(reply)


@pytest.mark.parametrize("reply", OTHERS, ids=str)
def test_other_temporary_replies_do_not_slow_a_destination_down(reply: Reply) -> None:
    """What is about one recipient, one mail or the server's own troubles."""
    assert not is_throttling(reply)


def test_one_recipients_answer_is_enough() -> None:
    """Unless the gateway said it itself, or gave up for it."""
    asked = Deferred(ASKED_FOR_LESS[0])

    assert throttling([Delivered(Reply(250)), asked]) is asked
    assert throttling([Deferred(ASKED_FOR_LESS[0], local=True), Failed(ASKED_FOR_LESS[0], expired=True)]) is None
