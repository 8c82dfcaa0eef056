"""The addresses of the cluster's nodes and pods, as far as its nodes say them.

Read seldom, for all gateways together, and only the addresses are kept: in a large cluster the list of nodes is megabytes. An operator of
some namespaces has no right to read nodes unless it is given one; that is an answer, and no failure. It is not remembered: a refusal costs
little, and the right may be given at any moment.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING

from smtp_gateway_operator.cluster.api import NODE, ForbiddenError
from smtp_gateway_operator.open_relay import Network, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from smtp_gateway_operator.cluster.api import Cluster, Object

SELDOM = timedelta(seconds=60)
"""Between two lists of the nodes: less than between two resyncs of a gateway, so that each of them sees the nodes of its time."""


class Nodes:
    """The cluster's nodes."""

    def __init__(self, cluster: Cluster, now: Callable[[], datetime]) -> None:
        """Ask *cluster*; *now* tells the time, aware."""
        self._cluster = cluster
        self._now = now
        self._asked: datetime | None = None
        self._places: tuple[Place, ...] = ()

    async def places(self) -> tuple[Place, ...] | None:
        """Return every address of nodes and pods that is known; None when nodes may not be read. Raises a `ClusterError`."""
        now = self._now()
        if self._asked is None or now - self._asked >= SELDOM:
            try:
                self._places = places_of(await self._cluster.list(NODE, None))
            except ForbiddenError:
                return None
            self._asked = now
        return self._places


def places_of(nodes: Iterable[Object]) -> tuple[Place, ...]:
    """Return what *nodes* say of addresses: their own, and those that they give to pods."""
    return tuple(place for node in sorted(nodes, key=lambda one: str(one["metadata"]["name"])) for place in _places_of(node))


def _places_of(node: Object) -> Iterator[Place]:
    name, spec, status = node["metadata"]["name"], node.get("spec") or {}, node.get("status") or {}
    addresses = [one["address"] for one in status.get("addresses") or [] if one["type"] in {"InternalIP", "ExternalIP"}]
    # The list is absent in what a server of before dual stack wrote.
    pods = spec.get("podCIDRs") or [spec.get("podCIDR", "")]
    for said, whose in ((addresses, f"an address of node {name}"), (pods, f"the pods of node {name}")):
        yield from (Place(network, whose) for network in map(_network, said) if network is not None)


def _network(said: str) -> Network | None:
    """Return what *said* means; None when it is no address."""
    try:
        return ipaddress.ip_network(said, strict=False)
    except ValueError:  # the API server takes whatever an agent writes, and one node must not keep every gateway from being reconciled
        return None
