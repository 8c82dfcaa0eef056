"""Who may send without a login, from where, and to where."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.config.model import Listener, ListenerAuth, ListenerTls
from smtp_gateway.config.resource import Risk
from smtp_gateway.mail.address import domain_matches
from smtp_gateway.policy.relaying import CLIENT_NOT_ALLOWED, RECIPIENT_NOT_ALLOWED, WITH_LOGIN, Access, Domains, Opening, Terms, recipient

NETWORKS = (ip_network("192.0.2.0/24"), ip_network("2001:db8:1::/64"), ip_network("198.51.100.7/32"))
PATTERNS = ("Corp.Example", "*.corp.example")
DOMAINS = Domains.of(PATTERNS)


def relay(tls: ListenerTls = ListenerTls.OPPORTUNISTIC, *, networks: bool = True, domains: bool = True) -> Listener:
    """Return a listener without a login."""
    return Listener(
        name="relay",
        port=25,
        tls=tls,
        auth=ListenerAuth.NONE,
        allowed_networks=NETWORKS if networks else (),
        allowed_recipient_domains=PATTERNS if domains else (),
    )


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("198.51.100.7", True),
        ("198.51.100.8", False),
        ("::ffff:192.0.2.1", True),
        ("::ffff:c000:201", True),
        ("::ffff:192.0.3.1", False),
        ("::192.0.2.1", False),
        ("64:ff9b::192.0.2.1", False),
        ("2001:db8:1::25", True),
        ("2001:db8:1::25%eth0", True),
        ("2001:db8:1:1::25", False),
        ("10.0.0.1", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("", False),
        ("/run/socket", False),
        ("192.0.2.1/24", False),
    ],
)
def test_a_client_is_in_an_allowed_network_or_not(address: str, inside: bool) -> None:  # noqa: FBT001 a table's column
    """Families are told apart but for IPv4 within IPv6; no private address is trusted unasked, nor one that cannot be understood."""
    assert Opening.of(relay(domains=False)).terms(address).refusal is (None if inside else CLIENT_NOT_ALLOWED)
    assert Opening.of(relay()).terms(address).domains == (None if inside else DOMAINS)


@given(
    st.lists(st.sampled_from(["a.example", "*.a.example", "B.A.example.", "*.b.a.example", "*.example", "c.example"])),
    st.sampled_from(["a.example", "b.a.example", "x.b.a.example", "example", ".example", "A.EXAMPLE.", "xa.example", "c.example", ""]),
)
def test_domains_are_those_that_routes_would_match(patterns: list[str], domain: str) -> None:
    """Looked up by name they are the same as one after the other."""
    assert (domain in Domains.of(patterns)) == any(domain_matches(pattern, domain) for pattern in patterns)


@given(st.ip_addresses())
def test_an_address_is_judged_as_by_its_network(address: object) -> None:
    """Whatever the address, it may send to anywhere exactly when some allowed network contains it."""
    allowed = Opening.of(relay(domains=False)).terms(str(address)).refusal is None
    mapped = getattr(address, "ipv4_mapped", None) or address

    assert allowed == any(mapped in network for network in NETWORKS)


@pytest.mark.parametrize(
    ("listener", "address", "expected"),
    [
        (Listener(name="submission", port=587), "192.0.2.1", WITH_LOGIN),
        (Listener(name="submissions", port=465, tls=ListenerTls.IMPLICIT), "192.0.2.1", WITH_LOGIN),
        (relay(), "192.0.2.1", Terms(encrypted=False, refusal=None, identity="listener/relay")),
        (relay(), "203.0.113.1", Terms(encrypted=False, refusal=None, domains=DOMAINS, identity="listener/relay")),
        (relay(networks=False), "192.0.2.1", Terms(encrypted=False, refusal=None, domains=DOMAINS, identity="listener/relay")),
        (relay(domains=False), "203.0.113.1", Terms(encrypted=False, refusal=CLIENT_NOT_ALLOWED)),
        (relay(ListenerTls.START_TLS), "192.0.2.1", Terms(refusal=None, identity="listener/relay")),
        (relay(ListenerTls.IMPLICIT), "192.0.2.1", Terms(refusal=None, identity="listener/relay")),
        (relay(ListenerTls.NONE), "192.0.2.1", Terms(encrypted=False, starttls=False, refusal=None, identity="listener/relay")),
    ],
)
def test_terms_follow_the_listener_and_the_network(listener: Listener, address: str, expected: Terms) -> None:
    """Encryption is as demanded, and mail without a login has the listener for its name, which no Secret can have."""
    assert Opening.of(listener).terms(address) == expected


@pytest.mark.parametrize("address", ["a@corp.example", "A@CORP.Example", "a@mx.corp.example", '"a b"@corp.example', "a+b@x.y.corp.example"])
def test_strangers_send_to_allowed_domains(address: str) -> None:
    """Domains compare without case; `*.` means what is beneath."""
    assert recipient(DOMAINS, address) is None


@pytest.mark.parametrize(
    "address",
    [
        "a@example.net",
        "a@corp.example.net",
        "a@notcorp.example",
        "a@example",
        "a@[192.0.2.1]",
        "a@xn--corp-.example",
        "a@córp.example",
        "postmaster",
        "a%example.net@corp.example",
        "example.net!a@corp.example",
        '"a@example.net"@corp.example',
        '"@example.net:a"@corp.example',
        "",
    ],
)
def test_strangers_send_nowhere_else(address: str) -> None:
    """Neither to other domains, nor through an allowed one to others, by whatever routing a server behind may understand."""
    assert recipient(DOMAINS, address) == RECIPIENT_NOT_ALLOWED


def test_the_refusals_are_stable() -> None:
    """Programs and people look for these words."""
    assert str(CLIENT_NOT_ALLOWED) == "550 5.7.1 Relaying denied: this network sends only with a login"
    assert str(RECIPIENT_NOT_ALLOWED) == "550 5.7.1 Relaying denied: this network sends only to some domains without a login"


def test_the_document_has_every_refusal_and_every_risk() -> None:
    """docs/relay.md says what clients are told, and the names by which risks are acknowledged."""
    written = Path("docs/relay.md").read_text()

    for word in (str(CLIENT_NOT_ALLOWED), str(RECIPIENT_NOT_ALLOWED), *(f"| `{risk}` |" for risk in Risk)):
        assert word in written


def test_listeners_in_force_are_replaced() -> None:
    """A changed network counts at once, under whatever name the listener has; a port that is gone takes nothing without a login."""
    access = Access((relay(),))
    assert access.terms(25, "192.0.2.1").refusal is None

    access.reconfigure((Listener(name="other", port=25),))
    assert access.terms(25, "192.0.2.1") == WITH_LOGIN

    access.reconfigure(())
    assert access.terms(25, "192.0.2.1") == WITH_LOGIN
