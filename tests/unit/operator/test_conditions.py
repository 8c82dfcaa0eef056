"""Status from findings: equal input gives equal status, and times move only when a status does."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from smtp_gateway.config.observed import Status
from smtp_gateway_operator.spec import Spec
from smtp_gateway_operator.status.conditions import MESSAGE_LENGTH, Findings, Problem, is_ready, status_of
from smtp_gateway_operator.status.reasons import CONFIG_VALID, PROGRESSING, REFERENCES_RESOLVED, Reason
from smtp_gateway_operator.status.rollout import Rollout
from smtp_gateway_operator.status.told import Told
from tests.unit.operator.setting import KEY, NOW, report, upstream

LISTENERS = Spec(hostname="mail.example.com").listeners
SETTLED = Rollout(2, pods=2, ready=2, settled=True)
UNDERWAY = Rollout(2, pods=2, ready=1, troubles=("mail-1: CrashLoopBackOff",))
PROBLEMS = [
    None,
    Problem(CONFIG_VALID, Reason.INVALID, "it is wrong"),
    Problem(REFERENCES_RESOLVED, Reason.SECRET_NOT_FOUND, "Secret app not found"),
    Problem(PROGRESSING, Reason.OWNERSHIP_CONFLICT, "Service mail exists"),
    Problem(PROGRESSING, Reason.WAITING_FOR_DELETION, "Service mail still belongs to another", passing=True),
]
ROUTES = Spec.model_validate(
    {"hostname": "a.example", "routes": [{"name": "default", "smarthosts": [{"host": "smtp.example.net"}]}]}
).routes
REPORTS = {name: report(name, config_hash="new", upstreams=[upstream()]) for name in ("mail-0", "mail-1")}
WELL = Told(REPORTS, routes=ROUTES, config_hash="new")
FINDINGS = [Findings(3, rollout, problem, WELL) for rollout in (SETTLED, UNDERWAY) for problem in PROBLEMS]


def told(waited: float = 0.0, **changed: Any) -> Told:
    """Return what two pods tell, the first of which is well but for what *changed* says."""
    first = report("mail-0", **{"config_hash": "new", "upstreams": [upstream()]} | changed)
    return replace(WELL, reports=REPORTS | {"mail-0": first}, waited=waited)


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
    others = ("ConfigValid", "ReferencesResolved", "CertificateValid", "UpstreamReachable", "QueueHealthy")
    well = conditions["Progressing"] == "False" and {conditions[name] for name in others} == {"True"} and found.problem is None

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
    problem = Problem(REFERENCES_RESOLVED, Reason.SECRET_NOT_FOUND, "Secret app not found")
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
    problem = Problem(PROGRESSING, Reason.REJECTED, "x" * 5000)
    progressing = status(Findings(1, SETTLED, problem))["conditions"][1]

    assert progressing["message"] == "x" * MESSAGE_LENGTH


@pytest.mark.parametrize(
    ("said", "condition", "ready"),
    [
        ({}, ("UpstreamReachable", "True", "Reachable"), ("True", "PodsReady")),
        ({"upstreams": [upstream(cause="Refused")]}, ("UpstreamReachable", "False", "ConnectionRefused"), ("False", "ConnectionRefused")),
        ({"upstreams": []}, ("UpstreamReachable", "Unknown", "NotProbed"), ("Unknown", "NotProbed")),
        ({"spool_problem": "volume full"}, ("QueueHealthy", "False", "SpoolUnusable"), ("False", "SpoolUnusable")),
        ({"certificate": {"not_after": 0.0}}, ("CertificateValid", "False", "Expired"), ("False", "Expired")),
        ({"config_hash": "old"}, ("Progressing", "True", "LoadingConfiguration"), ("Unknown", "LoadingConfiguration")),
        ({"config_hash": "old", "waited": 200}, ("Progressing", "False", "ConfigurationNotLoaded"), ("False", "ConfigurationNotLoaded")),
        ({"config_hash": "old", "config_problem": "no"}, ("ConfigValid", "True", "Valid"), ("Unknown", "LoadingConfiguration")),
        ({"config_hash": "old", "config_problem": "no", "waited": 20}, ("ConfigValid", "False", "NotLoadable"), ("False", "NotLoadable")),
    ],
)
def test_ready_is_the_conjunction(said: dict[str, Any], condition: tuple[str, str, str], ready: tuple[str, str]) -> None:
    """What one pod says makes its condition what it is, and Ready with it: False before Unknown, and loading in between."""
    found = status(Findings(3, SETTLED, told=told(**said)))
    conditions = {one["type"]: (one["status"], one["reason"]) for one in found["conditions"]}

    assert conditions[condition[0]] == condition[1:]
    assert conditions["Ready"] == ready
    assert is_ready(found) == (ready[0] == "True")


def test_a_pod_that_cannot_be_asked_makes_ready_unknown() -> None:
    """Nobody can tell whether mail gets through such a pod; what another one says is wrong is wrong nevertheless."""
    silent = replace(WELL, reports={"mail-0": REPORTS["mail-0"]}, silent={"mail-1": "connection refused"})
    conditions = {one["type"]: one for one in status(Findings(3, SETTLED, told=silent))["conditions"]}

    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("Unknown", "NoReport")
    assert conditions["Ready"]["message"] == "UpstreamReachable is Unknown: not every pod can be asked: mail-1: connection refused"


def test_the_status_counts_what_the_pods_have() -> None:
    """Mail that waits, the oldest of it, and how many pods run which configuration."""
    queue = {"messages": 3, "held": 1, "oldest": NOW.timestamp() - 60, "lateness": 0}
    found = status(Findings(3, SETTLED, told=told(config_hash="0123456789abcdef", queue=queue)))

    assert found["queue"] == {"messages": 3, "oldestMessageTime": "2026-03-01T11:59:00Z"}
    assert found["configuration"] == {"hash": "new", "podsCurrent": 1}


def test_counts_stay_while_nobody_can_tell() -> None:
    """A pod that does not answer does not make the mail in its queue vanish from the status."""
    before = status(Findings(3, SETTLED, told=told(queue={"messages": 3, "held": 0, "oldest": None, "lateness": 0})))
    silent = Findings(3, SETTLED, told=replace(WELL, reports={}, silent={"mail-0": "no answer within 3 s"}))

    assert status(silent, before)["queue"] == before["queue"] == {"messages": 3}
