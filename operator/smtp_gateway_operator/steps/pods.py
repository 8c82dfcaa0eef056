"""A gateway's pods and volumes by their ordinals, as far as the next step depends on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.names import ordinal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Object = Mapping[str, Any]

REVISION_LABEL = "controller-revision-hash"
"""Which version of the pod template a pod was made of (`apps/v1`, StatefulSet)."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod."""

    revision: str
    ready: bool
    """Whether it takes mail, and is not about to go."""
    since: datetime | None = None
    """Since when it is, or is not, ready; None when it does not say."""


def members(gateway: str, pods: Iterable[Object]) -> dict[int, Object]:
    """Return those of *pods* that are of the gateway's StatefulSet, by their ordinals."""
    found = ((ordinal(gateway, pod["metadata"]["name"]), pod) for pod in pods)
    return {number: pod for number, pod in found if number is not None}


def pods_by_ordinal(gateway: str, pods: Iterable[Object]) -> dict[int, Pod]:
    """Return what counts of the pods of the gateway's StatefulSet, by their ordinals."""
    return {number: pod_of(pod) for number, pod in members(gateway, pods).items()}


def orphaned(gateway: str, pods: Iterable[Object]) -> int:
    """Return how many pods a fleet has by the highest ordinal of those that nobody controls: of a StatefulSet that went without them."""
    found = members(gateway, pods)
    uncontrolled = [number for number, pod in found.items() if not any(one.get("controller") for one in _owners(pod))]
    return max(uncontrolled, default=-1) + 1


def _owners(pod: Object) -> list[Mapping[str, Any]]:
    return pod["metadata"].get("ownerReferences") or []


def pod_of(pod: Object) -> Pod:
    """Return what counts of *pod*."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    readiness = conditions.get("Ready", {})
    stamp = readiness.get("lastTransitionTime") or metadata.get("creationTimestamp")
    return Pod(
        revision=(metadata.get("labels") or {}).get(REVISION_LABEL, ""),
        ready=readiness.get("status") == "True" and not metadata.get("deletionTimestamp"),
        since=datetime.fromisoformat(stamp) if stamp else None,
    )
