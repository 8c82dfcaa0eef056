"""How the gateway is reached: its Service, and the NetworkPolicy around its pods."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from smtp_gateway.config.habits import Model
from smtp_gateway.config.model import IpFamily, Port
from smtp_gateway.config.resource.words import Annotations, Labels, matching, without_repetition
from smtp_gateway.config.rules import Rule


class ServiceType(StrEnum):
    """How a Service is reached (Kubernetes' ServiceType, without ExternalName)."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class TrafficPolicy(StrEnum):
    """Where a connection from outside may end."""

    CLUSTER = "Cluster"
    """On any node's pod: evenly spread, and the client's address is lost behind the node's."""
    LOCAL = "Local"
    """On a pod of the node that it reached: the client's address is kept."""


class IpFamilyPolicy(StrEnum):
    """How many families of addresses a Service has."""

    SINGLE_STACK = "SingleStack"
    PREFER_DUAL_STACK = "PreferDualStack"
    REQUIRE_DUAL_STACK = "RequireDualStack"


def _is_network(value: str) -> bool:
    """Tell whether *value* is one to CEL too, which knows neither zones nor IPv4 within IPv6: no client has such an address here."""
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        return False
    return "/" in value and "%" not in value and not (isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped)


Network = Annotated[
    str,
    Field(max_length=43),
    Rule("isCIDR(self) && cidr(self) == cidr(self).masked()", "must be a network such as 192.0.2.0/24, without host bits", _is_network),
]


class ServiceSpec(Model):
    """The Service that applications send mail to."""

    type: ServiceType = Field(
        default=ServiceType.CLUSTER_IP,
        description="ClusterIP: reached within the cluster. NodePort: on a port of every node too. LoadBalancer: by a load balancer of the cluster's provider too. Where listeners want a login, clients log in wherever they come from.",
    )
    annotations: Annotations = Field(
        default={}, description="Annotations of the Service, such as those that a cloud's load balancers read."
    )
    labels: Labels = Field(default={}, description="Labels of the Service, besides the operator's own.")
    load_balancer_class: (
        Annotated[
            str,
            Field(max_length=316),
            matching(
                r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$",
                "must be a name such as example.com/internal",
            ),
        ]
        | None
    ) = Field(default=None, description="Which load balancer implementation serves the Service; the cluster's default one when absent.")
    load_balancer_source_ranges: Annotated[tuple[Network, ...], Field(max_length=64)] = Field(
        default=(),
        description="Networks from which the load balancer takes connections, where it can tell; all of them when empty.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    external_traffic_policy: TrafficPolicy = Field(
        default=TrafficPolicy.CLUSTER,
        description="For NodePort and LoadBalancer. Cluster: any pod takes a connection, and the client's address in logs is a node's. Local: only pods of the node that was reached, and the address is the client's.",
    )
    ip_families: Annotated[
        tuple[IpFamily, ...],
        Field(max_length=2),
        Rule("self.all(one, self.exists_one(other, other == one))", "each family once", lambda found: without_repetition(list(found))),
    ] = Field(
        default=(),
        description="Families of the Service's addresses, the first one first; as the cluster has them when empty. The first one cannot be changed later.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    ip_family_policy: IpFamilyPolicy | None = Field(
        default=None,
        description="Whether the Service has addresses of one family, of both where the cluster can, or of both or none; SingleStack when absent.",
    )

    @property
    def external(self) -> bool:
        """Whether the Service is reached from outside the cluster."""
        return self.type != ServiceType.CLUSTER_IP


LOAD_BALANCER_RULE = Rule(
    "self.type == 'LoadBalancer' || (!has(self.loadBalancerClass) && size(self.loadBalancerSourceRanges) == 0)",
    "loadBalancerClass and loadBalancerSourceRanges need type LoadBalancer",
    lambda service: service.type == ServiceType.LOAD_BALANCER or not (service.load_balancer_class or service.load_balancer_source_ranges),
)
LOAD_BALANCER_CLASS_RULE = Rule(
    # Not with the optional `self.?loadBalancerClass`: the API server takes its comparison to cost without bound.
    "self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || (has(self.loadBalancerClass) == has(oldSelf.loadBalancerClass)"
    " && (!has(self.loadBalancerClass) || self.loadBalancerClass == oldSelf.loadBalancerClass))",
    "the class of a load balancer cannot be changed: make it a ClusterIP in between",
)
TRAFFIC_RULE = Rule(
    "self.type != 'ClusterIP' || self.externalTrafficPolicy == 'Cluster'",
    "externalTrafficPolicy Local needs type NodePort or LoadBalancer",
    lambda service: service.external or service.external_traffic_policy == TrafficPolicy.CLUSTER,
)
FAMILIES_RULE = Rule(
    "size(self.ipFamilies) < 2 || (has(self.ipFamilyPolicy) && self.ipFamilyPolicy != 'SingleStack')",
    "two ipFamilies need ipFamilyPolicy PreferDualStack or RequireDualStack",
    lambda service: len(service.ip_families) < 2 or service.ip_family_policy not in (None, IpFamilyPolicy.SINGLE_STACK),  # noqa: PLR2004 there are two families
)


class NetworkPolicySpec(Model):
    """The NetworkPolicy around the pods: what may reach them, and what they may reach."""

    enabled: bool = Field(
        default=False,
        description="Let only the ports in that the gateway listens on, and only those out that DNS and its next hops have, with 587 and 2525 beside a smarthost's port 25, which tell a blocked port from a server that is away. It takes a network that enforces policies; many do not, and say nothing.",
    )
    extra_egress_ports: Annotated[tuple[Port, ...], Field(max_length=32)] = Field(
        default=(),
        description="Further TCP ports that pods may connect to: where a next hop is a Service, the port of its pods, because most networks judge connections after the Service's translation.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


EXTRA_PORTS_RULE = Rule(
    "self.enabled || size(self.extraEgressPorts) == 0",
    "extraEgressPorts need enabled: true",
    lambda policy: policy.enabled or not policy.extra_egress_ports,
)
