"""Which listeners may relay for strangers without a login, and why: those are withheld until a person acknowledges the risk by its name.

No network is trusted by default, and none is taken for safe because it is private: source NAT makes clients from anywhere look as if they
were in 10.0.0.0/8. What the API does not say is not guessed: where nodes may not be read, it is said that they were not looked at.

A listener that only takes mail for some recipients' domains asks nothing of addresses, so nothing about them is a risk there. Pure.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from smtp_gateway_operator.spec import ListenerAuth, Risk, TrafficPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from smtp_gateway_operator.spec import Listener, ServiceSpec, SmtpGateway, Spec

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NARROW = {4: 24, 6: 64}
"""By version of IP, the shortest prefix of one local network: what IPv4 networks have by custom, and IPv6 ones by RFC 4291 section 2.5.4.
More than one such network is more than one neighbourhood, and whoever is let in there can send."""
NAMED = 3
"""Places of nodes that one sentence names; more would bury the first."""


class Place(NamedTuple):
    """Addresses of the cluster's own."""

    network: Network
    whose: str
    """What they are, such as `an address of node n1`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One risk of one listener."""

    listener: str
    risk: Risk
    sentence: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was found of one gateway."""

    withheld: tuple[Finding, ...] = ()
    """Risks that nobody acknowledged: their listeners are not opened."""
    acknowledged: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()
    """Listeners with networks of which nobody could tell whether they hold addresses of nodes or pods."""

    @property
    def listeners(self) -> tuple[str, ...]:
        """The listeners that are withheld."""
        return tuple(dict.fromkeys(finding.listener for finding in self.withheld))


def asks_for_nodes(spec: Spec) -> bool:
    """Tell whether it matters which addresses nodes and pods have."""
    return any(_asks_for_nodes(listener) for listener in spec.listeners)


def assess(spec: Spec, places: tuple[Place, ...] | None) -> Assessment:
    """Return what of *spec* is a risk, given the *places* of nodes and pods; None when they may not be read."""
    found = [finding for listener in spec.listeners if _trusts(listener) for finding in _findings(listener, spec.service, places)]
    acknowledged = {listener.name: listener.acknowledged_risks for listener in spec.listeners}
    return Assessment(
        withheld=tuple(one for one in found if one.risk not in acknowledged[one.listener]),
        acknowledged=tuple(one for one in found if one.risk in acknowledged[one.listener]),
        unchecked=tuple(one.name for one in spec.listeners if places is None and _asks_for_nodes(one)),
    )


def exposed(gateway: SmtpGateway, assessment: Assessment) -> SmtpGateway:
    """Return *gateway* without the listeners that are withheld; all of them may be."""
    if not assessment.withheld:
        return gateway
    listeners = tuple(one for one in gateway.spec.listeners if one.name not in assessment.listeners)
    return gateway.model_copy(update={"spec": gateway.spec.model_copy(update={"listeners": listeners})})


def _trusts(listener: Listener) -> bool:
    """Tell whether addresses decide who may send to anywhere."""
    return listener.auth is ListenerAuth.NONE and bool(listener.allowed_networks)


def _asks_for_nodes(listener: Listener) -> bool:
    return _trusts(listener) and Risk.CLUSTER_ADDRESSES not in listener.acknowledged_risks


def _findings(listener: Listener, service: ServiceSpec, places: tuple[Place, ...] | None) -> Iterator[Finding]:
    networks = [ipaddress.ip_network(one) for one in _trusted(listener)]
    if wide := [network for network in networks if network.prefixlen < NARROW[network.version]]:
        yield Finding(listener.name, Risk.WIDE_NETWORK, f"{_several(wide)} wider than /24, or /64 of IPv6")
    if inside := [place for place in places or () if any(_overlap(network, place.network) for network in networks)]:
        held = _listed(f"{_shown(place.network)}, {place.whose}" for place in inside)
        yield Finding(listener.name, Risk.CLUSTER_ADDRESSES, f"a network of clients or proxies holds {held}")
    if listener.proxy_protocol is None and service.external and service.external_traffic_policy is TrafficPolicy.CLUSTER:
        hidden = f"a Service of type {service.type} with externalTrafficPolicy Cluster hides clients' addresses behind those of nodes"
        yield Finding(listener.name, Risk.SOURCE_NAT, hidden)


def _trusted(listener: Listener) -> tuple[str, ...]:
    """Return from where clients are taken for what they seem to be: a trusted proxy may say that they are from anywhere."""
    return (*listener.allowed_networks, *(listener.proxy_protocol.trusted if listener.proxy_protocol else ()))


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _shown(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _several(networks: list[Network]) -> str:
    return f"{_listed(map(str, networks))} {'is' if len(networks) == 1 else 'are'}"


def _listed(found: Iterable[str]) -> str:
    named = list(found)
    return "; ".join([*named[:NAMED], *([f"and {len(named) - NAMED} more"] if len(named) > NAMED else [])])
