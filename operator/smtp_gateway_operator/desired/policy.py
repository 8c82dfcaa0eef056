"""The NetworkPolicy around the pods: its ports are those that the gateway's features need, and follow them.

In come mail (from anywhere: who may send is decided by the listeners), metrics, and the operator alone on the admin port. Out go DNS, and
the ports of next hops and of token endpoints, to anywhere: an MX may have any address. Of a smarthost on port 25 also those by which a
probe finds out that the network blocks 25. A network that does not enforce policies ignores it
without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names
from smtp_gateway_operator.spec import ADMIN_PORT, BESIDE_PORT_25, HTTP_PORT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway_operator.names import Owner
    from smtp_gateway_operator.spec import Grant, Route, Spec

DNS_PORTS = (53, 5353)
"""What resolvers answer on: 53 (RFC 1035), and 5353 where the pods behind the cluster's DNS Service listen, as on OpenShift."""
SMTP_PORT = 25
"""Where the exchangers of a domain listen (RFC 5321 section 4.5.4.2)."""
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""Which the API server puts on every namespace."""


def network_policy(owner: Owner, spec: Spec, operator_namespace: str, grants: Iterable[Grant] = ()) -> dict[str, Any]:
    """Return the NetworkPolicy of the pods, which ask for access tokens by *grants*.

    *operator_namespace* is where the operator runs; empty when that is outside the cluster.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": names.metadata(owner, owner.name),
        "spec": {
            "podSelector": {"matchLabels": names.selector(owner.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                # A rule without ports would let everything in.
                *([{"ports": _tcp(listener.port for listener in spec.listeners)}] if spec.listeners else []),
                {"ports": _tcp([HTTP_PORT])},
                *([{"ports": _tcp([ADMIN_PORT]), "from": [_operator(operator_namespace)]}] if operator_namespace else []),
            ],
            "egress": [
                {"ports": [{"port": port, "protocol": protocol} for port in DNS_PORTS for protocol in ("UDP", "TCP")]},
                {"ports": _tcp(sorted({*_hop_ports(spec), *(grant.port for grant in grants)}))},
            ],
        },
    }


def _operator(namespace: str) -> dict[str, Any]:
    """Return the operator's pods: both selectors in one item, so that both must hold."""
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: namespace}},
        "podSelector": {"matchLabels": {names.NAME_LABEL: names.OPERATOR}},
    }


def _hop_ports(spec: Spec) -> set[int]:
    """Return the ports of next hops, and what was added by hand."""
    return {port for route in spec.routes for port in _ports_of(route)}.union(spec.network_policy.extra_egress_ports)


def _ports_of(route: Route) -> set[int]:
    """Return the ports at which the next hops of *route* are asked."""
    if not route.smarthosts:
        return {SMTP_PORT}
    ports = {port for hop in route.smarthosts for port in (hop.port, *hop.alternate_ports)}
    return ports.union(BESIDE_PORT_25) if any(hop.port == SMTP_PORT for hop in route.smarthosts) else ports


def _tcp(ports: Iterable[int]) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"} for port in ports]
