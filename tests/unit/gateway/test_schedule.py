"""When a message is tried again: the documented curve, and the end of the lifetime."""

from __future__ import annotations

import pytest

from smtp_gateway.config.model import Retry
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.mail.outcome import Deferred, Delivered, Failed, Outcome
from smtp_gateway.mail.reply import Reply
from smtp_gateway.spool.api import Entry, Recipient, Settlement
from smtp_gateway.spool.schedule import Terms, postpone, settle, wait

ID = MessageId("ID")
A, B, C = "a@x.example", "b@x.example", "c@x.example"
OK, BUSY, GONE = Reply(250, "2.0.0", "Ok"), Reply(450, "4.2.1", "Busy"), Reply(550, "5.1.1", "Gone")
CURVE = Retry(initial=30, maximum=3600)
TERMS = Terms(lifetime=86400, retries=dict.fromkeys((A, B, C), CURVE))


def entry(*recipients: Recipient, accepted_at: float = 1000.0) -> Entry:
    """Return an entry that owes *recipients*."""
    return Entry(ID, "me@here.example", recipients, accepted_at, 100)


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 960), (7, 1920), (8, 3600), (9, 3600), (5000, 3600)],
)
def test_trap_14_retries_follow_the_documented_curve(attempts: int, seconds: float) -> None:
    """Trap 14: `initial * 2**(n-1)`, at most `maximum`, and no overflow after thousands of attempts."""
    assert wait(CURVE, attempts, 0.0) == seconds


@pytest.mark.parametrize(("jitter", "part"), [(0.0, 1.0), (0.5, 0.875), (1.0, 0.75)])
def test_chance_shortens_a_wait_by_up_to_a_quarter(jitter: float, part: float) -> None:
    """The random part is never added, at the maximum neither."""
    assert wait(CURVE, 1, jitter) == 30 * part
    assert wait(CURVE, 99, jitter) == 3600 * part


def test_trap_14_fractions_of_seconds_are_kept() -> None:
    """Trap 14: nothing is truncated to whole numbers."""
    assert [wait(Retry(initial=0.3, maximum=1.0), attempts, 0.0) for attempts in (1, 2, 3)] == [0.3, 0.6, 1.0]


def test_each_recipient_has_its_own_outcome() -> None:
    """Delivered leaves, failed leaves and is reported, deferred stays with one attempt more and the reply."""
    outcomes: dict[str, Outcome] = {A: Delivered(OK), B: Deferred(BUSY), C: Failed(GONE)}
    decision = settle(entry(Recipient(A), Recipient(B, 1, "before"), Recipient(C)), outcomes, TERMS, 1010.0, 0.0)

    assert decision.settlement == Settlement(ID, (Recipient(B, 2, "450 4.2.1 Busy"),), 1010.0 + 60)
    assert {address: type(outcome) for address, outcome in decision.outcomes.items()} == {A: Delivered, B: Deferred, C: Failed}


def test_nothing_remains_when_all_is_decided() -> None:
    """A message without remaining recipients leaves the spool."""
    decision = settle(entry(Recipient(A), Recipient(B)), {A: Delivered(OK), B: Failed(GONE)}, TERMS, 1010.0, 0.5)

    assert decision.settlement.remaining == ()


def test_the_earliest_curve_decides() -> None:
    """Recipients on routes with different curves are tried again together, at the earlier time."""
    terms = Terms(86400, {A: Retry(initial=600), B: Retry(initial=5)})
    decision = settle(entry(Recipient(A), Recipient(B)), {A: Deferred(BUSY), B: Deferred(BUSY)}, terms, 2000.0, 0.0)

    assert decision.settlement.next_attempt == 2005.0


def test_the_last_attempt_is_made_at_the_end_of_the_lifetime() -> None:
    """A wait never goes beyond it."""
    decision = settle(entry(Recipient(A, 20)), {A: Deferred(BUSY)}, TERMS, 87000.0, 0.0)

    assert decision.settlement.next_attempt == 1000.0 + 86400


@pytest.mark.parametrize("now", [87400.0, 1e9])
def test_after_the_lifetime_deferred_is_failed_with_the_last_reply(now: float) -> None:
    """The reply stays what the next hop said; that time ran out is said beside it."""
    decision = settle(entry(Recipient(A, 9), Recipient(B)), {A: Deferred(BUSY, "hop"), B: Delivered(OK)}, TERMS, now, 0.0)

    assert decision.failed == {A: Failed(BUSY, "hop", expired=True)}
    assert decision.settlement.remaining == ()
    assert decision.outcomes[B] == Delivered(OK)


@pytest.mark.parametrize(("age", "seconds"), [(0, 30), (100, 100), (1e6, 3600)])
def test_a_postponed_message_keeps_its_history(age: float, seconds: float) -> None:
    """No attempt is counted, and the wait is the message's age within the curve's bounds."""
    recipients = (Recipient(A, 3, "before"), Recipient(B))

    assert postpone(entry(*recipients), CURVE, 1000.0 + age, 0.0) == Settlement(ID, recipients, 1000.0 + age + seconds)
