"""The budget for voluntary disruptions: nodes are drained one gateway pod at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names

if TYPE_CHECKING:
    from smtp_gateway_operator.names import Owner


def disruption_budget(owner: Owner, draining: int) -> dict[str, Any]:
    """Return the PodDisruptionBudget of a fleet of which *draining* pods take no mail any more.

    `maxUnavailable` and not `minAvailable`: a gateway of one pod must not keep a node from being drained. A pod that is not ready
    may always be evicted; it serves nobody, and its queue is on a volume. Pods that drain are not ready, for days perhaps, and are counted
    out: they must not keep the nodes of the others from being drained.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": names.metadata(owner, owner.name),
        "spec": {
            "maxUnavailable": 1 + draining,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": names.selector(owner.name)},
        },
    }
