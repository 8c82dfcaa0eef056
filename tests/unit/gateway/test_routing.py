"""From recipients to routes, and from exchangers to next hops."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.config.model import HopTls, Route, Smarthost
from smtp_gateway.mail.outcome import Failed
from smtp_gateway.resolver import Exchange, Resolver
from smtp_gateway.routing.exchangers import EXCHANGERS, MxTerms, chosen, next_hops
from smtp_gateway.routing.table import REMEMBERED, Table, Way
from tests.support.messages import new_message

INNER = Route(name="inner", recipient_domains=("corp.example", "*.corp.example"), smarthosts=(Smarthost(host="mx.corp.svc"),))
SPECIAL = Route(name="special", recipient_domains=("a.corp.example", "other.example"))
DEFAULT = Route(name="default")
ROUTES = (INNER, SPECIAL, DEFAULT)
SOMEBODY = new_message().as_entry()
TERMS = MxTerms(Resolver(leads_away=lambda _: True), "gateway.example")


@pytest.mark.parametrize(
    ("address", "route"),
    [
        ("x@corp.example", INNER),
        ("x@CORP.Example.", INNER),
        ("x@a.corp.example", INNER),  # the first match wins
        ("x@notcorp.example", DEFAULT),
        ("x@other.example", SPECIAL),
        ("x@sub.other.example", DEFAULT),
        ('"x@corp.example"@elsewhere.example', DEFAULT),
        ("postmaster", DEFAULT),
        ("x@[192.0.2.1]", DEFAULT),
    ],
)
def test_the_first_matching_route_wins(address: str, route: Route) -> None:
    """Domains match whole, patterns with a star beneath, the last route matches the rest."""
    assert Table(ROUTES).route_of(address, SOMEBODY) is route


def test_recipients_are_divided_by_next_hop() -> None:
    """One batch for each route with next hops of its own, one for each domain where the MX decides."""
    addresses = ("a@corp.example", "b@x.example", "c@sub.corp.example", "d@y.example", "e@X.example")

    found = Table(ROUTES).batches(addresses, SOMEBODY)

    assert [(batch.way, batch.recipients) for batch in found] == [
        (Way(INNER, ""), ("a@corp.example", "c@sub.corp.example")),
        (Way(DEFAULT, "x.example"), ("b@x.example", "e@X.example")),
        (Way(DEFAULT, "y.example"), ("d@y.example",)),
    ]


def test_what_shares_next_hops_shares_a_destination() -> None:
    """Destinations differ by route, and by domain where the MX decides."""
    table, addresses = Table(ROUTES), ("a@corp.example", "b@x.example", "c@y.example")

    assert [batch.destination for batch in table.batches(addresses, SOMEBODY)] == ["inner/", "default/x.example", "default/y.example"]
    assert table.destinations((*addresses, "d@y.example"), SOMEBODY) == {"inner/", "default/x.example", "default/y.example"}


def test_what_is_remembered_is_bounded_and_changes_nothing() -> None:
    """Any number of made-up domains is routed as if each were the first."""
    table = Table(ROUTES)
    for number in range(REMEMBERED + 10):
        assert table.destinations((f"a@{number}.example",), SOMEBODY) == {f"default/{number}.example"}

    assert len(table._known) <= REMEMBERED  # noqa: SLF001 what is kept shows nowhere else
    assert table.route_of("a@corp.example", SOMEBODY) is INNER


def hosts(hops: object) -> list[str]:
    """Return the names of next hops."""
    assert isinstance(hops, tuple)
    return [hop.host for hop in hops]


def test_trap_13_exchangers_are_next_hops_in_their_order_and_are_not_verified() -> None:
    """Port 25, and TLS where offered, without a look at the certificate, unless the route says otherwise (trap 13)."""
    assert Route(name="default").tls is HopTls.OPPORTUNISTIC
    for tls in HopTls:
        hops = chosen((Exchange(10, "a.example."), Exchange(20, "b.example.")), tls, TERMS)

        assert hops == tuple(Smarthost(host=host, port=25, tls=tls) for host in ("a.example.", "b.example."))


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4))
def test_equal_preferences_are_tried_in_any_order(chances: list[float]) -> None:
    """RFC 5321 section 5.1 wants the load spread among them; preference goes before chance."""
    exchanges = tuple(Exchange(number, f"{name}.example.") for number, name in ((5, "a"), (5, "b"), (5, "c"), (10, "z")))
    by_chance = [name for _, name in sorted(zip(chances, "abc", strict=False), key=lambda pair: pair[0])]

    found = hosts(chosen(exchanges, HopTls.OPPORTUNISTIC, replace(TERMS, chance=iter(chances).__next__)))

    assert found == [f"{name}.example." for name in (*by_chance, "z")]


def test_an_attempt_has_a_few_exchangers_of_many() -> None:
    """However long the list is; the most preferred ones, and others of equal preference the next time."""
    exchanges = (Exchange(5, "best.example."), *(Exchange(10, f"e{number}.example.") for number in range(50)))
    found = [hosts(chosen(exchanges, HopTls.OPPORTUNISTIC, TERMS)) for _ in range(20)]

    assert {len(names) for names in found} == {EXCHANGERS}
    assert {names[0] for names in found} == {"best.example."}
    assert len({name for names in found for name in names}) > EXCHANGERS


def test_a_null_mx_is_permanent() -> None:
    """RFC 7505: the domain accepts no mail."""
    outcome = chosen((Exchange(0, "."),), HopTls.OPPORTUNISTIC, TERMS)

    assert isinstance(outcome, Failed)
    assert (outcome.reply.code, outcome.reply.enhanced) == (556, "5.1.10")


def test_a_null_mx_beside_others_does_not_count() -> None:
    """RFC 7505 section 3 allows it alone only."""
    assert hosts(chosen((Exchange(0, "."), Exchange(5, "a.example.")), HopTls.OPPORTUNISTIC, TERMS)) == ["a.example."]


def test_the_gateway_is_never_its_own_next_hop() -> None:
    """RFC 5321 section 5.1: it and those that are preferred no more are left out; alone at the top it is a loop."""
    exchanges = tuple(Exchange(number, f"{name}.example.") for number, name in ((5, "best"), (10, "same"), (10, "Gateway"), (20, "backup")))

    assert hosts(chosen(exchanges, HopTls.OPPORTUNISTIC, TERMS)) == ["best.example."]
    loop = chosen(exchanges[1:], HopTls.OPPORTUNISTIC, TERMS)
    assert isinstance(loop, Failed)
    assert loop.reply.enhanced == "5.4.6"


@pytest.mark.parametrize(
    ("domain", "host"),
    [("[192.0.2.1]", "192.0.2.1"), ("[ipv6:2001:db8::1]", "2001:db8::1")],
)
async def test_an_address_literal_is_its_own_next_hop(domain: str, host: str) -> None:
    """RFC 5321 section 4.1.3: without the DNS."""
    assert hosts(await next_hops(Way(DEFAULT, domain), TERMS)) == [host]


@pytest.mark.parametrize("literal", ["[127.0.0.1]", "[0.0.0.0]", "[IPv6:::1]", "[IPv6:::ffff:127.0.0.1]", "[169.254.169.254]"])
async def test_an_address_literal_leads_away(literal: str) -> None:
    """Nobody reaches what listens beside the gateway, or the cloud's metadata, by a recipient's address."""
    outcome = await next_hops(Way(DEFAULT, literal.lower()), replace(TERMS, resolver=Resolver()))

    assert isinstance(outcome, Failed)
    assert outcome.reply.enhanced == "5.4.6"


@pytest.mark.parametrize("domain", ["", "[nonsense]"])
async def test_without_a_domain_there_is_no_way(domain: str) -> None:
    """`postmaster` alone cannot go to an MX, nor can a literal that is none."""
    outcome = await next_hops(Way(DEFAULT, domain), TERMS)

    assert isinstance(outcome, Failed)
    assert outcome.reply.enhanced == "5.1.3"


async def test_configured_next_hops_are_taken_as_they_are() -> None:
    """In the order of the configuration."""
    assert await next_hops(Way(INNER, ""), TERMS) == INNER.smarthosts


class Answering(Resolver):
    """A resolver that knows one answer."""

    def __init__(self, *exchanges: Exchange) -> None:
        """Answer *exchanges* to whatever is asked."""
        super().__init__()
        self._exchanges = exchanges

    async def exchanges(self, domain: str) -> tuple[Exchange, ...]:
        """Answer."""
        assert domain
        return self._exchanges


@pytest.mark.parametrize("authentic", [True, False])
async def test_mail_that_demands_tls_goes_to_exchangers_that_dnssec_vouches_for(*, authentic: bool) -> None:
    """RFC 8689 section 4.2.1: verified, and by a name that nobody forged; whatever the route says otherwise."""
    terms = MxTerms(Answering(Exchange(10, "a.example.", authentic)), "gateway.example")
    hops = await next_hops(Way(Route(name="default", tls=HopTls.NONE), "x.example"), terms, strict=True)

    if authentic:
        assert hops == (Smarthost(host="a.example.", port=25, tls=HopTls.VERIFY),)
    else:
        assert isinstance(hops, Failed)
        assert hops.reply.enhanced == "5.7.10"


async def test_mail_that_demands_tls_goes_to_verified_smarthosts() -> None:
    """Their names come from the configuration; an address is verified as one."""
    assert await next_hops(Way(INNER, ""), TERMS, strict=True) == (Smarthost(host="mx.corp.svc", tls=HopTls.VERIFY),)
    assert await next_hops(Way(DEFAULT, "[192.0.2.1]"), TERMS, strict=True) == (Smarthost(host="192.0.2.1", tls=HopTls.VERIFY),)
