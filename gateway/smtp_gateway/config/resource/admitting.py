"""Who is let in: proxies that may say whose connection they forward, and how many connections one client may have."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from smtp_gateway.config.habits import Model
from smtp_gateway.config.resource.exposure import Network, TrafficPolicy
from smtp_gateway.config.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.config.resource.exposure import ServiceSpec
    from smtp_gateway.config.resource.listening import Listener
    from smtp_gateway.config.resource.storage import LimitsSpec

PER_CLIENT = 50
"""Connections from one client network by default, as Postfix has it (smtpd_client_connection_count_limit): an application's pool is smaller,
and twenty clients that take all they get leave room for others."""

ProxyNetwork = Annotated[
    Network,
    Rule(
        "!isCIDR(self) || cidr(self).prefixLength() > 0",
        "must not be the whole Internet: anybody could claim any address",
        lambda value: ipaddress.ip_network(value).prefixlen > 0,
    ),
]


class ProxyProtocol(Model):
    """The PROXY protocol, versions 1 and 2: how a load balancer says whose connection it forwards."""

    trusted: Annotated[tuple[ProxyNetwork, ...], Field(min_length=1, max_length=64)] = Field(
        description="Networks of the proxies. Each of their connections must begin with a PROXY header, and the client's address in it counts everywhere. Others are served as themselves, and a header from them is refused.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


def connections_per_client(limits: LimitsSpec, service: ServiceSpec, listeners: Sequence[Listener]) -> int | None:
    """Return the ceiling for one client network; None where nobody chose one and the nodes' addresses stand for everybody's.

    A Service that is reached from outside with externalTrafficPolicy Cluster hides its clients behind the nodes; a ceiling for each would
    be one for all of them together.
    """
    if limits.connections_per_client is not None:
        return limits.connections_per_client
    hidden = service.external and service.external_traffic_policy == TrafficPolicy.CLUSTER
    return None if hidden and any(one.proxy_protocol is None for one in listeners) else PER_CLIENT
