"""Names to addresses and domains to next hops, against a small DNS server on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import IpFamily, Route
from smtp_gateway.mail.outcome import Deferred, Failed
from smtp_gateway.resolver import (
    Exchange,
    LookupFailedError,
    Nameserver,
    NoSuchFamilyError,
    NoSuchNameError,
    OwnAddressError,
    Resolver,
    is_own,
    leads_away,
    literal_address,
)
from smtp_gateway.routing.exchangers import MxTerms, next_hops
from smtp_gateway.routing.table import Way
from tests.support.dns import NameServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from smtp_gateway.config.model import Smarthost


@pytest.fixture
async def names() -> AsyncIterator[NameServer]:
    """A name server with an empty zone."""
    async with NameServer() as running:
        yield running


def resolver(names: NameServer, patience: float = 2.0) -> Resolver:
    """Return a resolver that asks *names*."""
    return names.resolver(patience)


async def route(names: NameServer, domain: str) -> object:
    """Return where mail for *domain* goes: host names, or the outcome as `Failed 5.1.2`."""
    return told(await next_hops(Way(Route(name="default"), domain), MxTerms(resolver(names, 0.5), "gateway.example")))


def told(found: tuple[Smarthost, ...] | Deferred | Failed) -> object:
    """Return next hops as host names, an outcome as `Failed 5.1.2`."""
    return f"{type(found).__name__} {found.reply.enhanced}" if isinstance(found, (Deferred, Failed)) else [hop.host for hop in found]


async def test_exchanges_come_by_preference(names: NameServer) -> None:
    """Most preferred first, as absolute names."""
    names.add("x.example.", "MX", "20 b.example.", "10 a.example.")

    assert await resolver(names).exchanges("x.example") == (Exchange(10, "a.example."), Exchange(20, "b.example."))
    assert names.asked == [("x.example.", "MX")]


async def test_absolute_names_have_both_kinds_of_addresses(names: NameServer) -> None:
    """A and AAAA, without search domains."""
    names.add("a.example.", "A", "192.0.2.1", "192.0.2.2")
    names.add("a.example.", "AAAA", "2001:db8::1")

    assert sorted(await resolver(names).addresses("a.example.")) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert {name for name, _ in names.asked} == {"a.example."}


async def test_other_names_go_to_the_system(names: NameServer) -> None:
    """`/etc/hosts` and search domains are the system's business, so the name server is not asked."""
    assert "127.0.0.1" in await resolver(names).addresses("localhost")
    assert names.asked == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("[192.0.2.1]", "192.0.2.1"),
        ("[IPv6:2001:DB8::1]", "2001:db8::1"),
        ("::1", "::1"),
        ("mx.example", None),
        ("[x]", None),
    ],
)
async def test_addresses_stand_for_themselves(names: NameServer, text: str, address: str | None) -> None:
    """Address literals need no look-up."""
    assert literal_address(text) == address
    if address is not None:
        assert await resolver(names).addresses(text) == (address,)


@pytest.mark.parametrize("host", ["gone.example.", "nowhere.invalid"])
async def test_a_name_without_addresses(names: NameServer, host: str) -> None:
    """The DNS and the system both can say that there is nothing."""
    with pytest.raises((NoSuchNameError, LookupFailedError)) as told:
        await resolver(names).addresses(host)
    assert host in str(told.value)


async def test_silence_and_failure_are_not_absence(names: NameServer) -> None:
    """SERVFAIL and a timeout raise another error than NXDOMAIN."""
    names.fail("broken.example.")
    names.ignore("silent.example.")
    for host in ("broken.example.", "silent.example."):
        with pytest.raises(LookupFailedError):
            await resolver(names, 0.3).addresses(host)
    with pytest.raises(NoSuchNameError):
        await resolver(names).addresses("gone.example.")


async def test_a_name_that_is_none_is_a_failed_look_up(names: NameServer) -> None:
    """Labels that are empty or too long raise nothing else."""
    for host in ("a..b", "x" * 70 + ".example", "a..b.", "x" * 70 + ".example."):
        with pytest.raises((NoSuchNameError, LookupFailedError)):
            await resolver(names).addresses(host)


async def test_where_mail_for_a_domain_goes(names: NameServer) -> None:
    """RFC 5321 section 5.1 and RFC 7505, and what is permanent and what is not (trap 1)."""
    names.add("mx.example.", "MX", "10 a.example.")
    names.add("implicit.example.", "A", "192.0.2.1")
    names.add("null.example.", "MX", "0 .")
    names.add("textonly.example.", "TXT", "hello")
    names.add("xn--bcher-kva.example.", "MX", "10 b.example.")
    names.fail("broken.example.")
    names.ignore("silent.example.")

    assert await route(names, "mx.example") == ["a.example."]
    assert await route(names, "implicit.example") == ["implicit.example."]
    assert await route(names, "bücher.example") == ["b.example."]
    assert await route(names, "null.example") == "Failed 5.1.10"
    assert await route(names, "textonly.example") == "Failed 5.1.2"
    assert await route(names, "gone.example") == "Failed 5.1.2"
    assert await route(names, "broken.example") == "Deferred 4.4.3"
    assert await route(names, "silent.example") == "Deferred 4.4.3"
    assert await route(names, "a..b.example") == "Deferred 4.4.3"


ONLY_4, ONLY_6 = ((family,) for family in IpFamily)


