"""When pods that do not become ready count as stuck, by what they say of themselves. Pure.

A pod needs time: to be given a node and a volume, to fetch its image, to check a large queue after an unclean stop. One whose container
cannot even be started, or whose volume is where it cannot run, is given less, because nothing but a change by a person will help it. So
is one that should have ended and has not: its node does not do it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.status.nodes import is_stranded
from smtp_gateway_operator.steps.pods import pod_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEADLINE = timedelta(minutes=10)
"""How long a pod may take to become ready before it counts as stuck, from the moment it was not: the progress deadline that Deployments have by default."""
DEADLINE_OF_THE_HOPELESS = timedelta(minutes=1)
"""The same when its container says that it cannot even be started, or fails again and again, or when its volume is where it cannot run; and how long it may outlive its end.
The kubelet has tried three times by then: its waits are 10 and 20 seconds, and the next one is 40."""
HOPELESS = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
"""What containers wait for that seldom comes by itself (the kubelet's words)."""


def stalls_at(pods: Iterable[Mapping[str, Any]]) -> datetime | None:
    """Return when the first of *pods* that are not ready counts as stuck; None when none of them ever will."""
    deadlines = [_deadline(pod) for pod in pods]
    return min((deadline for deadline in deadlines if deadline is not None), default=None)


def _deadline(pod: Mapping[str, Any]) -> datetime | None:
    known = pod_of(pod)
    if end := pod["metadata"].get("deletionTimestamp"):  # in the future by the pod's grace
        return datetime.fromisoformat(end) + DEADLINE_OF_THE_HOPELESS
    if known.ready or known.since is None:
        return None
    containers = (pod.get("status") or {}).get("containerStatuses") or []
    waiting = [((container.get("state") or {}).get("waiting") or {}).get("reason") for container in containers]
    return known.since + (DEADLINE_OF_THE_HOPELESS if is_stranded(pod) or HOPELESS.intersection(waiting) else DEADLINE)
