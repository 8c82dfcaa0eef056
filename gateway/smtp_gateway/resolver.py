"""Names to addresses: the DNS for the world's mail exchangers, the system's resolver for configured next hops.

A domain's MX and the hosts it names are absolute names and are asked for with dnspython: a pod's `/etc/resolv.conf` has
`ndots:5`, so that the system's resolver would ask for `example.com.default.svc.cluster.local` first. A configured next hop such as
`mx.corp.svc` lives by those search domains, so it goes to `getaddrinfo`. The form of the name decides, as DNS itself would have it:
with a trailing dot it is absolute.

What can go wrong is one of two errors: `NoSuchNameError` when the DNS says that there is nothing, `LookupFailedError` when it did not say.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.rdatatype
import dns.resolver

from smtp_gateway.config.model import IpFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

PATIENCE = 20.0
"""Seconds for one question, repetitions included; resolv.conf's own default is 5 s, twice, for each server."""


_ALL_FAMILIES = frozenset(IpFamily)
_RECORDS = {IpFamily.IPV4: "A", IpFamily.IPV6: "AAAA"}
_SOCKETS = {IpFamily.IPV4: socket.AF_INET, IpFamily.IPV6: socket.AF_INET6}


class NoSuchNameError(Exception):
    """The DNS answered that there is no such name, or nothing of the kind that mail needs at it."""


class LookupFailedError(Exception):
    """The DNS gave no usable answer: SERVFAIL, a timeout, no server. Another time it may."""


class OwnAddressError(Exception):
    """The DNS says that the host is this one, or none: mail for it would come back, or go nowhere."""


class NoSuchFamilyError(LookupFailedError):
    """There are addresses, but of a family only that is turned off, which is the configuration's word and not the DNS's."""


@dataclass(frozen=True, slots=True)
class Nameserver:
    """One server to ask instead of those in `/etc/resolv.conf`."""

    address: str
    port: int = 53


@dataclass(frozen=True, slots=True, order=True)
class Exchange:
    """One mail exchanger of a domain (RFC 5321 section 5.1)."""

    preference: int
    """The lower, the sooner it is tried."""
    host: str
    """An absolute name, with its trailing dot; `.` alone is the null MX (RFC 7505)."""
    authentic: bool = field(default=False, compare=False)
    """Whether the resolver says that it validated the answer by DNSSEC (the AD bit, RFC 4035 section 3.2.3)."""


_NOWHERE = ipaddress.ip_network("0.0.0.0/8")
"""This network (RFC 1122 section 3.2.1.3): on most systems its addresses are the host's own."""


