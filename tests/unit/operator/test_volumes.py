"""What is written on volume claims, and what they say of mail without a pod."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway_operator.steps.volumes import Asleep, Counted, after_look, asleep, before_step, claims_by_ordinal, unused

MESSAGES = "smtpgateway.io/messages"
DRAINED = "smtpgateway.io/drained"


def claim(number: int, messages: str | None = None, drained: str | None = None, phase: str = "Bound") -> dict[str, Any]:
    """Return the claim of a pod's queue."""
    notes = {MESSAGES: messages, DRAINED: drained}
    annotations = {key: value for key, value in notes.items() if value is not None}
    return {"metadata": {"name": f"spool-mail-{number}", "annotations": annotations}, "status": {"phase": phase}}


def claims(*found: dict[str, Any]) -> dict[int, Any]:
    """Return claims by their ordinals."""
    return dict(claims_by_ordinal("mail", found))


def test_claims_of_others_are_not_touched() -> None:
    """A namesake's claims have other names."""
    other = {"metadata": {"name": "spool-mail-2-0"}}, {"metadata": {"name": "data-mail-0"}}, {"metadata": {"name": "spool-mail-x"}}

    assert set(claims_by_ordinal("mail", [claim(0), *other])) == {0}


def test_counts_are_written_when_they_change() -> None:
    """What stands there already is not written again, and a running pod's volume may always hold mail."""
    found = claims(claim(0, "5", "unknown"), claim(1, "5", "unknown"), claim(2))

    assert after_look(found, 3, Counted({0: 5, 1: 6, 2: 0}, empty={2}), ()) == {
        1: {MESSAGES: "6"},
        2: {MESSAGES: "0", DRAINED: "unknown"},
    }


def test_a_count_is_written_once_a_minute() -> None:
    """Volumes that were written lately wait."""
    assert after_look(claims(claim(0, "5", "unknown")), 1, Counted({0: 6}), {0}) == {}


def test_a_pod_that_never_answered_leaves_its_volume_unknown() -> None:
    """There is no count, and it may hold mail."""
    assert after_look(claims(claim(0)), 1, Counted({}), ()) == {0: {DRAINED: "unknown"}}


def test_what_a_smaller_fleet_left_stays_as_it_is() -> None:
    """Its pod is gone, and nobody knows better."""
    found = claims(claim(0, "0", "unknown"), claim(1, "7", "unknown"), claim(2, "0", "true"))

    assert after_look(found, 1, Counted({0: 0}), ()) == {}
    assert before_step(found, (1, 1), Counted({0: 0})) == {}


def test_a_drained_volume_says_so_before_the_fleet_shrinks() -> None:
    """Whoever finds it later knows that it holds nothing."""
    found = claims(claim(0, "4", "unknown"), claim(1, "3", "unknown"), claim(2, "9", "unknown"))

    assert before_step(found, (3, 1), Counted({0: 4, 1: 0, 2: 0}, empty={1, 2})) == {
        1: {MESSAGES: "0", DRAINED: "true"},
        2: {MESSAGES: "0", DRAINED: "true"},
    }


def test_a_volume_with_damaged_mail_does_not_pass_for_drained() -> None:
    """It is not waited for, because nobody could deliver it; but whoever finds the volume should look at it."""
    found = claims(claim(1, "3", "unknown"))

    assert before_step(found, (2, 1), Counted({1: 0}, empty={1}, damaged={1})) == {1: {MESSAGES: "0"}}


def test_to_zero_the_last_counts_are_written_and_nothing_is_drained() -> None:
    """Pods that serve may take mail until the moment they stop."""
    found = claims(claim(0, "4", "unknown"), claim(1, "3", "unknown"))

    assert before_step(found, (2, 0), Counted({0: 6})) == {0: {MESSAGES: "6"}}


@pytest.mark.parametrize("sizes", [(1, 2), (2, 2)])
def test_a_volume_is_drained_no_longer_before_its_pod_serves(sizes: tuple[int, int]) -> None:
    """Scaled out again, or kept after all: the word is taken back first."""
    found = claims(claim(0, "0", "unknown"), claim(1, "0", "true"))

    assert before_step(found, sizes, Counted({})) == {1: {DRAINED: "unknown"}}


def test_only_a_volume_that_never_was_holds_nothing_for_sure() -> None:
    """A claim that nobody was given a volume for, or that is missing."""
    found = claims(claim(0), claim(1, phase="Pending"), claim(2, phase="Lost"))

    assert unused(found, range(1, 4)) == {1, 3}


def test_mail_without_a_pod_is_summed_up() -> None:
    """By the last counts; a volume that never had one is named."""
    running, drained, unused_one = claim(0, "9", "unknown"), claim(2, "0", "true"), claim(5, phase="Pending")
    found = claims(running, claim(1, "7", "unknown"), drained, claim(3), claim(4, "0", "unknown"), unused_one)

    slept = asleep(found, 1)

    assert slept == Asleep(counted=2, messages=7, uncounted=("spool-mail-3",))
    assert slept.sentence == ("volumes without a pod hold 7 messages, by their last count; nobody knows what is on spool-mail-3")


@pytest.mark.parametrize("count", ["many", "", "-1", "1.5", "٣"])
def test_a_count_that_somebody_else_wrote_is_none(count: str) -> None:
    """An annotation can be anybody's."""
    assert asleep(claims(claim(1, count)), 1).uncounted == ("spool-mail-1",)


def test_nothing_is_said_when_nothing_sleeps() -> None:
    """No volumes, or empty ones."""
    assert asleep(claims(claim(0, "3"), claim(1, "0", "true")), 1).sentence == ""
