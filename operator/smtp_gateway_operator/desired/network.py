"""The Services: one address for clients, and a name for each pod.

`appProtocol: tcp` tells service meshes not to guess: in SMTP the server speaks first, and a mesh that waits for the client's first
octets would wait for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway_operator.names import Owner
    from smtp_gateway_operator.spec import Listener


def client_service(owner: Owner, listeners: Sequence[Listener]) -> dict[str, Any]:
    """Return the Service that clients connect to: every listener's port, ready pods only."""
    return _service(owner, owner.name, {"type": "ClusterIP", "ports": _ports(listeners)})


def pods_service(owner: Owner, listeners: Sequence[Listener]) -> dict[str, Any]:
    """Return the headless Service behind the pods' own names, which resolve before a pod is ready."""
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "ports": _ports(listeners)}
    return _service(owner, names.pods_service(owner.name), spec)


def _service(owner: Owner, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": names.metadata(owner, name),
        "spec": spec | {"selector": names.selector(owner.name)},
    }


def _ports(listeners: Sequence[Listener]) -> list[dict[str, Any]]:
    return [
        {"name": listener.name, "port": listener.port, "targetPort": listener.port, "protocol": "TCP", "appProtocol": "tcp"}
        for listener in listeners
    ]
