"""What is said while a fleet waits: for pods that go and still have mail, and for pods that do not become ready."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from smtp_gateway_operator.status.conditions import Findings, status_of
from smtp_gateway_operator.status.draining import sentence
from smtp_gateway_operator.status.reasons import PROGRESSING, READY
from smtp_gateway_operator.status.rollout import Rollout, rollout_of
from smtp_gateway_operator.status.stalling import DEADLINE, DEADLINE_OF_THE_HOPELESS, stalls_at
from smtp_gateway_operator.status.told import Told
from tests.unit.operator.setting import KEY, NOW, pod, report, upstream

SCALING_IN = Rollout(1, pods=2, ready=1, manned=True, draining=("mail-1",))
STAMP = "2026-03-01T12:00:00Z"


def queue(messages: int, held: int = 0, oldest: float | None = None) -> dict[str, Any]:
    """Return what a pod says of its queue."""
    return {"messages": messages, "held": held, "oldest": oldest, "lateness": 0}


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({}, "is empty"),
        ({"sessions": 2}, "is empty and waits for its sessions to end: 2 open"),
        ({"config_hash": "older"}, "has not yet loaded that it is to drain"),
        ({"config_hash": "older", "config_problem": "line 1"}, "has not yet loaded that it is to drain: line 1"),
        ({"queue": queue(3, oldest=NOW.timestamp())}, f"has 3 in its queue, the oldest since {STAMP}"),
        ({"queue": queue(3, 3)}, "has 3 in its queue, 3 of them held until somebody releases or removes them"),
        (
            {
                "queue": queue(1, oldest=NOW.timestamp()),
                "upstreams": [upstream(), upstream("b.example", "Timeout"), upstream("c.example", "Refused")],
            },
            f"has 1 in its queue, the oldest since {STAMP}; route default, b.example:25: 550 Timeout",
        ),
    ],
)
def test_it_is_said_what_a_pod_that_goes_still_has(said: dict[str, Any], state: str) -> None:
    """How much, since when, and the first trouble that is in its way."""
    told = Told({"mail-1": report("mail-1", **{"config_hash": "new", "accepting": False, "draining": True} | said)}, config_hash="new")

    assert sentence(SCALING_IN, told) == f"scaling in from 2 to 1, each pod goes when it is empty: mail-1 {state}"


@pytest.mark.parametrize(("unanswered", "why"), [({"mail-1": "no answer within 3 s"}, "no answer within 3 s"), ({}, "it is not running")])
def test_a_pod_that_says_nothing_may_hold_mail(unanswered: dict[str, str], why: str) -> None:
    """What it said a moment ago is not told any more."""
    reports = {"mail-1": report("mail-1", config_hash="new")} if unanswered else {}

    said = sentence(SCALING_IN, Told(reports, unanswered=unanswered, config_hash="new"))

    assert said.endswith(f"mail-1 may hold mail, and does not answer: {why}")


def conditions(rollout: Rollout, **later: float) -> dict[str, tuple[str, str, str]]:
    """Return status, reason and message of each condition of a gateway whose pods are not asked."""
    found = status_of(KEY, (), Findings(1, rollout), {}, NOW + timedelta(**later))["conditions"]
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in found}


def test_a_rollout_beside_a_scale_in_is_told_too() -> None:
    """Ready is about the pods that stay."""
    found = conditions(Rollout(1, pods=2, ready=0, draining=("mail-1",), troubles=("mail-0: ImagePullBackOff",)))

    assert found[PROGRESSING][:2] == ("True", "Draining")
    assert found[PROGRESSING][2].endswith("it is not running; 0 of 1 pods ready; mail-0: ImagePullBackOff")
    assert found[READY][:2] == ("False", "PodsNotReady")


def test_ready_waits_for_the_configuration_that_drains_and_not_for_the_drain() -> None:
    """While it is loaded, Ready is as unknown as after any other change, and says why."""
    told = Told({"mail-0": report("mail-0", config_hash="older"), "mail-1": report("mail-1", config_hash="new")}, config_hash="new")
    found = status_of(KEY, (), Findings(1, SCALING_IN, told=told), {}, NOW)["conditions"]

    assert [(one["type"], one["status"], one["reason"]) for one in found[:2]] == [
        ("Ready", "Unknown", "LoadingConfiguration"),
        ("Progressing", "True", "Draining"),
    ]


def test_what_stalls_is_told_in_time_and_before_what_drains() -> None:
    """Waiting is no progress any more once a pod had its time."""
    stuck = Rollout(1, stalls_at=NOW + timedelta(seconds=10), draining=("mail-1",), troubles=("mail-0: not ready",))

    assert conditions(stuck, seconds=9)[PROGRESSING][:2] == ("True", "Draining")
    assert conditions(stuck, seconds=10)[PROGRESSING] == (
        "False",
        "RolloutStalled",
        "a pod does not become ready, and no other is renewed before it is; 0 of 1 pods ready; mail-0: not ready",
    )


def unready(number: int = 0, reason: str = "", **metadata: str) -> dict[str, Any]:
    """Return a pod that has not been ready since noon, with what its container waits for."""
    state = {"waiting": {"reason": reason}} if reason else {"running": {}}
    made = pod(
        f"mail-{number}",
        conditions=[{"type": "Ready", "status": "False", "lastTransitionTime": STAMP}],
        containerStatuses=[{"name": "gateway", "ready": False, "state": state}],
    )
    made["metadata"] |= metadata
    return made


@pytest.mark.parametrize(
    ("pods", "deadline"),
    [
        ([], None),
        ([pod("mail-0", conditions=[{"type": "Ready", "status": "True", "lastTransitionTime": STAMP}])], None),
        ([pod("mail-0")], None),  # just made, and says nothing of itself
        ([unready(deletionTimestamp=STAMP)], DEADLINE_OF_THE_HOPELESS),
        ([unready()], DEADLINE),
        ([unready(reason="ContainerCreating")], DEADLINE),
        ([unready(reason="ImagePullBackOff")], DEADLINE_OF_THE_HOPELESS),
        ([unready(), unready(1, "CrashLoopBackOff")], DEADLINE_OF_THE_HOPELESS),
    ],
)
def test_a_pod_has_its_time_to_become_ready(pods: list[dict[str, Any]], deadline: timedelta | None) -> None:
    """Less of it when its container cannot even be started, and for what should have ended."""
    assert stalls_at(pods) == (None if deadline is None else NOW + deadline)


def fleet(wanted: int, marks: str, revision: str = "new") -> Rollout:
    """Return how far a fleet is that should have *wanted* pods, and has one a mark: "+" for one that is ready; *revision* is the first's."""
    ready = [mark == "+" for mark in marks]
    pods = []
    for number, one in enumerate(ready):
        member = pod(f"mail-{number}", conditions=[{"type": "Ready", "status": str(one), "lastTransitionTime": STAMP}])
        member["metadata"]["labels"] = {"controller-revision-hash": revision if number == 0 else "new"}
        pods.append(member)
    counts = {"replicas": len(ready), "readyReplicas": sum(ready), "updatedReplicas": len(ready), "observedGeneration": 1}
    workload = {
        "metadata": {"name": "mail", "generation": 1},
        "spec": {"replicas": len(ready)},
        "status": counts | {"updateRevision": "new"},
    }
    return rollout_of(wanted, workload, pods)


