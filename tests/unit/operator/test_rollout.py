"""How far the pods are, read from the StatefulSet and from what pods say."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway_operator.status.rollout import LENGTH, Rollout, rollout_of
from tests.unit.operator.setting import pod


def workload(generation: int = 2, replicas: int = 2, **status: int) -> dict[str, Any]:
    """Return a StatefulSet whose pods are all there and ready, except for what *status* says."""
    counts = {"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2} | status
    return {"metadata": {"name": "mail", "generation": generation}, "spec": {"replicas": replicas}, "status": counts}


def container(**state: Any) -> dict[str, Any]:
    """Return a container's status."""
    return {"name": "gateway", "ready": False, **state}


def test_it_is_settled_when_every_pod_is_current_and_ready() -> None:
    """The good case."""
    assert rollout_of(2, workload(), ()) == Rollout(2, pods=2, ready=2, settled=True)


@pytest.mark.parametrize(
    "found",
    [
        workload(generation=3),  # the controller has not seen the last change
        workload(replicas=1),  # the change of replicas is not applied yet
        workload(replicas=2, readyReplicas=1),
        workload(updatedReplicas=1),  # a rolling update is underway
        workload(replicas=2) | {"status": {}},  # just created
        {"metadata": {"name": "mail"}, "spec": {"replicas": 2}},
    ],
)
def test_it_is_not_settled_while_anything_is_missing(found: dict[str, Any]) -> None:
    """Each count alone keeps it from being settled."""
    assert not rollout_of(2, found, ()).settled


def test_scaling_in_is_settled_when_the_last_pod_is_gone() -> None:
    """A pod that still ends its sessions is not nothing."""
    leaving = {"observedGeneration": 2, "replicas": 2, "readyReplicas": 1, "updatedReplicas": 1}

    assert not rollout_of(1, workload(replicas=1) | {"status": leaving}, ()).settled


def test_without_a_workload_there_are_no_pods() -> None:
    """Nothing was made yet."""
    assert rollout_of(2, None, ()).sentence == "0 of 2 pods ready"


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        ({"conditions": [{"type": "Ready", "status": "True"}]}, None),
        ({}, None),
        ({"containerStatuses": [container(state={"waiting": {"reason": "ContainerCreating"}})]}, "ContainerCreating"),
        (
            {
                "containerStatuses": [
                    container(
                        state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting"}},
                        lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                    )
                ]
            },
            "CrashLoopBackOff, OOMKilled with exit code 137",
        ),
        ({"containerStatuses": [container(state={"terminated": {"reason": "Error", "exitCode": 1}})]}, "Error with exit code 1"),
        (
            {
                "containerStatuses": [
                    container(
                        state={"waiting": {"reason": "CrashLoopBackOff"}},
                        lastState={"terminated": {"reason": "Error", "exitCode": 1, "message": "the spool\nis newer\n"}},
                    )
                ]
            },
            "CrashLoopBackOff, Error with exit code 1: the spool is newer",
        ),
        (
            {
                "containerStatuses": [
                    container(name="mesh", state={"terminated": {"reason": "Error", "exitCode": 1, "message": "at 12:00"}})
                ]
            },
            "Error with exit code 1",
        ),
        ({"containerStatuses": [container(state={"running": {}})]}, "not ready"),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes available"}]},
            "Unschedulable: 0/2 nodes available",
        ),
        ({"reason": "Evicted"}, "Evicted"),
    ],
)
def test_a_pod_says_what_keeps_it(status: dict[str, Any], trouble: str | None) -> None:
    """Reasons, exit codes and a gateway's last word are told; counters and durations, which change all the time, are not."""
    expected = (f"mail-0: {trouble}",) if trouble else ()

    assert rollout_of(2, workload(readyReplicas=1), [pod("mail-0", **status)]).troubles == expected


def test_a_pod_that_is_deleted_says_so() -> None:
    """Terminating is not a failure."""
    leaving = pod("mail-0")
    leaving["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"

    assert rollout_of(1, workload(), [leaving]).troubles == ("mail-0: Terminating",)


def test_a_scheduler_with_a_lot_to_say_is_cut() -> None:
    """A message that names every node is bounded."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "x" * 5000}

    (trouble,) = rollout_of(1, workload(), [pod("mail-0", conditions=[condition])]).troubles
    assert len(trouble) <= LENGTH + len("mail-0: ")


def test_three_troubles_are_told_in_the_order_of_pods() -> None:
    """More would bury the first."""
    pods = [pod(f"mail-{number}", reason="Evicted") for number in (3, 1, 0, 2)]

    sentence = rollout_of(4, workload(), pods).sentence
    assert sentence == "2 of 4 pods ready; mail-0: Evicted; mail-1: Evicted; mail-2: Evicted; ..."
