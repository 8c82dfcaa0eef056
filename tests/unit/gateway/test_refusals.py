"""Credentials that were refused, and when they are offered again."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from smtp_gateway.config.model import PasswordCredentials, Smarthost
from smtp_gateway.delivery.faults import CredentialsRefusedError
from smtp_gateway.delivery.refusals import Refusals
from smtp_gateway.mail.outcome import Phase, judge
from smtp_gateway.mail.reply import Reply
from tests.support.dispatching import Clock


def hop(password: str) -> Smarthost:
    """Return a smarthost that is told *password*."""
    credentials = PasswordCredentials(identity="provider", username=SecretStr("relay"), password=SecretStr(password))
    return Smarthost(host="smtp.example", credentials=credentials)


def refused(reply: Reply) -> CredentialsRefusedError:
    """Return what a session ends with whose AUTH is answered by *reply*."""
    return CredentialsRefusedError(judge(Phase.AUTH, reply, "smtp.example[192.0.2.1]:25"))


def refuses(refusals: Refusals, smarthost: Smarthost) -> bool:
    """Tell whether credentials are not offered now."""
    try:
        refusals.check(smarthost)
    except CredentialsRefusedError:
        return True
    return False


def test_refused_credentials_rest_longer_each_time() -> None:
    """With what was said last; other credentials do not, and one session ends it all."""
    clock = Clock()
    refusals, fault = Refusals(clock), refused(Reply(535, "5.7.8", "No"))
    for seconds in (15.0, 30.0, 60.0, 120.0, 240.0, 300.0, 300.0):
        refusals.note(hop("wrong"), fault)
        clock.now += seconds - 1
        with pytest.raises(CredentialsRefusedError) as again:
            refusals.check(hop("wrong"))
        assert again.value.outcome == fault.outcome
        refusals.check(hop("right"))
        clock.now += 1
        refusals.check(hop("wrong"))

    refusals.accepted(hop("wrong"))
    refusals.note(hop("wrong"), fault)
    clock.now += 15.0
    refusals.check(hop("wrong"))


def test_attempts_that_ran_together_are_refused_once() -> None:
    """Twenty connections at a time do not make twenty rests."""
    clock = Clock()
    refusals = Refusals(clock)
    for _ in range(20):
        refusals.note(hop("wrong"), refused(Reply(535, "5.7.8", "No")))
    assert refuses(refusals, hop("wrong"))
    clock.now += 15.0

    assert not refuses(refusals, hop("wrong"))


def test_what_could_not_be_compared_does_not_rest() -> None:
    """454 says nothing about the credentials."""
    refusals = Refusals(Clock())
    refusals.note(hop("right"), refused(Reply(454, "4.7.0", "Later")))

    refusals.check(hop("right"))


def test_rests_can_be_ended() -> None:
    """By whoever knows that something was mended."""
    refusals = Refusals(Clock())
    refusals.note(hop("right"), refused(Reply(535, "5.7.8", "No")))
    refusals.forget()

    refusals.check(hop("right"))
