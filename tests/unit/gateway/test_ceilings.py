"""How many connections there may be: pure counting, checked against the plainest count there is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.config.model import Limits
from smtp_gateway.listener.ceilings import Ceiling, Ceilings
from smtp_gateway.policy.network import network_of


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "192.0.2.1", False),
    ],
)
def test_a_network_is_an_ipv4_address_or_an_ipv6_64(one: str, other: str, same: bool) -> None:  # noqa: FBT001 a column of the table
    """One host of IPv6 has a /64 to choose its address from."""
    assert (network_of(one) == network_of(other)) is same


MOVES = st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", None])), max_size=60)


@given(MOVES, st.integers(1, 5), st.one_of(st.none(), st.integers(1, 5)))
def test_counts_are_what_is_open(moves: list[tuple[bool, str | None]], most: int, each: int | None) -> None:
    """Whatever comes and goes, and nothing is remembered of those who went."""
    ceilings, limits = Ceilings(), Limits(connections=most, connections_per_client=each)
    open_now: Counter[str | None] = Counter()
    for enters, network in moves:
        if enters:
            full = open_now.total() >= most
            expected = Ceiling.ALL if full else Ceiling.CLIENT if network and each is not None and open_now[network] >= each else None
            assert ceilings.enter(network, limits) is expected
            open_now[network] += expected is None
        elif open_now[network]:
            ceilings.leave(network)
            open_now[network] -= 1
        assert len(ceilings) == open_now.total()
        assert ceilings.networks == sum(count > 0 for name, count in open_now.items() if name)


def test_a_lower_ceiling_sends_nobody_away_who_is_in() -> None:
    """It counts for those who come."""
    ceilings = Ceilings()
    assert [ceilings.enter("a", Limits(connections=3)) for _ in range(3)] == [None] * 3
    assert ceilings.enter("a", Limits(connections=1)) is Ceiling.ALL
    for _ in range(3):
        ceilings.leave("a")
    assert ceilings.enter("a", Limits(connections=1)) is None
