"""Which of a pod's words count: one lost answer and one failed probe change nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from smtp_gateway_operator.status.told import STALE, Heard, heard
from tests.unit.operator.setting import NOW, report, upstream

LOOK = timedelta(seconds=15)


def reachable(one: Heard | None) -> list[bool | None]:
    """Return what counts of each next hop."""
    assert one is not None
    return [probe.reachable for probe in one.report.upstreams]


def after(*probes: dict[str, Any], config_hash: str = "one") -> Heard:
    """Return what counts of a pod after it reported *probes* of one next hop in turn."""
    found = None
    for number, probe in enumerate(probes):
        found = heard(found, report("mail-0", config_hash=config_hash, upstreams=[probe]), NOW + number * LOOK)
    assert found is not None
    return found


def port(found: Heard) -> int | None:
    """Return the other port by which the one next hop counts as reached."""
    (probe,) = found.report.upstreams
    return probe.alternate_port


def test_a_pod_that_never_answered_is_unknown() -> None:
    """There is nothing to go on."""
    assert heard(None, "connection refused", NOW) is None


def test_a_lost_answer_changes_nothing_for_a_minute() -> None:
    """The last report counts until it is stale, and the next answer makes it fresh again."""
    first = heard(None, report("mail-0"), NOW)

    silent = heard(first, "no answer within 3 s", NOW + STALE)
    assert silent is not None
    assert (silent.report, silent.silence) == (report("mail-0"), "no answer within 3 s")
    assert heard(silent, "no answer within 3 s", NOW + STALE + timedelta(seconds=1)) is None

    again = heard(silent, report("mail-0"), NOW + STALE)
    assert heard(again, "no answer within 3 s", NOW + 2 * STALE) is not None


def test_one_failed_probe_is_not_believed() -> None:
    """A next hop that was reachable counts as such until a second probe has failed, however often the first one is reported."""
    good, bad, worse = upstream(at=1), upstream(cause="Refused", at=2), upstream(cause="Refused", at=3)

    assert reachable(after(good, bad)) == [True]
    assert reachable(after(good, bad, bad, bad)) == [True]
    assert reachable(after(good, bad, worse)) == [False]
    assert reachable(after(good, bad, good, worse)) == [True]


def test_one_probe_by_another_port_is_not_believed() -> None:
    """A port that is open every other time is no news each time: it takes two probes in a row, there and back again."""
    first = [upstream(at=at) for at in range(1, 7)]
    other = [upstream(at=at, alternate_port=587) for at in range(1, 7)]

    assert port(after(first[0], other[1], other[1])) is None
    assert port(after(first[0], other[1], first[2], other[3], first[4], other[5])) is None
    assert port(after(first[0], other[1], other[2])) == 587
    assert port(after(first[0], other[1], other[2], first[3], other[4], first[5])) == 587
    assert port(after(first[0], other[1], other[2], first[3], first[4])) is None


def test_the_port_by_which_a_next_hop_is_first_reached_is_believed_at_once() -> None:
    """There is nothing to compare it with, and after a failure any port is good news."""
    assert port(after(upstream(alternate_port=587))) == 587
    assert port(after(upstream(cause="Timeout", at=1), upstream(alternate_port=587, at=2))) == 587


def test_two_accounts_at_one_host_are_two_smarthosts() -> None:
    """The failures of one are never taken for the success of the other, however often they are reported."""
    good = [upstream(credentials="one", at=1), upstream(credentials="other", at=1)]
    bad = [upstream(credentials="one", cause="AuthenticationRejected", at=2), good[1]]
    worse = [upstream(credentials="one", cause="AuthenticationRejected", at=3), good[1]]

    found, counted = None, []
    for number, upstreams in enumerate([good, bad, bad, worse, worse, worse]):
        found = heard(found, report("mail-0", upstreams=upstreams), NOW + number * LOOK)
        counted.append(reachable(found))

    assert counted == [[True, True]] * 3 + [[False, True]] * 3


def test_a_first_failure_is_believed_at_once() -> None:
    """Nothing better is known of a next hop that was never reached."""
    assert reachable(after(upstream(cause="Refused"))) == [False]
    assert reachable(after(upstream(reachable=None), upstream(cause="Refused"))) == [False]


def test_recovery_is_believed_at_once() -> None:
    """One probe that got through proves it."""
    assert reachable(after(upstream(cause="Refused", at=1), upstream(at=2))) == [True]


def test_another_configuration_is_another_question() -> None:
    """A failure right after a change is the change's, and is believed."""
    before = after(upstream(at=1))

    changed = heard(before, report("mail-0", config_hash="two", upstreams=[upstream(cause="TlsFailed", at=2)]), NOW + LOOK)

    assert reachable(changed) == [False]