async def test_a_family_can_be_turned_off(names: NameServer) -> None:
    """Its records are not even asked for; by default A comes before AAAA."""
    names.add("a.example.", "A", "192.0.2.1")
    names.add("a.example.", "AAAA", "2001:db8::1")
    both = resolver(names)

    assert await both.addresses("a.example.") == ("192.0.2.1", "2001:db8::1")
    names.asked.clear()
    assert await both.only(ONLY_4).addresses("a.example.") == ("192.0.2.1",)
    assert await both.only(ONLY_6).addresses("a.example.") == ("2001:db8::1",)
    assert names.asked == [("a.example.", "A"), ("a.example.", "AAAA")]
    assert both.only(tuple(IpFamily)) is both


async def test_a_configured_name_has_no_address_of_a_family_that_is_off(names: NameServer) -> None:
    """The system's resolver is asked for one family alone, and an address is of one."""
    assert await resolver(names).only(ONLY_4).addresses("localhost") == ("127.0.0.1",)
    assert await resolver(names).only(ONLY_6).addresses("::1") == ("::1",)
    with pytest.raises(NoSuchFamilyError, match="has no address of IPv4, and others are turned off"):
        await resolver(names).only(ONLY_4).addresses("::1")


async def test_a_host_of_the_other_family_is_not_one_that_does_not_exist(names: NameServer) -> None:
    """That a family is off is our own affair, so mail waits; only a host without any address is told of for good."""
    names.add("six.example.", "AAAA", "2001:db8::1")
    names.add("textonly.example.", "TXT", "hello")
    four = resolver(names).only(ONLY_4)
    terms = MxTerms(four, "gateway.example")

    with pytest.raises(NoSuchFamilyError):
        await four.addresses("six.example.")
    assert names.asked == [("six.example.", "A"), ("six.example.", "AAAA")]
    assert told(await next_hops(Way(Route(name="default"), "six.example"), terms)) == "Deferred 4.4.3"
    assert told(await next_hops(Way(Route(name="default"), "textonly.example"), terms)) == "Failed 5.1.2"


async def test_a_cname_stands_for_another_name(names: NameServer) -> None:
    """At the domain (RFC 5321 section 5.1), for its implicit MX, and at the exchanger, where RFC 2181 section 10.3 forbids it."""
    names.add("alias.example.", "CNAME", "real.example.")
    names.add("real.example.", "MX", "10 mx.example.")
    names.add("mx.example.", "CNAME", "host.example.")
    names.add("host.example.", "A", "192.0.2.1")
    names.add("web.example.", "CNAME", "host.example.")

    assert await route(names, "alias.example") == ["mx.example."]
    assert await resolver(names).addresses("mx.example.") == ("192.0.2.1",)
    assert await route(names, "web.example") == ["web.example."]


async def test_a_cname_that_leads_nowhere(names: NameServer) -> None:
    """A name that does not exist is that for good, a null MX as well; one that goes in circles is a mistake that may be mended."""
    names.add("dangling.example.", "CNAME", "gone.example.")
    names.add("circle.example.", "CNAME", "back.example.")
    names.add("back.example.", "CNAME", "circle.example.")
    names.add("silent.example.", "CNAME", "null.example.")
    names.add("null.example.", "MX", "0 .")

    assert await route(names, "dangling.example") == "Failed 5.1.2"
    assert await route(names, "circle.example") == "Deferred 4.4.3"
    assert await route(names, "silent.example") == "Failed 5.1.10"


@pytest.mark.parametrize(
    ("address", "away"),
    [
        ("127.0.0.1", False),
        ("127.8.9.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("::", False),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("203.0.113.1", True),
        ("10.255.254.253", True),
        ("fd00:9999::1", True),
        ("64:ff9b::cb00:7101", True),  # NAT64 (RFC 6052)
        ("2001:db8::1", True),
    ],
)
def test_where_mail_may_go_by_the_dns(address: str, away: bool) -> None:  # noqa: FBT001 a table
    """To other hosts, those of private networks included; not to this one, and not to what is none."""
    assert leads_away(address) is away


async def test_what_leads_back_is_left_out_and_told_where_nothing_is_left(names: NameServer) -> None:
    """A host with another address beside is used by that one; a parked domain with a loopback address gets no mail."""
    names.add("both.example.", "A", "127.0.0.1", "203.0.113.1")
    names.add("parked.example.", "A", "127.0.0.1")
    names.add("mine.example.", "MX", "10 parked.example.")
    strict = Resolver(Nameserver("127.0.0.1", names.port), 2.0)
    terms = MxTerms(strict, "gateway.example")

    assert await strict.addresses("both.example.") == ("203.0.113.1",)
    with pytest.raises(OwnAddressError, match=r"parked\.example\. is this host, or none: 127\.0\.0\.1"):
        await strict.addresses("parked.example.")
    assert told(await next_hops(Way(Route(name="default"), "parked.example"), terms)) == "Failed 5.4.6"
    assert told(await next_hops(Way(Route(name="default"), "mine.example"), terms)) == ["parked.example."]  # addresses come later


async def test_a_loopback_address_beside_a_failure_is_not_the_whole_answer(names: NameServer) -> None:
    """What the other kind of record would have said nobody knows, so nothing is told for good."""
    names.add("half.example.", "A", "127.0.0.1")
    names.fail("half.example.", "AAAA")
    strict = Resolver(Nameserver("127.0.0.1", names.port), 2.0)

    with pytest.raises(LookupFailedError):
        await strict.addresses("half.example.")


def test_the_hosts_own_addresses_are_known() -> None:
    """Without a list of interfaces: a socket towards one of them has it. Loopback is the one that every host has."""
    assert is_own("127.0.0.1")
    assert is_own("::1")
    assert not is_own("203.0.113.1")
