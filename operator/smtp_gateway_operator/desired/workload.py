"""The pods: a StatefulSet, because each pod has a queue of its own on a volume of its own.

The pod template holds what only a new pod can take up: image, ports, mounts, probes. Everything else reaches running pods through
the mounted configuration, so nothing in here may depend on logins, routes or limits: a change of those restarts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names
from smtp_gateway_operator.desired.placement import placement, pod_metadata, resources
from smtp_gateway_operator.desired.volumes import (
    ADMIN_FOLDER,
    CONFIG_FOLDER,
    SPOOL_FOLDER,
    TEMPORARY,
    TLS_FOLDER,
    claim_template,
    mounts,
    volumes,
)
from smtp_gateway_operator.spec import ADMIN_PORT, HTTP_PORT
from smtp_gateway_operator.steps.scaling import at_rest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway_operator.names import Owner
    from smtp_gateway_operator.spec import Listener, Spec
    from smtp_gateway_operator.steps.scaling import Step

USER = 65532
"""The numeric non-root user that minimal images have by convention; numeric, so that the kubelet can check it."""
GRACE = 60
"""Seconds to finish sessions and attempts in flight after SIGTERM. What is left is on the volume."""
PRE_STOP = 2
"""Seconds before SIGTERM, in which the nodes learn to send new connections elsewhere."""
ANNOTATIONS = {
    "kubectl.kubernetes.io/default-container": names.CONTAINER,
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(HTTP_PORT),
    "prometheus.io/path": "/metrics",
    # Otherwise the cluster autoscaler takes no node away that has a pod with an emptyDir: there might be something in it.
    "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": TEMPORARY,
}
"""Annotations of the pods."""

_ADMIN = ("--admin-tls", ADMIN_FOLDER, "--admin-port", str(ADMIN_PORT), "--pod-name", "$(POD_NAME)")
"""The kubelet puts the pod's name in the place of the variable."""


@dataclass(frozen=True, slots=True)
class Images:
    """What the operator was installed with: the image that pods run, and where the operator runs itself."""

    gateway: str
    operator_namespace: str = ""
    """Empty outside a cluster."""


def stateful_set(owner: Owner, spec: Spec, images: Images, step: Step | None = None) -> dict[str, Any]:
    """Return the StatefulSet as of *step*, by default at rest. Volumes are retained when it shrinks or goes: they may hold mail."""
    step = step or at_rest(spec.replicas)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": names.metadata(owner, owner.name),
        "spec": {
            "replicas": step.size,
            "serviceName": names.pods_service(owner.name),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": step.partition}},
            "selector": {"matchLabels": names.selector(owner.name)},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": {"metadata": pod_metadata(owner, spec.pod_template, ANNOTATIONS), "spec": _pod(owner, spec, images)},
            "volumeClaimTemplates": [claim_template(owner, spec)],
        },
    }


def _pod(owner: Owner, spec: Spec, images: Images) -> dict[str, Any]:
    return {
        "serviceAccountName": owner.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
            # Ports such as 587 without a capability; a safe sysctl of the pod's own network namespace.
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        **placement(owner, spec.pod_template),
        "containers": [_container(spec, images)],
        "volumes": volumes(owner, spec),
    }


def _container(spec: Spec, images: Images) -> dict[str, Any]:
    folders = ["--config", CONFIG_FOLDER, "--tls", TLS_FOLDER, "--spool", SPOOL_FOLDER]
    return {
        "name": names.CONTAINER,
        "image": images.gateway,
        "args": ["run", *folders, "--http-port", str(HTTP_PORT), *_ADMIN],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
        "ports": _ports(spec.listeners),
        # Five minutes to start, because a large queue is checked after an unclean stop; then half a minute of silence is death.
        "startupProbe": _probe("/livez") | {"periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 150},
        "livenessProbe": _probe("/livez") | {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "readinessProbe": _probe("/readyz") | {"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2},
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP}}},
        "resources": resources(spec.pod_template),
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": mounts(),
    }


def _ports(listeners: Sequence[Listener]) -> list[dict[str, Any]]:
    """Name container ports after their numbers: a listener can be renamed without a restart, and no name clashes with ours."""
    ports = [{"name": f"smtp-{listener.port}", "containerPort": listener.port, "protocol": "TCP"} for listener in listeners]
    own = {names.METRICS_PORT: HTTP_PORT, "https-admin": ADMIN_PORT}
    return [*ports, *({"name": name, "containerPort": port, "protocol": "TCP"} for name, port in own.items())]


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http-metrics"}}
