"""The port to a gateway's pods: ask each how it stands.

Two implementations live behind it, `tls` and its twin `memory`; one contract test holds for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from smtp_gateway_operator.names import ordinal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from smtp_gateway.config.certificate import Pair
    from smtp_gateway_operator.names import Key, Owner
    from smtp_gateway_operator.spec import PodReport

    Pod = Mapping[str, Any]


class Fleet(Protocol):
    """What the operator asks of pods."""

    async def reports(self, owner: Owner, pods: Sequence[Pod], authority: Pair) -> dict[str, PodReport | str]:
        """Ask each running pod of *pods*; return by its name its report, or one sentence why there is none.

        Never raises. All are asked at once, and each is given three seconds. *authority* is the gateway's own: it vouches for the pods
        to the operator and for the operator to the pods.
        """

    def forget(self, key: Key) -> None:
        """Let go of what is kept for a gateway that is gone; fine if there is nothing."""


def running(owner: Owner, pods: Sequence[Pod]) -> tuple[Pod, ...]:
    """Return those of *pods* that can be asked: the gateway's own, with an address, and not about to go."""
    return tuple(pod for pod in pods if is_pod_of(owner, pod["metadata"]["name"]) and _runs(pod))


def is_pod_of(owner: Owner, name: str) -> bool:
    """Tell whether *name* is one that the gateway's StatefulSet gives: a pod with the labels alone may be anybody's."""
    return ordinal(owner.name, name) is not None


def _runs(pod: Pod) -> bool:
    status = pod.get("status") or {}
    return status.get("phase") == "Running" and bool(status.get("podIP")) and not pod["metadata"].get("deletionTimestamp")
