"""Recipients to routes: a look-up made again at each attempt, so that a changed route takes effect on mail already queued.

A table is made of the routes of one configuration and remembers what it found for each domain: applications write to the same ones again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.mail.address import domain_matches, domain_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from smtp_gateway.config.model import Route

REMEMBERED = 10_000
"""Domains whose ways are kept, some 200 octets each; beyond that all are looked up anew, so that a list of made-up domains fills nothing."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where the mail for one domain goes."""

    route: Route
    domain: str
    """The domain whose MX is asked; empty where the route names its next hops."""

    @property
    def destination(self) -> str:
        """What shares its fate: the same next hops."""
        return f"{self.route.name}/{self.domain}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Recipients of one message that go to the same next hop in one transaction."""

    way: Way
    destination: str
    recipients: tuple[str, ...]

    @property
    def route(self) -> Route:
        """The route that they take."""
        return self.way.route


class Table:
    """The routes of one configuration."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Route by *routes*, of which the last matches everything (`config.model.Config` sees to it)."""
        self._routes = routes
        self._known: dict[str, tuple[Way, str]] = {}

    def batches(self, addresses: Iterable[str]) -> tuple[Batch, ...]:
        """Divide *addresses* by next hop: by route, and by domain where the route goes to the domain's MX."""
        found: dict[str, tuple[Way, list[str]]] = {}
        for address in addresses:
            way, destination = self._way(address)
            if destination in found:
                found[destination][1].append(address)
            else:
                found[destination] = (way, [address])
        return tuple(Batch(way, destination, tuple(recipients)) for destination, (way, recipients) in found.items())

    def destinations(self, addresses: Iterable[str]) -> frozenset[str]:
        """Return the destinations of *addresses*."""
        return frozenset(self._way(address)[1] for address in addresses)

    def route_of(self, address: str) -> Route:
        """Return the first route that matches *address*."""
        return self._way(address)[0].route

    def _way(self, address: str) -> tuple[Way, str]:
        """Return the way of *address* and its destination."""
        domain = domain_of(address)
        known = self._known.get(domain)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            way = self._look_up(domain)
            known = self._known[domain] = (way, way.destination)
        return known

    def _look_up(self, domain: str) -> Way:
        route = next((route for route in self._routes[:-1] if _matches(route, domain)), self._routes[-1])
        return Way(route, "" if route.smarthosts else domain)


def _matches(route: Route, domain: str) -> bool:
    return not route.recipient_domains or any(domain_matches(pattern, domain) for pattern in route.recipient_domains)
