"""Senders rewritten: in the envelope and in the header, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.content.authors import authors, readdressed
from smtp_gateway.content.rewriting import Rewriting, Rule
from smtp_gateway.policy.senders import AllowedSenders

FIXED = Rule(None, "noreply@corp.example")
MAPPED = Rule(AllowedSenders(["*@internal.local", "*@*.internal.local"]).allow, "*@example.com")
NAMED = Rule(AllowedSenders(["root@internal.local"]).allow, "ops@example.com")


@pytest.mark.parametrize(
    ("rules", "address", "becomes"),
    [
        ((FIXED,), "app@anything.example", "noreply@corp.example"),
        ((MAPPED,), "app@internal.local", "app@example.com"),
        ((MAPPED,), "app@host.Internal.Local", "app@example.com"),
        ((MAPPED,), "app@other.example", "app@other.example"),
        ((MAPPED,), '"a b"@internal.local', '"a b"@example.com'),
        ((NAMED, MAPPED), "root@internal.local", "ops@example.com"),
        ((NAMED, MAPPED), "app@internal.local", "app@example.com"),
        ((Rule(AllowedSenders(["*@corp.example"]).allow, "*@corp.example"), FIXED), "app@corp.example", "app@corp.example"),
        ((FIXED,), "", ""),
        ((FIXED,), "postmaster", "noreply@corp.example"),
        ((Rule(None, "*@example.com"),), "postmaster", "postmaster@example.com"),
    ],
)
def test_the_first_rule_that_means_an_address_counts(rules: tuple[Rule, ...], address: str, becomes: str) -> None:
    """One address for all, or another domain for some; the null sender stays null."""
    assert Rewriting(rules).sender(address) == becomes


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        (b" app@internal.local", b" app@example.com"),
        (b" <app@internal.local>", b" <app@example.com>"),
        (b' "Smith, John" <app@internal.local>', b' "Smith, John" <app@example.com>'),
        (b' "app@internal.local" <app@internal.local>', b' "app@internal.local" <app@example.com>'),
        (b" app@internal.local <app@internal.local>", b" app@example.com <app@example.com>"),
        (
            b" (app@internal.local) app@internal.local (of app@internal.local)",
            b" (app@internal.local) app@example.com (of app@internal.local)",
        ),
        (b" =?utf-8?q?M=C3=BCller?= <app@internal.local>", b" =?utf-8?q?M=C3=BCller?= <app@example.com>"),
        ("Müller <app@internal.local>".encode(), "Müller <app@example.com>".encode()),
        (b" M\xfcller <app@internal.local>", b" M\xfcller <app@example.com>"),
        ("ü\r\n ü\r\n\t<app@internal.local>".encode(), "ü\r\n ü\r\n\t<app@example.com>".encode()),
        (b"\r\n app@internal.local", b"\r\n app@example.com"),
        (
            b" A <a@internal.local>,\r\n B <b@internal.local>,\r\n c@other.example",
            b" A <a@example.com>,\r\n B <b@example.com>,\r\n c@other.example",
        ),
        (b" Team: a@internal.local,\r\n\tB <b@internal.local>;", b" Team: a@example.com,\r\n\tB <b@example.com>;"),
        (b' "a\r\n b"@internal.local', b' "a b"@example.com'),
    ],
)
def test_addresses_are_changed_and_all_else_stays(value: bytes, becomes: bytes) -> None:
    """Names, comments, groups, folding, octets beyond ASCII, and whatever only looks like the address."""
    section = Rewriting((MAPPED,)).section(b"Subject: x\r\nFrom:" + value + b"\r\nTo: app@internal.local\r\n")

    assert section == b"Subject: x\r\nFrom:" + becomes + b"\r\nTo: app@internal.local\r\n"


def test_sender_is_changed_as_well() -> None:
    """And so is a From in capitals with a blank before its colon."""
    section = b"SENDER : app@internal.local\r\nFrom: boss@internal.local\r\n"

    assert Rewriting((MAPPED,)).section(section) == b"SENDER : app@example.com\r\nFrom: boss@example.com\r\n"


def test_a_quoted_name_that_was_folded_is_not_cut_in_another_address() -> None:
    """A line of the header would begin with the rest of the new address otherwise."""
    assert Rewriting((FIXED,)).section(b'From: "a\r\n b"@x.example\r\n') == b"From: noreply@corp.example\r\n"


def test_the_original_is_kept_if_it_is_asked_for() -> None:
    """In a field of its own, and as Reply-To where there is none; a From that stays is kept nowhere else."""
    keeping = Rewriting((MAPPED,), original_header="X-Original-From", reply_to=True)
    value = b' "A, B"\r\n\t<app@internal.local>\r\n'
    changed = b'From: "A, B"\r\n\t<app@example.com>\r\n'

    assert keeping.section(b"From:" + value) == changed + b"X-Original-From:" + value + b"Reply-To:" + value
    answered = b"From:" + value + b"reply-to : me@example.com\r\n"
    assert keeping.section(answered) == changed + b"X-Original-From:" + value + b"reply-to : me@example.com\r\n"
    assert (
        keeping.section(b"From: a@example.com\r\nSender: app@internal.local\r\n") == b"From: a@example.com\r\nSender: app@example.com\r\n"
    )


def test_a_field_that_cannot_be_read_is_replaced_as_a_whole_or_stays() -> None:
    """Where all senders become one address, nobody else's is let through; where only some are mapped, it is nobody's that is known."""
    broken = b"From: a@internal.local, <<x\r\n y\r\n"

    assert Rewriting((MAPPED,)).section(broken) == broken
    assert Rewriting((MAPPED, Rule(None, "*@example.com"))).section(broken) == broken
    replaced = b"From: noreply@corp.example\r\n"
    assert Rewriting((FIXED,), "X-From", reply_to=True).section(broken) == replaced + b"X-From: a@internal.local, <<x\r\n y\r\n"
    assert Rewriting((MAPPED, FIXED)).section(broken) == replaced


WORDS = st.sampled_from(["A", "ü", '"q, <x@y>"', "(c)", "=?utf-8?q?x?=", "\r\n ", "\t"])
ADDRESSES = st.sampled_from(["<a@internal.local>", "<b@other.example>", '<"x\r\n y"@internal.local>'])


@given(st.lists(st.tuples(st.lists(WORDS, max_size=4), ADDRESSES), min_size=1, max_size=4))
def test_whatever_is_rewritten_reads_as_before_but_for_its_addresses(mailboxes: list[tuple[list[str], str]]) -> None:
    """Every line of it goes on with white space, and the addresses are what the rule made of them."""
    value = " " + ",\r\n ".join(f"{' '.join(words)} {address}" for words, address in mailboxes)
    before = authors(b"From:" + value.encode() + b"\r\n\r\n")
    changed = readdressed(value.encode(), Rewriting((MAPPED,)).sender)

    if before is None:
        assert changed is None
        return
    assert changed is not None
    assert all(line.startswith((b" ", b"\t")) for line in changed.split(b"\r\n")[1:])
    assert authors(b"From:" + changed + b"\r\n\r\n") == tuple(map(Rewriting((MAPPED,)).sender, before))
