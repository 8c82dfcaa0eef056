"""What pods tell of nodes: that theirs is not ready, and that none that could run them has their volume. Pure.

Nodes and volumes belong to the whole cluster, and the operator need not have the right to read them: what its pods say is enough.

What can go wrong: the scheduler's sentences are no part of an API. One in other words is told as it is, and stalls like any other trouble.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.names import CLAIM
from smtp_gateway_operator.steps.volumes import last_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Object = Mapping[str, Any]

ELSEWHERE = ("PersistentVolume's node affinity", "volume node affinity conflict")
"""How the scheduler calls nodes that cannot have a pod's volume: Kubernetes 1.34, and those before it."""
FURTHER = " preemption: "
"""Begins what the scheduler adds about pods that it might have taken away: the same again, for each node."""


def unready_node(pod: Object) -> str:
    """Say that the node of *pod* is not ready: lost, cut off, or without a container runtime. Empty when the pod does not tell so.

    The control plane then takes Ready from pods and leaves all else as the kubelet told it last; a kubelet never does so without a reason.
    """
    status = pod.get("status") or {}
    readiness = _condition(pod, "Ready")
    containers = status.get("containerStatuses") or []
    taken = readiness.get("status") == "False" and not readiness.get("reason")
    if taken and containers and all(container.get("ready") for container in containers):
        return f"its node {(pod.get('spec') or {}).get('nodeName', '')} is not ready"
    return ""


def is_stranded(pod: Object) -> bool:
    """Tell whether *pod* waits because nodes that could run it do not have its volume, and the one that has it cannot run it."""
    scheduled = _condition(pod, "PodScheduled")
    return scheduled.get("status") == "False" and any(words in scheduled.get("message", "") for words in ELSEWHERE)


def unscheduled(pod: Object, claims: Iterable[Object]) -> str:
    """Say why *pod* has no node, and if it is for its volume, by which of *claims*; empty when it has one."""
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return ""
    if is_stranded(pod):
        return f"no node that can run it has its volume ({_volume(pod, claims)}): {scheduled['message'].partition(FURTHER)[0]}"
    return f"{scheduled.get('reason', 'Unscheduled')}: {scheduled.get('message', '')}"


def _volume(pod: Object, claims: Iterable[Object]) -> str:
    """Name the claim of the pod's queue, with how many messages it held when that was last known."""
    volumes = (pod.get("spec") or {}).get("volumes") or []
    name = next((one["persistentVolumeClaim"]["claimName"] for one in volumes if one["name"] == CLAIM), "unknown")
    count = next((last_count(claim) for claim in claims if claim["metadata"]["name"] == name), None)
    return f"claim {name}, {'never counted' if count is None else f'{count} messages by its last count'}"


def _condition(pod: Object, name: str) -> Object:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == name), {})
