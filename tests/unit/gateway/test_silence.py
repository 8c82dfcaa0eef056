"""When port 25 counts as blocked, in a time of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from smtp_gateway.config.model import Smarthost
from smtp_gateway.delivery.reachability import Reachability
from smtp_gateway.delivery.silence import DOMAINS, KEPT, Silence
from smtp_gateway.mail.outcome import Deferred, unreachable
from smtp_gateway.mail.reply import Reply
from tests.support.dispatching import Clock

SILENT = unreachable("4.4.1", "Connection timed out after 30 s", silent=True)
REFUSED = unreachable("4.4.1", "Connection failed: Connection refused")
BUSY = Deferred(Reply(421, "4.3.2", "Busy"), unreached=True)


def test_exchangers_of_several_domains_have_to_be_silent() -> None:
    """Many of one provider may be away together, however they are written; the log says once what was found, and once that it is over."""
    silence = Silence(Clock())
    with capture_logs() as logs:
        for host in ("a.mx.one.example.", "b.mx.One.example.", "two.example.", "mx.two.example."):
            silence.heard_nothing(host)
        assert not silence.blocked
        for host in ("mx.three.example.", "mx.four.example."):
            silence.heard_nothing(host)
            assert silence.blocked
        silence.heard()
        assert not silence.blocked

    assert [line["event"] for line in logs] == ["port 25 blocked", "port 25 open"]


def test_silence_is_forgotten_in_time() -> None:
    """It counts only as long as mail that waits would have found it again."""
    clock = Clock()
    silence = Silence(clock)
    for number in range(DOMAINS):
        silence.heard_nothing(f"mx.d{number}.example.")
    clock.now += KEPT - 1
    assert silence.blocked
    clock.now += 1
    assert not silence.blocked


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=30))
def test_it_is_what_is_silent_since_the_last_answer(events: list[int | None]) -> None:
    """None stands for an answer, a number for a domain's silence: blocked is what three different ones say after the last answer."""
    silence = Silence(Clock())
    since: set[int] = set()
    for event in events:
        if event is None:
            silence.heard()
            since.clear()
        else:
            silence.heard_nothing(f"mx.d{event}.")
            since.add(event)
        assert silence.blocked is (len(since) >= DOMAINS)


@pytest.mark.parametrize(
    ("outcome", "hosts", "blocked"),
    [
        (SILENT, ("mx.a.", "mx.b.", "mx.c."), True),
        (SILENT, ("mx.a", "mx.b", "mx.c"), False),  # smarthosts, which are probed
        (REFUSED, ("mx.a.", "mx.b.", "mx.c."), False),
        (BUSY, ("mx.a.", "mx.b.", "mx.c."), False),
    ],
)
def test_only_silent_exchangers_count(outcome: Deferred, hosts: tuple[str, ...], blocked: bool) -> None:  # noqa: FBT001 a table
    """Nothing that comes from somebody, and no smarthost."""
    known = Reachability(Clock())
    for host in hosts:
        known.told(Smarthost(host=host), outcome)

    assert known.port_25_blocked is blocked


def test_one_answer_is_enough() -> None:
    """A session, or a refusal in words, from any exchanger; a smarthost says nothing about the way to exchangers."""
    session, refusal = Reachability(Clock()), Reachability(Clock())
    for known in (session, refusal):
        for host in ("mx.a.", "mx.b.", "mx.c."):
            known.told(Smarthost(host=host), SILENT)
        known.reached(Smarthost(host="smtp.provider.example"))
        assert known.port_25_blocked
    session.reached(Smarthost(host="mx.d."))
    refusal.told(Smarthost(host="mx.d."), BUSY)

    assert not session.port_25_blocked
    assert not refusal.port_25_blocked
