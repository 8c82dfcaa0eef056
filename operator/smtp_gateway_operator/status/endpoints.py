"""Where applications send mail: each listener inside the cluster, and from outside as far as the Service says. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from smtp_gateway_operator.names import Key
    from smtp_gateway_operator.spec import Listener

    Service = Mapping[str, Any]

SHOWN = 32
"""External addresses in the status: what its schema allows, and more than anybody reads."""


def endpoints(key: Key, listeners: Sequence[Listener], service: Service | None) -> list[dict[str, Any]]:
    """Return the endpoints of *listeners*, given the Service as it is now; None when there is none yet."""
    outside, ports = _balanced(service or {}), _node_ports(service or {})
    return [
        {"name": listener.name, "address": f"{key.name}.{key.namespace}.svc", "port": listener.port}
        | ({"externalAddresses": outside} if outside else {})
        | ({"nodePort": ports[listener.port]} if listener.port in ports else {})
        for listener in listeners
    ]


def _balanced(service: Service) -> list[str]:
    """Return the load balancer's addresses or names; a Service that is of another type by now may still have them in its status."""
    if service.get("spec", {}).get("type") != "LoadBalancer":
        return []
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [one.get("hostname") or one["ip"] for one in ingress if one.get("hostname") or one.get("ip")][:SHOWN]


def _node_ports(service: Service) -> dict[int, int]:
    """Return the nodes' ports by the Service's own."""
    return {port["port"]: port["nodePort"] for port in service.get("spec", {}).get("ports") or [] if port.get("nodePort")}
