"""Which route mail takes by its recipient, its sender and its login, against a second way to say the same."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.config.model import Route, Smarthost
from smtp_gateway.routing.table import Table

BILLING = Route(name="billing", sender_domains=("billing.example", "*.billing.example"))
SHOP = Route(name="shop", logins=("shop", "kiosk"), recipient_domains=("*.corp.example",))
NEWS = Route(name="news", logins=("news",), sender_domains=("news.example",), smarthosts=(Smarthost(host="bulk.example"),))
DEFAULT = Route(name="default")
ROUTES = (BILLING, SHOP, NEWS, DEFAULT)


@dataclass(frozen=True)
class By:
    """Who sends."""

    sender: str = "me@here.example"
    identity: str = "app"


@pytest.mark.parametrize(
    ("by", "recipient", "route"),
    [
        (By(), "x@a.corp.example", DEFAULT),
        (By("a@billing.example"), "x@y.example", BILLING),
        (By("a@BILLING.example."), "x@y.example", BILLING),
        (By("a@eu.billing.example"), "x@y.example", BILLING),
        (By("a@notbilling.example"), "x@y.example", DEFAULT),
        (By('"a@billing.example"@here.example'), "x@y.example", DEFAULT),
        (By("a@billing.example", "shop"), "x@a.corp.example", BILLING),  # the first one
        (By(identity="shop"), "x@a.corp.example", SHOP),
        (By(identity="kiosk"), "x@a.corp.example", SHOP),
        (By(identity="shop"), "x@corp.example", DEFAULT),  # every part has to match
        (By("a@news.example", "news"), "x@y.example", NEWS),
        (By("a@news.example"), "x@y.example", DEFAULT),
        (By(identity="news"), "x@y.example", DEFAULT),
        (By("", "news"), "x@y.example", DEFAULT),  # the null sender is of no domain
        (By("", ""), "x@a.corp.example", DEFAULT),  # a notice of the gateway's own has no login
    ],
)
def test_all_parts_of_a_match_must_hold(by: By, recipient: str, route: Route) -> None:
    """The first such route wins, the last one takes the rest."""
    assert Table(ROUTES).route_of(recipient, by) is route


def test_one_table_tells_senders_apart() -> None:
    """What it remembers of a domain for one sender is not what it tells another."""
    table = Table(ROUTES)
    asked = [(By("a@news.example", "news"), NEWS), (By("a@news.example"), DEFAULT), (By("a@billing.example"), BILLING)] * 2

    assert [table.route_of("x@y.example", by) for by, _ in asked] == [route for _, route in asked]
    assert table.destinations(("x@y.example",), asked[0][0]) == {"news/"}
    assert [batch.route for batch in table.batches(("x@y.example",), asked[1][0])] == [DEFAULT]


NAMES = ("a.example", "b.example", "x.a.example")
PATTERNS = st.lists(st.sampled_from((*NAMES, "*.a.example", "*.example")), max_size=2).map(tuple)
SENDERS = st.builds(By, st.sampled_from(("", *(f"me@{name}" for name in NAMES))), st.sampled_from(("", "one", "two")))
MATCHES = st.tuples(PATTERNS, PATTERNS, st.lists(st.sampled_from(("one", "two")), max_size=2).map(tuple))


def fits(patterns: tuple[str, ...], domain: str) -> bool:
    """Tell whether *domain* is meant, label by label."""
    labels = domain.split(".")
    beneath = {"*." + ".".join(labels[at:]) for at in range(1, len(labels))}
    return not patterns or bool({domain, *beneath} & set(patterns))


@given(st.lists(MATCHES, max_size=4), st.lists(st.tuples(SENDERS, st.sampled_from(NAMES)), min_size=1, max_size=6))
def test_any_table_gives_the_first_route_that_fits(matches: list[tuple[tuple[str, ...], ...]], mail: list[tuple[By, str]]) -> None:
    """In whatever order mail comes, and whatever was looked up before."""
    routes = [
        Route(name=f"r{number}", recipient_domains=recipients, sender_domains=senders, logins=logins)
        for number, (recipients, senders, logins) in enumerate(matches)
    ]
    table = Table([*routes, DEFAULT])
    for by, domain in mail:
        fitting = [
            route
            for route in routes
            if fits(route.recipient_domains, domain)
            and fits(route.sender_domains, by.sender.rpartition("@")[2])
            and (not route.logins or by.identity in route.logins)
        ]
        assert table.route_of(f"you@{domain}", by) is [*fitting, DEFAULT][0]
