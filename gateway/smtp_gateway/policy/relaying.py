"""On which terms a client may send: decided once, when it connects, by the listener and by where the client comes from.

| listener | client | MAIL | RCPT |
|---|---|---|---|
| `auth: Required` | any | 530 before a login | anybody |
| `auth: None` | in an allowed network | taken | anybody |
| `auth: None` with recipient domains | any other | taken | in those domains; others 550 |
| `auth: None` without | any other | 550 before a login | anybody |

A login lifts every restriction, as on any other listener. Addresses that cannot be understood are in no network: what is not known is not
trusted. What a configuration says is worked out once, when it is loaded. Pure, but for `Access`, which holds the listeners in force.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from smtp_gateway.config.model import ListenerAuth, ListenerTls
from smtp_gateway.mail import reply
from smtp_gateway.mail.address import normalise_domain
from smtp_gateway.mail.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from smtp_gateway.config.model import Listener

CLIENT_NOT_ALLOWED = Reply(550, "5.7.1", "Relaying denied: this network sends only with a login")
"""To MAIL from a stranger, where nothing is taken from strangers. 550 and not 554: RFC 5321 section 4.3.2 has it for MAIL and RCPT."""
RECIPIENT_NOT_ALLOWED = Reply(550, "5.7.1", "Relaying denied: this network sends only to some domains without a login")
"""To RCPT from a stranger, for a domain that is not allowed."""

_ROUTING = frozenset("@%!")
"""What divides a local part that is an address itself (`user%elsewhere@here`, RFC 1123 section 5.2.16): the server
behind might relay by it, so that strangers would get anywhere through the allowed domain."""


@dataclass(frozen=True, slots=True)
class Domains:
    """Domains, looked up by their names and not one after the other."""

    named: frozenset[str]
    beneath: frozenset[str]
    """Domains beneath which every one is meant."""

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Self:
        """Return the domains that some of *patterns* means, in the sense of `domain_matches`."""
        normal = [normalise_domain(pattern) for pattern in patterns]
        named = frozenset(pattern for pattern in normal if not pattern.startswith("*."))
        return cls(named, frozenset(pattern.removeprefix("*.") for pattern in normal if pattern not in named))

    def __contains__(self, domain: str) -> bool:
        """Tell whether *domain* is one of them."""
        name = normalise_domain(domain)
        if name in self.named:
            return True
        while self.beneath and "." in name:
            name = name.partition(".")[2]
            if name in self.beneath:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms one client sends, as long as it has not logged in."""

    encrypted: bool = True
    """Whether nothing is taken from it in the clear."""
    starttls: bool = True
    """Whether it may ask for TLS."""
    refusal: Reply | None = reply.AUTHENTICATION_REQUIRED
    """What its transactions are refused with; None when they are not."""
    domains: Domains | None = None
    """Domains that it may send to; None for all."""
    identity: str | None = None
    """Who it is in logs, metrics and the order of delivery: the listener, because there may be as many addresses as there are clients. No
    Secret can have that name."""


WITH_LOGIN = Terms()
"""Nothing without a login under TLS."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What one listener offers."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    inside: Terms
    """The terms of clients in one of the networks."""
    outside: Terms

    @classmethod
    def of(cls, listener: Listener) -> Self:
        """Return what *listener* offers."""
        if listener.auth is ListenerAuth.REQUIRED:
            return cls((), WITH_LOGIN, WITH_LOGIN)
        encrypted = listener.tls in {ListenerTls.START_TLS, ListenerTls.IMPLICIT}
        inside = Terms(encrypted, listener.tls is not ListenerTls.NONE, None, None, f"listener/{listener.name}")
        if listener.allowed_recipient_domains:
            outside = replace(inside, domains=Domains.of(listener.allowed_recipient_domains))
        else:
            outside = replace(inside, refusal=CLIENT_NOT_ALLOWED, identity=None)
        return cls(listener.allowed_networks, inside, outside)

    def terms(self, address: str) -> Terms:
        """Return the terms of a client at *address*; IPv4 that arrived as IPv6 (RFC 4291 section 2.5.5.2) is IPv4."""
        if not self.networks:
            return self.outside
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return self.outside
        mapped = known.ipv4_mapped if isinstance(known, ipaddress.IPv6Address) else None
        return self.inside if any((mapped or known) in network for network in self.networks) else self.outside


def recipient(domains: Domains, address: str) -> Reply | None:
    """Refuse a forward-path of which the last server is not in *domains*."""
    local, _, domain = address.rpartition("@")
    return None if domain in domains and _ROUTING.isdisjoint(local) else RECIPIENT_NOT_ALLOWED


class Access:
    """The listeners in force, by port; `reconfigure` replaces them for sessions that begin after it."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        """Know *listeners*."""
        self.reconfigure(listeners)

    def reconfigure(self, listeners: Sequence[Listener]) -> None:
        """Know *listeners* instead."""
        self._openings = {listener.port: Opening.of(listener) for listener in listeners}

    def terms(self, port: int, address: str) -> Terms:
        """Return the terms of a client at *address* on the listener of *port*.

        A port that no listener has any more, and that is open until the next start, takes nothing without a login.
        """
        opening = self._openings.get(port)
        return WITH_LOGIN if opening is None else opening.terms(address)
