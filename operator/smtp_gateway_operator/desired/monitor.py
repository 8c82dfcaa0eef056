"""The PodMonitor by which the Prometheus Operator finds the pods (monitoring.coreos.com/v1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names
from smtp_gateway_operator.spec import seconds

if TYPE_CHECKING:
    from smtp_gateway_operator.names import Owner
    from smtp_gateway_operator.spec import Spec


def pod_monitors(owner: Owner, spec: Spec) -> tuple[dict[str, Any], ...]:
    """Return the PodMonitor when there is to be one; nothing otherwise. Whether anybody reads it is the cluster's matter."""
    wanted = spec.monitoring.pod_monitor
    if not wanted.enabled:
        return ()
    metadata = names.metadata(owner, owner.name)
    interval = f"{seconds(wanted.interval):.0f}s"  # Prometheus does not know every spelling of ours
    return (
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PodMonitor",
            "metadata": metadata | {"labels": dict(wanted.labels) | metadata["labels"]},
            "spec": {
                "selector": {"matchLabels": names.selector(owner.name)},
                "podMetricsEndpoints": [{"port": names.METRICS_PORT, "path": "/metrics", "interval": interval}],
            },
        },
    )
