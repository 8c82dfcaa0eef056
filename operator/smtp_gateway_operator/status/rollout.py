"""How far the pods are: read from the StatefulSet, and for those that are not ready, from the pods themselves.

Messages hold reasons, exit codes and why a gateway could not start, and no counters or durations, so that they change only when something did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.names import CONTAINER
from smtp_gateway_operator.status.nodes import is_stranded, unready_node, unscheduled
from smtp_gateway_operator.status.stalling import stalls_at
from smtp_gateway_operator.steps.pods import members, pod_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

TOLD = 3
"""Pods whose trouble is told; more would bury the first."""
LENGTH = 250
"""Characters of one pod's trouble: a scheduler's message names every node."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """How many pods there should be, and how many there are."""

    wanted: int
    pods: int = 0
    ready: int = 0
    settled: bool = False
    """Whether as many pods as wanted run the current version and are ready, and no other pod is left."""
    troubles: tuple[str, ...] = ()
    """What keeps pods from being ready, as far as they say."""
    manned: bool = False
    """Whether as many pods as wanted run the current version and are ready; others may still be on their way out."""
    draining: tuple[str, ...] = ()
    """The pods that go when they are empty, the first to go first."""
    stalls_at: datetime | None = None
    """When the first pod that should be ready, and is not, counts as stuck."""
    stranded: bool = False
    """Whether a pod cannot run where its volume is."""
    outdated: frozenset[str] = frozenset()
    """Pods of another version than the current one, which are to be replaced."""

    @property
    def serves(self) -> bool:
        """Whether mail is taken by as many pods as wanted."""
        return self.settled or self.manned

    def is_stuck(self, now: datetime) -> bool:
        """Tell whether a pod should be ready by *now* and is not."""
        return self.stalls_at is not None and now >= self.stalls_at

    @property
    def sentence(self) -> str:
        """Say how many pods are ready, and what is wrong with the others."""
        told = [*self.troubles[:TOLD], *(["..."] if len(self.troubles) > TOLD else [])]
        return "; ".join([f"{self.ready} of {self.wanted} pods ready", *told])


def rollout_of(
    wanted: int, workload: Mapping[str, Any] | None, pods: Sequence[Mapping[str, Any]], claims: Collection[Mapping[str, Any]] = ()
) -> Rollout:
    """Return how far *workload*, a StatefulSet that should have *wanted* pods, is; *claims* are of the pods' volumes."""
    if workload is None:
        return Rollout(wanted)
    status, size = workload.get("status") or {}, workload["spec"].get("replicas", 1)
    found = members(workload["metadata"]["name"], pods)
    draining = {number: pod for number, pod in found.items() if 0 < wanted <= number < size}
    serving = [pod_of(pod) for number, pod in found.items() if number < wanted]
    ready = sum(pod.ready for pod in serving) if draining else status.get("readyReplicas", 0)
    current = status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 0)
    counts = (size, status.get("replicas", 0), status.get("updatedReplicas", 0), ready)
    settled = current and all(count == wanted for count in counts)
    renewed = [pod for pod in serving if pod.ready and pod.revision == status.get("updateRevision")]
    manned = current and 0 < wanted == len(renewed)
    return Rollout(
        wanted,
        pods=status.get("replicas", 0),
        ready=wanted if manned else ready,  # the StatefulSet counts a moment after its pods
        settled=settled,
        troubles=tuple(f"{name}: {trouble}" for name, trouble in _troubles((pod for pod in pods if pod not in draining.values()), claims)),
        manned=manned,
        draining=tuple(f"{workload['metadata']['name']}-{number}" for number in reversed(range(wanted, size))) if wanted else (),
        stalls_at=None if settled else stalls_at(pod for number, pod in found.items() if number < wanted),
        stranded=any(is_stranded(pod) for number, pod in found.items() if number < wanted),
        outdated=_outdated(found.values(), status.get("updateRevision", "")),
    )


def _outdated(pods: Iterable[Mapping[str, Any]], wanted: str) -> frozenset[str]:
    """Return the names of *pods* that are not of the *wanted* version; nobody's when that is not known."""
    return frozenset(pod["metadata"]["name"] for pod in pods if wanted and pod_of(pod).revision != wanted)


def _troubles(pods: Iterable[Mapping[str, Any]], claims: Collection[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return by name what keeps pods from being ready, in the order of their names."""
    troubles = [(pod["metadata"]["name"], _trouble(pod, claims)[:LENGTH]) for pod in pods]
    return sorted((name, trouble) for name, trouble in troubles if trouble)


def _trouble(pod: Mapping[str, Any], claims: Collection[Mapping[str, Any]]) -> str:
    """Return why the pod is not ready; empty when it is, or does not say."""
    status = pod.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    if conditions.get("Ready", {}).get("status") == "True":
        return ""
    if pod["metadata"].get("deletionTimestamp"):
        return ", ".join(["Terminating", *filter(None, [unready_node(pod)])])
    for container in status.get("containerStatuses") or []:
        if trouble := _container_trouble(container):
            return trouble
    return unscheduled(pod, claims) or unready_node(pod) or str(status.get("reason") or "")


def _container_trouble(container: Mapping[str, Any]) -> str:
    state, last = container.get("state") or {}, (container.get("lastState") or {}).get("terminated")
    ended = state.get("terminated") or last
    # "PodInitializing" and "ContainerCreating" are no trouble, but say what is waited for.
    reasons = [state["waiting"].get("reason", "Waiting")] if "waiting" in state else []
    if ended:
        reasons.append(f"{ended.get('reason', 'Terminated')} with exit code {ended.get('exitCode')}{_last_word(container, ended)}")
    if not reasons and "running" in state and not container.get("ready"):
        reasons.append("not ready")
    return ", ".join(reasons)


def _last_word(container: Mapping[str, Any], ended: Mapping[str, Any]) -> str:
    """Return what our own container said last, which is why it could not start; what others say may be new each time."""
    said = " ".join(str(ended.get("message") or "").split()) if container.get("name") == CONTAINER else ""
    return f": {said}" if said else ""
