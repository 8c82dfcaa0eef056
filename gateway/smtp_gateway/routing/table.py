"""Recipients to routes: a look-up made again at each attempt, so that a changed route takes effect on mail already queued.

A table is made of the routes of one configuration and remembers what it found for each domain: applications write to the same ones again.
Who sends is part of what is remembered only where a route asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self

from smtp_gateway.mail.address import domain_matches, domain_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from smtp_gateway.config.model import Config, Route

REMEMBERED = 10_000
"""Domains, or pairs of sender and domain, whose ways are kept, some 200 octets each; beyond that all are looked up anew, so that a list of
made-up domains fills nothing."""


class Originator(Protocol):
    """Who sends a message, as the queue's entries say."""

    @property
    def sender(self) -> str:
        """The envelope's sender; empty for the null reverse-path."""

    @property
    def identity(self) -> str:
        """Whose login sent it; empty for the gateway's own notices."""


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


def answered(batches: Iterable[Batch], outcomes: Container[str]) -> tuple[Batch, ...]:
    """Return *batches* with those of their recipients alone that *outcomes* has; what is left without any is left out."""
    parts = (replace(batch, recipients=tuple(address for address in batch.recipients if address in outcomes)) for batch in batches)
    return tuple(part for part in parts if part.recipients)


class Table:
    """The routes of one configuration."""

    def __init__(self, routes: Sequence[Route], notices: Route | None = None) -> None:
        """Route by *routes*, of which the last matches everything (`config.model.Config` sees to it); *notices* is the way of notices.

        None: they go as other mail does.
        """
        self._routes = routes
        self._notices = notices
        self._asks_who_sends = notices is not None or any(route.sender_domains or route.logins for route in routes)
        self._known: dict[object, tuple[Way, str]] = {}
        """By the recipient's domain, and by who sends where that is asked."""

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the routes of *config*."""
        return cls(config.routes, next((route for route in config.routes if route.name == config.bounces.route), None))

    def batches(self, addresses: Iterable[str], by: Originator) -> tuple[Batch, ...]:
        """Divide *addresses* by next hop: by route, and by domain where the route goes to the domain's MX."""
        found: dict[str, tuple[Way, list[str]]] = {}
        for address in addresses:
            way, destination = self._way(address, by)
            if destination in found:
                found[destination][1].append(address)
            else:
                found[destination] = (way, [address])
        return tuple(Batch(way, destination, tuple(recipients)) for destination, (way, recipients) in found.items())

    def destinations(self, addresses: Iterable[str], by: Originator) -> frozenset[str]:
        """Return the destinations of *addresses*."""
        return frozenset(self._way(address, by)[1] for address in addresses)

    def route_of(self, address: str, by: Originator) -> Route:
        """Return the first route that matches *address* and who sends to it."""
        return self._way(address, by)[0].route

    def _way(self, address: str, by: Originator) -> tuple[Way, str]:
        """Return the way of *address* and its destination."""
        domain = domain_of(address)
        key = (domain, domain_of(by.sender), by.identity) if self._asks_who_sends else domain
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            way = self._look_up(domain, by)
            known = self._known[key] = (way, way.destination)
        return known

    def _look_up(self, domain: str, by: Originator) -> Way:
        own = self._notices if is_notice(by) else None
        route = own or next((route for route in self._routes[:-1] if matches(route, domain, by)), self._routes[-1])
        return Way(route, "" if route.smarthosts else domain)


def is_notice(by: Originator) -> bool:
    """Tell whether the gateway itself wrote what is sent *by* somebody: all mail of others has an identity, with a login or without."""
    return not by.sender and not by.identity


def matches(route: Route, domain: str, by: Originator) -> bool:
    """Tell whether mail to *domain* that is sent *by* somebody may take *route*: every part of its match that says something must hold.

    The null sender has no domain, so no pattern matches it: a notice takes the way of its recipient's domain alone.
    """
    return (
        _one_of(route.recipient_domains, domain)
        and _one_of(route.sender_domains, domain_of(by.sender))
        and (not route.logins or by.identity in route.logins)
    )


def _one_of(patterns: Sequence[str], domain: str) -> bool:
    return not patterns or any(domain_matches(pattern, domain) for pattern in patterns)
