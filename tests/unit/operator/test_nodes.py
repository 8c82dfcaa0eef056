"""Nodes that are not ready, drained or lost, as far as a gateway's pods tell."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway_operator.cluster.api import POD, VOLUME_CLAIM
from smtp_gateway_operator.names import volume_claim
from smtp_gateway_operator.status.rollout import rollout_of
from smtp_gateway_operator.status.stalling import DEADLINE_OF_THE_HOPELESS, stalls_at
from tests.unit.operator.fleets import Controlled
from tests.unit.operator.setting import KEY, NOW, pod, ref

STAMP = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
WORKLOAD = {"metadata": {"name": "mail"}, "spec": {"replicas": 2}, "status": {"replicas": 2, "readyReplicas": 1}}
RUNNING = {"name": "gateway", "ready": True, "state": {"running": {}}}
LOST = "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
CORDONED = "0/2 nodes are available: 1 node(s) had volume node affinity conflict, 1 node(s) were unschedulable."
"""As Kubernetes said it before 1.34."""


def on_node(ready: dict[str, str], container: dict[str, Any] = RUNNING, **metadata: str) -> dict[str, Any]:
    """Return a pod of a node, with what its condition Ready and its container say."""
    made = pod("mail-1", conditions=[{"type": "Ready", "lastTransitionTime": STAMP} | ready], containerStatuses=[container])
    made["spec"] = {"nodeName": "node-7"}
    made["metadata"] |= metadata
    return made


def pending(message: str) -> dict[str, Any]:
    """Return a pod that the scheduler has no node for."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    made = pod("mail-1", phase="Pending", conditions=[condition])
    made["spec"] = {"volumes": [{"name": "config"}, {"name": "spool", "persistentVolumeClaim": {"claimName": "spool-mail-1"}}]}
    made["metadata"]["creationTimestamp"] = STAMP
    return made


def claim(**annotations: str) -> dict[str, Any]:
    """Return the claim of the pod's volume."""
    return {"metadata": {"name": "spool-mail-1", "annotations": {f"smtpgateway.io/{name}": value for name, value in annotations.items()}}}


@pytest.mark.parametrize(
    ("one", "trouble"),
    [
        (on_node({"status": "False"}), "its node node-7 is not ready"),
        (on_node({"status": "False"}, deletionTimestamp=STAMP), "Terminating, its node node-7 is not ready"),
        (on_node({"status": "False", "reason": "ContainersNotReady"}, RUNNING | {"ready": False}), "not ready"),
        (on_node({"status": "False", "reason": "ReadinessGatesNotReady"}), None),
        (on_node({"status": "True"}), None),
    ],
)
def test_a_node_that_is_not_ready_is_told(one: dict[str, Any], trouble: str | None) -> None:
    """The control plane took Ready from a pod whose containers were well when the kubelet was last heard; kubelets say why they do it."""
    assert rollout_of(2, WORKLOAD, [one]).troubles == ((f"mail-1: {trouble}",) if trouble else ())


@pytest.mark.parametrize(
    ("message", "claims", "trouble"),
    [
        (
            LOST,
            [claim(messages="12", drained="unknown")],
            "no node that can run it has its volume (claim spool-mail-1, 12 messages by its last count): "
            + LOST.partition(" preemption")[0],
        ),
        (CORDONED, [claim()], f"no node that can run it has its volume (claim spool-mail-1, never counted): {CORDONED}"),
        (CORDONED, [], f"no node that can run it has its volume (claim spool-mail-1, never counted): {CORDONED}"),
        ("0/2 nodes are available: 2 Insufficient cpu.", [claim()], "Unschedulable: 0/2 nodes are available: 2 Insufficient cpu."),
    ],
)
def test_a_volume_that_cannot_be_reached_is_named(message: str, claims: list[dict[str, Any]], trouble: str) -> None:
    """With how much is on it; other words of the scheduler are told as they are."""
    found = rollout_of(2, WORKLOAD, [pending(message)], claims)

    assert found.troubles == (f"mail-1: {trouble}",)
    assert found.stranded == ("claim" in trouble)


def test_a_pod_without_its_volume_has_little_time() -> None:
    """Nothing but a person will help it."""
    assert stalls_at([pending(LOST)]) == NOW + DEADLINE_OF_THE_HOPELESS


async def strand(setting: Controlled) -> None:
    """Let the second pod be Pending, as after the loss of its node."""
    lost = await setting.get(POD, "mail-1")
    await setting.cluster.delete(ref(POD, "mail-1"), lost["metadata"]["uid"])
    now = f"{setting.now:%Y-%m-%dT%H:%M:%SZ}"
    await setting.given(pending(LOST) | {"metadata": {**lost["metadata"], "creationTimestamp": now, "uid": None}})
    await setting.cluster.patch_status(ref(POD, "mail-1"), pending(LOST)["status"])
    await setting.controlled()


async def test_a_lost_volume_is_an_event_and_ends_with_a_new_one() -> None:
    """At once it is said what is waited for, and in a minute that it waits in vain; a new claim and pod, and all is well."""
    setting = await Controlled.of(2)
    setting.queues[1] = {"messages": 7}
    await setting.heed()
    setting.later(seconds=61)
    await setting.look()
    await strand(setting)
    await setting.reconcile(KEY)
    trouble = "mail-1: no node that can run it has its volume (claim spool-mail-1, 7 messages by its last count)"
    assert trouble in (await setting.condition("Ready"))[2]
    assert (await setting.condition("Progressing"))[1] == "RollingOut"

    setting.later(seconds=61)
    await setting.look()
    assert (await setting.condition("Progressing"))[:2] == ("False", "VolumeUnreachable")
    assert ("Warning", "VolumeUnreachable") in setting.reasons()

    setting.queues.clear()
    for kind, name in ((POD, "mail-1"), (VOLUME_CLAIM, volume_claim("mail", 1))):
        await setting.cluster.delete(ref(kind, name), (await setting.get(kind, name))["metadata"]["uid"])
    await setting.settle()
    assert (await setting.condition("Progressing"))[:2] == ("False", "Complete")
    assert (await setting.condition("Ready"))[0] == "True"


@pytest.mark.parametrize("obstacle", [{"paused": True}, {"logins": [{"secretRef": {"name": "missing"}}]}])
async def test_a_count_is_told_also_while_nothing_is_changed(obstacle: dict[str, Any]) -> None:
    """A pause or a missing Secret does not make of counted mail mail that was never counted."""
    setting = await Controlled.of(2)
    setting.queues[1] = {"messages": 7}
    await setting.heed()
    setting.later(seconds=61)
    await setting.look()
    await strand(setting)
    await setting.change(**obstacle)

    await setting.put_off()

    assert "(claim spool-mail-1, 7 messages by its last count)" in (await setting.condition("Ready"))[2]
