"""Routes to next hops: the configured ones in order of preference, or the mail exchangers of the recipients' domain (RFC 5321 section 5.1).

Only what the DNS says for certain is permanent: no such domain, a null MX, a domain without MX and address, ourselves as the best MX.
Everything else is temporary.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from smtp_gateway.config.model import HopTls, Smarthost
from smtp_gateway.mail.address import normalise_domain
from smtp_gateway.mail.outcome import LEADS_BACK, Deferred, Failed, unreachable
from smtp_gateway.mail.reply import Reply
from smtp_gateway.resolver import Exchange, LookupFailedError, NoSuchNameError, OwnAddressError, Resolver, absolute, literal_address
from smtp_gateway.routing.preference import in_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.routing.table import Way

SMTP_PORT = 25
"""Where mail exchangers listen (RFC 5321 section 4.5.4.2)."""
EXCHANGERS = 5
"""Exchangers that one attempt may try: Exim's number of hosts (hosts_max_try), and Postfix's of addresses (smtp_mx_address_limit). A domain
may list hundreds that hang; as the order of equals is drawn anew, the next attempt tries others."""
NULL_MX = "."
"""The host of a domain that takes no mail (RFC 7505 section 3)."""

# Permanent outcomes before any next hop was asked. Enhanced codes: RFC 3463 section 3.2 and 3.5, RFC 7505 section 4.
_NO_DOMAIN = Failed(Reply(550, "5.1.2", "The recipient's domain does not exist"), local=True)
_NO_HOST = Failed(Reply(550, "5.1.2", "The recipient's domain has neither a mail exchanger nor an address"), local=True)
_NO_MAIL = Failed(Reply(556, "5.1.10", "The recipient's domain accepts no mail (null MX)"), local=True)
_NOT_AUTHENTIC = Failed(
    Reply(550, "5.7.10", "Encryption needed (REQUIRETLS): no DNSSEC vouches for the mail exchangers of the recipient's domain"), local=True
)
"""RFC 8689 section 4.2.1. It would take MTA-STS to trust them otherwise."""
_NO_ADDRESS = Failed(Reply(550, "5.1.3", "The recipient has no domain to deliver to"), local=True)


@dataclass(frozen=True, slots=True)
class MxTerms:
    """What is the same for every look-up of mail exchangers."""

    resolver: Resolver
    hostname: str
    """The gateway's own name, which is never a next hop of its own."""
    port: int = SMTP_PORT
    chance: Callable[[], float] = random.random
    """A random number in [0, 1)."""
    authentic: bool = False
    """Whether exchangers that no DNSSEC vouches for are none."""


async def next_hops(way: Way, terms: MxTerms, *, strict: bool = False) -> tuple[Smarthost, ...] | Deferred | Failed:
    """Return the next hops of *way* in the order in which they are tried, never empty; or the outcome that ends the attempt here.

    *strict* is for mail with REQUIRETLS (RFC 8689 section 4.2.1): each next hop is verified, by a name that is known for certain.
    """
    if strict:
        return await _verified_hops(way, terms)
    if way.route.smarthosts:
        return in_order(way.route.smarthosts, terms.chance)
    literal = literal_address(way.domain) if way.domain.startswith("[") else None
    if literal is not None:
        return (_hop(literal, way.route.tls, terms),) if terms.resolver.leads_away(literal) else LEADS_BACK
    if not way.domain or way.domain.startswith("["):
        return _NO_ADDRESS
    return await _by_mx(way.domain, way.route.tls, terms)


async def _verified_hops(way: Way, terms: MxTerms) -> tuple[Smarthost, ...] | Deferred | Failed:
    """Return the same, each to be verified: smarthosts are named by the configuration, and exchangers must be by a signed DNS."""
    if way.route.smarthosts:
        hops = in_order(way.route.smarthosts, terms.chance)
        return tuple(hop.model_copy(update={"tls": HopTls.VERIFY}) for hop in hops)
    route = way.route.model_copy(update={"tls": HopTls.VERIFY})
    return await next_hops(replace(way, route=route), replace(terms, authentic=True))


async def _by_mx(domain: str, tls: HopTls, terms: MxTerms) -> tuple[Smarthost, ...] | Deferred | Failed:
    try:
        exchanges = await terms.resolver.exchanges(domain)
    except NoSuchNameError:
        return _NO_DOMAIN
    except LookupFailedError as fault:
        return unreachable("4.4.3", f"Looking up the recipient's domain failed: {fault}")
    return chosen(exchanges, tls, terms) if exchanges else await _implicit(domain, tls, terms)


async def _implicit(domain: str, tls: HopTls, terms: MxTerms) -> tuple[Smarthost, ...] | Deferred | Failed:
    """Return the domain itself, if it has an address. It is asked for here, because without one the answer is permanent."""
    try:
        await terms.resolver.addresses(absolute(domain))
    except NoSuchNameError:
        return _NO_HOST
    except OwnAddressError:
        return LEADS_BACK
    except LookupFailedError as fault:
        return unreachable("4.4.3", f"Looking up the recipient's domain failed: {fault}")
    return (_hop(absolute(domain), tls, terms),)


def chosen(exchanges: tuple[Exchange, ...], tls: HopTls, terms: MxTerms) -> tuple[Smarthost, ...] | Failed:
    """Return the next hops that *exchanges* (at least one) stand for, to be spoken to under *tls*.

    Those of equal preference come in an order drawn by `MxTerms.chance`.

    When this gateway is among them, it and those that are preferred as little or less are left out (RFC 5321 section 5.1).
    """
    hosts = tuple(exchange for exchange in exchanges if exchange.host != NULL_MX)
    if not hosts:
        return _NO_MAIL
    if terms.authentic and not all(exchange.authentic for exchange in hosts):
        return _NOT_AUTHENTIC
    own = [exchange.preference for exchange in hosts if normalise_domain(exchange.host) == normalise_domain(terms.hostname)]
    better = [exchange for exchange in hosts if not own or exchange.preference < min(own)]
    better.sort(key=lambda exchange: (exchange.preference, terms.chance()))
    return tuple(_hop(exchange.host, tls, terms) for exchange in better[:EXCHANGERS]) or LEADS_BACK


def _hop(host: str, tls: HopTls, terms: MxTerms) -> Smarthost:
    """Return a mail exchanger as a next hop. `Verify` checks *host*, which is worth as much as the DNS that named it (RFC 7672 section 1.3)."""
    return Smarthost(host=host, port=terms.port, tls=tls)
