"""Status from findings: equal input gives equal status, and times move only when a status does."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from smtp_gateway.config.observed import Status
from smtp_gateway_operator.spec import Spec
from smtp_gateway_operator.status.conditions import (
    CONFIG_VALID,
    MESSAGE_LENGTH,
    PROGRESSING,
    REFERENCES_RESOLVED,
    Findings,
    Problem,
    status_of,
)
from smtp_gateway_operator.status.rollout import Rollout
from tests.unit.operator.setting import KEY, NOW

LISTENERS = Spec(hostname="mail.example.com").listeners
SETTLED = Rollout(2, pods=2, ready=2, settled=True)
UNDERWAY = Rollout(2, pods=2, ready=1, troubles=("mail-1: CrashLoopBackOff",))
PROBLEMS = [
    None,
    Problem(CONFIG_VALID, "Invalid", "it is wrong"),
    Problem(REFERENCES_RESOLVED, "SecretNotFound", "Secret app not found"),
    Problem(PROGRESSING, "OwnershipConflict", "Service mail exists"),
    Problem(PROGRESSING, "WaitingForDeletion", "Service mail still belongs to another", passing=True),
]
FINDINGS = [Findings(3, rollout, problem) for rollout in (SETTLED, UNDERWAY) for problem in PROBLEMS]


def status(found: Findings, previous: dict[str, Any] | None = None, seconds: float = 0) -> dict[str, Any]:
    """Return the status after *found*, *seconds* after the beginning."""
    return status_of(KEY, LISTENERS, found, previous or {}, NOW + timedelta(seconds=seconds))


def judged(found: Findings) -> dict[str, str]:
    """Return each condition's status."""
    return {condition["type"]: condition["status"] for condition in status(found)["conditions"]}


@pytest.mark.parametrize("found", FINDINGS)
def test_equal_findings_give_an_equal_status(found: Findings) -> None:
    """Judging again later gives the very same status, times included, so nothing is written."""
    first = status(found)

    assert status(found, first, seconds=3600) == first
    assert Status.model_validate(first)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(FINDINGS, FINDINGS)))
def test_times_move_exactly_with_the_status(before: Findings, after: Findings) -> None:
    """A condition's time is that of the last flip of its status, whatever its reason and message did."""
    old = {one["type"]: one for one in status(before)["conditions"]}
    new = {one["type"]: one for one in status(after, status(before), seconds=60)["conditions"]}

    for name, condition in new.items():
        moved = condition["lastTransitionTime"] != old[name]["lastTransitionTime"]
        assert moved == (condition["status"] != old[name]["status"])


@pytest.mark.parametrize("found", FINDINGS)
def test_ready_needs_every_other_condition(found: Findings) -> None:
    """Ready is True only when the pods are settled and nothing else is wrong."""
    conditions = judged(found)
    well = conditions == {"Ready": "True", "Progressing": "False", "ConfigValid": "True", "ReferencesResolved": "True"}

    assert (conditions["Ready"] == "True") == well == (found.rollout.settled and found.problem is None)


@pytest.mark.parametrize(
    ("problem", "progressing", "valid", "resolved"),
    [
        (PROBLEMS[0], "False", "True", "True"),
        (PROBLEMS[1], "False", "False", "Unknown"),
        (PROBLEMS[2], "False", "True", "False"),
        (PROBLEMS[3], "False", "True", "True"),
        (PROBLEMS[4], "True", "True", "True"),
    ],
)
def test_a_problem_is_told_where_it_belongs(problem: Problem | None, progressing: str, valid: str, resolved: str) -> None:
    """Each problem makes its own condition untrue, and what was not looked at is Unknown."""
    conditions = judged(Findings(1, SETTLED, problem))

    assert (conditions["Progressing"], conditions["ConfigValid"], conditions["ReferencesResolved"]) == (progressing, valid, resolved)


def test_ready_tells_the_problem_and_the_pods() -> None:
    """The message of Ready is enough to act on."""
    problem = Problem(REFERENCES_RESOLVED, "SecretNotFound", "Secret app not found")
    ready = status(Findings(1, UNDERWAY, problem))["conditions"][0]

    assert ready["message"] == "Secret app not found; 1 of 2 pods ready; mail-1: CrashLoopBackOff"


def test_every_condition_carries_the_generation() -> None:
    """What was judged is the generation that was read."""
    found = status(Findings(7, SETTLED))

    assert {condition["observedGeneration"] for condition in found["conditions"]} == {found["observedGeneration"]} == {7}


def test_a_resource_that_is_not_understood_keeps_its_endpoints() -> None:
    """The pods still listen where they did."""
    before = status(Findings(1, SETTLED))
    found = Findings(2, SETTLED, PROBLEMS[1])

    assert status_of(KEY, None, found, before, NOW)["endpoints"] == before["endpoints"]


def test_a_long_message_is_cut() -> None:
    """The API server's own words on a refusal can be pages."""
    problem = Problem(PROGRESSING, "Rejected", "x" * 5000)
    progressing = status(Findings(1, SETTLED, problem))["conditions"][1]

    assert progressing["message"] == "x" * MESSAGE_LENGTH