def leads_away(address: str) -> bool:
    """Tell whether mail may go to *address* because the DNS says so: one of another host, as far as that can be told.

    Not loopback and unspecified addresses, link-local ones (a cloud's metadata server has one), multicast and reserved ones, and those
    that this host has. Private addresses may be: inside networks mail exchangers have them. docs/decisions/0032 argues it.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if isinstance(ip, ipaddress.IPv4Address) and (ip in _NOWHERE or ip.is_reserved):
        return False
    return not (ip.is_loopback or ip.is_unspecified or ip.is_link_local or ip.is_multicast or is_own(str(ip)))


def is_own(address: str) -> bool:
    """Tell whether this host has *address*: the system then gives it to a socket that leads there. Nothing is sent (UDP)."""
    try:
        with socket.socket(_SOCKETS[family_of(address)], socket.SOCK_DGRAM) as towards:
            towards.setblocking(False)  # noqa: FBT003 the standard library's way
            towards.connect((address, 25))
            return ipaddress.ip_address(towards.getsockname()[0]) == ipaddress.ip_address(address)
    except OSError:  # no such family, or no way there
        return False


class Resolver:
    """Asks the DNS. Holds no state but its settings, which it reads at the first question."""

    def __init__(
        self,
        nameserver: Nameserver | None = None,
        patience: float = PATIENCE,
        families: Collection[IpFamily] = tuple(IpFamily),
        leads_away: Callable[[str], bool] = leads_away,
    ) -> None:
        """Ask *nameserver*, or those of the system when it is None, for at most *patience* seconds a question.

        Addresses are only those of *families*; *leads_away* tells which of those in the DNS mail may go to.
        """
        self._families = frozenset(families)
        self.leads_away = leads_away
        self._nameserver = nameserver
        self._patience = patience
        self._dns: dns.asyncresolver.Resolver | None = None

    def only(self, families: Collection[IpFamily]) -> Resolver:
        """Return a resolver whose addresses are those of *families*; this one when that changes nothing."""
        return self if self._families == set(families) else Resolver(self._nameserver, self._patience, families, self.leads_away)

    async def exchanges(self, domain: str) -> tuple[Exchange, ...]:
        """Return the MX records of *domain*, most preferred first; empty when it exists without any.

        Raises `NoSuchNameError` when the domain does not exist, `LookupFailedError` when nobody could say.
        """
        answer = await self._ask(absolute(domain), "MX")
        authentic = bool(answer.response.flags & dns.flags.AD)
        return tuple(sorted(Exchange(record.preference, record.exchange.to_text(), authentic) for record in answer))

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Return the addresses of *host*: an address itself, an absolute name (trailing dot), or a name for the system's resolver.

        Raises `NoSuchNameError` when it has none, `LookupFailedError` when nobody could say, and `OwnAddressError` for an absolute name
        whose addresses all lead back here.
        """
        literal = literal_address(host)
        if literal is not None:
            return self._of_families(host, (literal,))
        return await (self._addresses_by_dns(host) if host.endswith(".") else self._addresses_by_system(host))

    async def _addresses_by_dns(self, host: str) -> tuple[str, ...]:
        """Ask for A and AAAA at once; one kind that cannot be had does not spoil the other.

        What is turned off is not asked for, because its answers may be what is wrong, unless there is nothing else: nobody may be told
        for good that a host has no address. Addresses that lead nowhere are left out (`leads_away`).
        """
        found = await self._records(host, self._families)
        if not found and (off := _ALL_FAMILIES - self._families):
            found = self._of_families(host, await self._records(host, off))
        if not found:
            message = f"{host} has no address"
            raise NoSuchNameError(message)
        away = tuple(address for address in found if self.leads_away(address))
        if not away:
            message = f"{host} is this host, or none: {', '.join(found)}"
            raise OwnAddressError(message)
        return away

    async def _records(self, host: str, families: Collection[IpFamily]) -> tuple[str, ...]:
        """Return the addresses of *families*, IPv4 first; empty when the host exists without any.

        Raises what the first failure was when none of them leads away: nobody can say then that there is no other.
        """
        kinds = [kind for family, kind in _RECORDS.items() if family in families]
        answers = await asyncio.gather(*(self._ask(host, kind) for kind in kinds), return_exceptions=True)
        found = tuple(record.to_text() for answer in answers if not isinstance(answer, BaseException) for record in answer)
        if not any(self.leads_away(address) for address in found):
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
        return found

    def _of_families(self, host: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of *addresses* that may be used. Raises `NoSuchFamilyError` when there are some and none of them may."""
        if self._families == _ALL_FAMILIES:
            return addresses
        found = tuple(address for address in addresses if family_of(address) in self._families)
        if addresses and not found:
            message = f"{host} has no address of {' or '.join(sorted(self._families))}, and others are turned off"
            raise NoSuchFamilyError(message)
        return found

    async def _addresses_by_system(self, host: str) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        family = _SOCKETS[next(iter(self._families))] if len(self._families) == 1 else socket.AF_UNSPEC
        try:
            async with asyncio.timeout(self._patience):
                found = await loop.getaddrinfo(host, None, family=family, type=socket.SOCK_STREAM)
        except socket.gaierror as fault:
            # EAI_NONAME may mean that a Service has not been created yet; the caller decides what a missing next hop means.
            kind = NoSuchNameError if fault.errno in _NO_NAME else LookupFailedError
            message = f"{host}: {fault.strerror}"
            raise kind(message) from fault
        except (OSError, UnicodeError) as fault:  # TimeoutError is an OSError; UnicodeError: a label that is empty or too long
            message = f"{host}: {fault or 'timed out'}"
            raise LookupFailedError(message) from fault
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer:
        """Ask for records of *kind* at the absolute *name*; none is an empty answer."""
        resolver = await self._ready()
        try:
            question = dns.name.from_text(name)
            return await resolver.resolve(question, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as fault:
            message = f"{name} does not exist"
            raise NoSuchNameError(message) from fault
        except (dns.exception.DNSException, OSError, UnicodeError) as fault:
            message = f"{name} {kind}: {fault}"
            raise LookupFailedError(message) from fault

    async def _ready(self) -> dns.asyncresolver.Resolver:
        """Read the settings in a thread, because `/etc/resolv.conf` is a file."""
        if self._dns is None:
            self._dns = await asyncio.to_thread(self._configure)
        return self._dns

    def _configure(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=self._nameserver is None)
        if self._nameserver is not None:
            resolver.nameservers = [self._nameserver.address]
            resolver.port = self._nameserver.port
        resolver.lifetime = self._patience
        resolver.set_flags(dns.flags.RD | dns.flags.AD)  # AD asks to be told of it (RFC 6840 section 5.7)
        return resolver


_NO_NAME = (socket.EAI_NONAME, socket.EAI_NODATA) if hasattr(socket, "EAI_NODATA") else (socket.EAI_NONAME,)


def family_of(address: str) -> IpFamily:
    """Return the family of *address*. Raises `ValueError` when it is none."""
    return IpFamily.IPV4 if ipaddress.ip_address(address).version == 4 else IpFamily.IPV6  # noqa: PLR2004 the name of the protocol


def absolute(name: str) -> str:
    """Return *name* with the trailing dot that keeps search domains away."""
    return name if name.endswith(".") else name + "."


def literal_address(text: str) -> str | None:
    """Return the address that *text* is, with or without an address literal's brackets (RFC 5321 section 4.1.3); None when it is a name."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if inner[:5].lower() == "ipv6:":
        inner = inner[5:]
    try:
        return str(ipaddress.ip_address(inner))
    except ValueError:
        return None
