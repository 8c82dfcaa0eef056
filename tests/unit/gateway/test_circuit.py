"""How many attempts a destination may have at a time, and when it rests."""

from __future__ import annotations

import pytest

from smtp_gateway.mail.outcome import Deferred, Delivered, Failed, Outcome, Phase, judge, unreachable, unreached
from smtp_gateway.mail.reply import Reply
from smtp_gateway.routing import circuit
from smtp_gateway.routing.circuit import AFTER_REST, AT_FIRST, MISSES, MOST, REMEMBERED, UNKNOWN, Circuit, Circuits

REFUSED = unreachable("4.4.1", "Connection refused", "mx[192.0.2.1]:25")
BUSY = Deferred(Reply(451, "4.3.2", "Busy"), "mx[192.0.2.1]:25")
SENT = Delivered(Reply(250, "2.0.0", "Ok"))


def after(begin: Circuit, *attempts: Outcome, now: float = 0.0, rest: float = 30.0) -> Circuit:
    """Return the circuit after *attempts*, one after the other."""
    for outcome in attempts:
        missed = unreached([outcome])
        begin = circuit.after_session(begin) if missed is None else circuit.after_miss(begin, missed, now, rest)
    return begin


def test_a_destination_that_answers_gets_more_and_more_up_to_a_bound() -> None:
    """From a few attempts at a time, one more with each session."""
    assert UNKNOWN.ceiling == AT_FIRST
    assert after(UNKNOWN, SENT).ceiling == AT_FIRST + 1
    assert after(UNKNOWN, *[SENT] * 100).ceiling == MOST


def test_an_answer_that_asks_for_less_halves_what_goes_at_a_time_and_is_no_miss() -> None:
    """The misses before it are over, and so is a rest; one at a time is the least."""
    assert circuit.after_throttle(after(UNKNOWN, *[SENT] * 100)) == Circuit(MOST // 2)
    assert circuit.after_throttle(after(UNKNOWN, *[REFUSED] * MISSES)) == Circuit(AFTER_REST)


@pytest.mark.parametrize("answer", [SENT, BUSY, Failed(Reply(550, "5.1.1", "No such user"))])
def test_any_answer_about_the_mail_is_a_session(answer: Outcome) -> None:
    """A refusal of the mail says that the next hop is there, and ends a row of misses."""
    assert after(UNKNOWN, *[REFUSED] * (MISSES - 1), answer).misses == 0


def test_one_answered_recipient_is_a_session() -> None:
    """It does not matter what the others came to."""
    assert unreached([REFUSED, BUSY]) is None
    assert unreached([REFUSED, REFUSED]) == REFUSED


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.HELLO, Phase.STARTTLS])
def test_a_refused_session_is_a_miss(phase: Phase) -> None:
    """A next hop that sends us away before it knows the mail would send all mail away."""
    assert after(UNKNOWN, judge(phase, Reply(554, "", "No"))).misses == 1


def test_misses_shrink_and_a_row_of_them_ends_in_a_rest() -> None:
    """The ceiling is halved with each; then nothing is tried for a while, and mail comes to what the last attempt came to."""
    grown = after(UNKNOWN, *[SENT] * 100)
    assert after(grown, REFUSED).ceiling == MOST // 2

    resting = after(grown, *[REFUSED] * MISSES, now=100.0)

    assert resting.resting(129.0) == REFUSED
    assert resting.resting(130.0) is None
    assert resting.ceiling == AFTER_REST


def test_a_miss_from_before_the_rest_does_not_prolong_it() -> None:
    """Attempts that were under way when the rest began tell nothing new."""
    resting = after(UNKNOWN, *[REFUSED] * MISSES, now=100.0)

    assert after(resting, REFUSED, now=110.0) == resting


def test_one_miss_after_a_rest_is_the_next_rest() -> None:
    """One attempt goes first; when it misses, the destination rests again, and counts it."""
    resting = after(after(UNKNOWN, *[REFUSED] * MISSES, now=100.0), REFUSED, now=130.0, rest=60.0)

    assert (resting.rests, resting.until) == (2, 190.0)


def test_a_session_after_a_rest_ends_it_and_growth_begins_low() -> None:
    """A destination that comes back is not run over by what has gathered."""
    back = after(after(UNKNOWN, *[REFUSED] * MISSES, now=100.0), SENT, now=130.0)

    assert back == Circuit(ceiling=AFTER_REST + 1)
    assert after(back, SENT, SENT).ceiling == AFTER_REST + 3


def test_the_destinations_in_memory_are_bounded() -> None:
    """Beyond the bound the one that was kept least recently is forgotten, and all of them when the routes change."""
    kept = Circuits()
    grown = Circuit(ceiling=9)
    for number in range(REMEMBERED):
        kept.keep(f"default/{number}.example", grown)
    kept.keep("default/0.example", grown)
    kept.keep("default/one-more.example", grown)

    assert [kept.ceiling(f"default/{name}.example") for name in ("0", "1", "2")] == [9, AT_FIRST, 9]
    kept.forget()
    assert kept.of("default/2.example") == UNKNOWN


def test_a_destination_is_revived_alone() -> None:
    """A person says that it is back; the others go on resting."""
    kept = Circuits()
    resting = after(UNKNOWN, *[REFUSED] * MISSES, now=100.0)
    for name in ("a", "b"):
        kept.keep(name, resting)
    kept.revive("a")
    kept.revive("never seen")

    assert kept.of("a") == UNKNOWN
    assert kept.of("b") == resting