def test_pods_that_drain_are_not_counted() -> None:
    """Those that stay serve, and it is not settled before the others are gone."""
    found = fleet(1, "+--")

    assert (found.ready, found.serves, found.settled, found.draining, found.stalls_at) == (1, True, False, ("mail-2", "mail-1"), None)


def test_ready_does_not_flap_while_the_last_pod_ends_its_sessions() -> None:
    """The StatefulSet is as small as wanted, and its last pod not gone yet: it serves, and is not settled."""
    staying = pod("mail-0", conditions=[{"type": "Ready", "status": "True"}])
    staying["metadata"]["labels"] = {"controller-revision-hash": "new"}
    going = pod("mail-1", conditions=[{"type": "Ready", "status": "False"}])
    going["metadata"]["deletionTimestamp"] = STAMP
    counts = {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "observedGeneration": 1, "updateRevision": "new"}
    found = rollout_of(1, {"metadata": {"name": "mail", "generation": 1}, "spec": {"replicas": 1}, "status": counts}, [staying, going])

    assert (found.serves, found.settled, found.stalls_at) == (True, False, None)


def test_pods_that_are_ready_are_counted_before_the_statefulset_does() -> None:
    """Its status comes a moment after theirs: Ready would be told with "0 of 1 pods ready"."""
    member = pod("mail-0", conditions=[{"type": "Ready", "status": "True"}])
    member["metadata"]["labels"] = {"controller-revision-hash": "new"}
    counts = {"replicas": 1, "readyReplicas": 0, "updatedReplicas": 1, "observedGeneration": 1, "updateRevision": "new"}
    found = rollout_of(1, {"metadata": {"name": "mail", "generation": 1}, "spec": {"replicas": 1}, "status": counts}, [member])

    assert (found.serves, found.sentence) == (True, "1 of 1 pods ready")


@pytest.mark.parametrize("found", [fleet(1, "--"), fleet(1, "+-", revision="old"), fleet(2, "+"), fleet(0, "+")])
def test_a_fleet_serves_only_with_all_its_pods_ready_and_renewed(found: Rollout) -> None:
    """One that stays and is not ready, or old, or missing; and none that stops is said to serve."""
    assert not found.serves
