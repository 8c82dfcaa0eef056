from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.config.model import Senders
from smtp_gateway.policy.senders import AUTHOR_NOT_ALLOWED, AUTHOR_UNCLEAR, SENDER_NOT_ALLOWED, AllowedSenders, SenderRules

PATTERNS = ("billing@example.com", "*@shop.example", "*@*.corp.example")

LABELS = st.text(alphabet="ab", min_size=1, max_size=2)
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
LOCALS = st.text(alphabet="ab.+*\u00fc", min_size=1, max_size=3)
WANTED = st.lists(
    st.one_of(st.builds("{}@{}".format, LOCALS, DOMAINS), DOMAINS.map("*@{}".format), DOMAINS.map("*@*.{}".format)), max_size=6
)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("billing@example.com", True),
        ("Billing@Example.COM", True),
        ('"billing"@example.com', True),
        ('"bill\\ing"@example.com', True),
        ("other@example.com", False),
        ("billing@sub.example.com", False),
        ("billing@example.com.evil.example", False),
        ("billing+x@example.com", False),
        ("anybody@shop.example", True),
        ('"any@body"@shop.example', True),
        ('"x@shop.example"@evil.example', False),
        ("anybody@sub.shop.example", False),
        ("anybody@myshop.example", False),
        ("anybody@a.corp.example", True),
        ("anybody@a.b.CORP.example", True),
        ("anybody@corp.example", False),
        ("anybody@notcorp.example", False),
        ("anybody@[192.0.2.1]", False),
        ("*@example.com", False),
        ("@shop.example.evil", False),
        ("billing", False),
        ("", False),
    ],
)
def test_patterns_mean_addresses_domains_and_what_is_beneath_them(address: str, *, allowed: bool) -> None:
    """A pattern is exact, all of one domain, or every domain beneath one; case and needless quotes do not count."""
    assert AllowedSenders(PATTERNS).allow(address) is allowed


def means(pattern: str, local: str, domain: str) -> bool:
    """Tell what *pattern* means, the slow and plain way."""
    wanted, _, place = pattern.rpartition("@")
    if wanted != "*":
        return (wanted.lower(), place.lower()) == (local.lower(), domain.lower())
    labels = domain.lower().split(".")
    if not place.startswith("*."):
        return labels == place.lower().split(".")
    above = place.lower().removeprefix("*.").split(".")
    return len(labels) > len(above) and labels[-len(above) :] == above


@given(patterns=WANTED, local=LOCALS, domain=DOMAINS, loud=st.booleans())
def test_the_matcher_means_what_the_patterns_say(patterns: list[str], local: str, domain: str, *, loud: bool) -> None:
    """What was taken apart for look-ups allows what one pattern after the other would."""
    address = f"{local}@{domain}"
    expected = any(means(pattern, local, domain) for pattern in patterns)

    assert AllowedSenders(patterns).allow(address.upper() if loud else address) is expected


@given(patterns=WANTED, address=st.text(alphabet=string.printable + "\u00fc\u0130\ud800", max_size=40))
def test_no_address_breaks_the_matcher(patterns: list[str], address: str) -> None:
    """Whatever comes is allowed or not; and what has no domain is not."""
    allowed = AllowedSenders(patterns).allow(address)

    assert not (allowed and "@" not in address)


RULES = SenderRules((Senders(identity="app-logins", allowed=PATTERNS),))


def test_the_sender_of_a_transaction_is_judged() -> None:
    """The null sender claims to be nobody, and an identity without a rule may be anybody."""
    assert RULES.sender("app-logins", "billing@example.com") is None
    assert RULES.sender("app-logins", "other@example.com") == SENDER_NOT_ALLOWED
    assert RULES.sender("app-logins", "") is None
    assert RULES.sender("others", "other@example.com") is None
    assert RULES.sender(None, "other@example.com") is None


@pytest.mark.parametrize(
    ("named", "refused"),
    [
        (["billing@example.com"], None),
        (["billing@example.com", "x@shop.example"], None),
        (["billing@example.com", "other@example.com"], AUTHOR_NOT_ALLOWED),
        (["other@example.com"], AUTHOR_NOT_ALLOWED),
        ([], AUTHOR_UNCLEAR),
        (None, AUTHOR_UNCLEAR),
    ],
)
def test_every_author_must_be_allowed(named: list[str] | None, refused: object) -> None:
    """What cannot be read is refused where there is a rule, and nobody looks where there is none."""
    assert RULES.authors("app-logins", named) == refused
    assert RULES.authors("others", named) is None
    assert RULES.authors(None, named) is None


def test_who_is_bound_by_rules() -> None:
    """The others cost nothing further."""
    assert [RULES.bind(identity) for identity in ("app-logins", "others", None)] == [True, False, False]
