"""Who may be renewed: a changed pod template reaches the pods one by one, from the highest ordinal down, by the StatefulSet's `partition`.

The StatefulSet renews pods whose ordinal is `partition` or more, one at a time, and makes missing ones below it from the version before.
At rest the partition is the fleet's size: a changed template then reaches nobody before this module has looked at the fleet, and a pod
that is evicted meanwhile comes back as it was.

Four rules of this file. The next pod is renewed only when every renewed one is ready: a broken version stops at its first pod. A pod
that is ready is taken away only when all others are. A pod that is not ready costs nothing, and may be renewed at once: this is how a
broken version is succeeded, or taken back. A pod of the version before that is not ready for `PATIENCE` holds nobody up any longer,
because the new version may be its cure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway_operator.steps.pods import Pod

PATIENCE = timedelta(minutes=10)
"""How long a pod of the version before may keep the others from being renewed: the progress deadline that Deployments have by default."""


@dataclass(frozen=True, slots=True)
class Versions:
    """What a StatefulSet says about its versions."""

    current: str
    """The version that the whole fleet had last."""
    wanted: str
    """The version of the template."""
    partition: int | None
    """As it is now; None when nothing is said."""
    observed: bool
    """Whether the StatefulSet's controller has seen its latest change."""


def versions_of(workload: Mapping[str, Any]) -> Versions:
    """Return the versions of *workload*, a StatefulSet."""
    status, spec = workload.get("status") or {}, workload["spec"]
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    return Versions(
        current=status.get("currentRevision", ""),
        wanted=status.get("updateRevision", ""),
        partition=rolling.get("partition"),
        observed=status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 0),
    )


def partition_of(size: int, versions: Versions | None, pods: Mapping[int, Pod], now: datetime) -> int:
    """Return the lowest ordinal that may be renewed in a fleet of *size* with *pods*; *size* for nobody.

    *versions* is None when there is no StatefulSet yet.
    """
    if versions is None:
        return size
    if not versions.observed:
        return size if versions.partition is None else min(versions.partition, size)
    members = {number: pod for number, pod in pods.items() if number < size}
    if versions.current == versions.wanted and all(pod.revision == versions.wanted for pod in members.values()):
        return size
    for number in reversed(range(size)):
        pod = members.get(number)
        if pod is None or pod.revision != versions.wanted or not pod.ready:
            others = {other: one for other, one in members.items() if other != number}
            return number if _may_be_renewed(pod, others, versions, now) else number + 1
    return 0


def _may_be_renewed(pod: Pod | None, others: Mapping[int, Pod], versions: Versions, now: datetime) -> bool:
    """Tell whether *pod*, the highest that is not renewed and ready, may be of the new version, given the *others*."""
    if pod is not None and pod.revision == versions.wanted:
        return True
    if any(other.revision == versions.wanted and not other.ready for other in others.values()):
        return False
    return pod is None or not pod.ready or not any(_holds_up(other, versions, now) for other in others.values())


def _holds_up(other: Pod, versions: Versions, now: datetime) -> bool:
    if other.ready or not _is_of_before(other, versions):
        return False
    return other.since is None or now - other.since < PATIENCE


def _is_of_before(pod: Pod, versions: Versions) -> bool:
    """Tell whether *pod* is of the version before. A StatefulSet made anew knows the wanted one alone, and any other may be that."""
    return pod.revision != versions.wanted and versions.current in {pod.revision, versions.wanted}
