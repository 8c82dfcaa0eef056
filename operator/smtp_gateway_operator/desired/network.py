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
    from smtp_gateway_operator.spec import Listener, ServiceSpec


def client_service(owner: Owner, listeners: Sequence[Listener], wanted: ServiceSpec) -> dict[str, Any]:
    """Return the Service that clients connect to, reached as *wanted* says: every listener's port, ready pods only."""
    ports = [port | _node_port(listener) for port, listener in zip(_ports(listeners), listeners, strict=True)]
    service = _service(owner, owner.name, {"type": str(wanted.type), **_reach(wanted), "ports": ports})
    service["metadata"]["labels"] = wanted.labels | service["metadata"]["labels"]
    if wanted.annotations:
        service["metadata"]["annotations"] = dict(wanted.annotations)
    return service


def pods_service(owner: Owner, listeners: Sequence[Listener]) -> dict[str, Any]:
    """Return the headless Service behind the pods' own names, which resolve before a pod is ready."""
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "ports": _ports(listeners)}
    return _service(owner, names.pods_service(owner.name), spec)


def _reach(wanted: ServiceSpec) -> dict[str, Any]:
    """Return what is said about reaching the Service, and only that: the API server fills in the rest, and takes it back with the type."""
    reach: dict[str, Any] = {}
    if wanted.external:
        reach["externalTrafficPolicy"] = str(wanted.external_traffic_policy)
    if wanted.load_balancer_class is not None:
        reach["loadBalancerClass"] = wanted.load_balancer_class
    if wanted.load_balancer_source_ranges:
        reach["loadBalancerSourceRanges"] = list(wanted.load_balancer_source_ranges)
    if wanted.ip_family_policy is not None:
        reach["ipFamilyPolicy"] = str(wanted.ip_family_policy)
    if wanted.ip_families:
        reach["ipFamilies"] = [str(family) for family in wanted.ip_families]
    return reach


def _node_port(listener: Listener) -> dict[str, Any]:
    return {} if listener.node_port is None else {"nodePort": listener.node_port}


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
