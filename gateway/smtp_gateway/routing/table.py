"""Recipients to routes: a pure look-up, made again at each attempt so that a changed route takes effect on mail already queued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.mail.address import domain_matches, domain_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from smtp_gateway.config.model import Route


@dataclass(frozen=True, slots=True)
class Batch:
    """Recipients of one message that go to the same next hop in one transaction."""

    route: Route
    domain: str
    """The domain whose MX is asked; empty where the route names its next hops."""
    recipients: tuple[str, ...]

    @property
    def destination(self) -> str:
        """What shares its fate: the same next hops."""
        return f"{self.route.name}/{self.domain}"


def route_of(routes: Sequence[Route], address: str) -> Route:
    """Return the first route that matches *address*; the last one matches all (`config.model.Config` sees to it)."""
    domain = domain_of(address)
    return next((route for route in routes[:-1] if _matches(route, domain)), routes[-1])


def batches(routes: Sequence[Route], addresses: Iterable[str]) -> tuple[Batch, ...]:
    """Divide *addresses* by next hop: by route, and by domain where the route goes to the domain's MX."""
    found: dict[tuple[str, str], tuple[Route, list[str]]] = {}
    for address in addresses:
        route = route_of(routes, address)
        domain = "" if route.smarthosts else domain_of(address)
        found.setdefault((route.name, domain), (route, []))[1].append(address)
    return tuple(Batch(route, domain, tuple(recipients)) for (_, domain), (route, recipients) in found.items())


def _matches(route: Route, domain: str) -> bool:
    return not route.recipient_domains or any(domain_matches(pattern, domain) for pattern in route.recipient_domains)
