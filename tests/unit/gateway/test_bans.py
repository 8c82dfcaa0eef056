from __future__ import annotations

import pytest

from smtp_gateway.policy import bans
from smtp_gateway.policy.bans import ALLOWED, BAN, PROVEN, WINDOW, Bans
from smtp_gateway.policy.network import network_of

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def digest(number: int) -> bytes:
    """Return the digest of credentials of that number."""
    return number.to_bytes(4, "big")


def guess(known: Bans, times: int, *, address: str = HERE, now: float = 0.0, first: int = 1000) -> list[bool]:
    """Fail with as many different credentials; return whether each began a ban."""
    return [known.failed(address, digest(first + number), now) for number in range(times)]


def test_a_network_that_guesses_is_banned() -> None:
    """One more than is allowed, and for as long as the constant says; others are not concerned."""
    known = Bans()

    assert guess(known, ALLOWED) == [False] * ALLOWED
    assert not known.bars(HERE, digest(1), 0.0)
    assert guess(known, 1, first=5000) == [True]
    assert known.bars(HERE, digest(1), BAN - 1)
    assert not known.bars(ELSEWHERE, digest(1), BAN - 1)
    assert not known.bars(HERE, digest(1), BAN)


def test_the_same_wrong_password_again_and_again_bans_nobody() -> None:
    """An application with an old password behind the address of a whole cluster does not lock out the cluster."""
    known = Bans()

    assert not any(known.failed(HERE, digest(1), float(second)) for second in range(10 * ALLOWED))
    assert not known.bars(HERE, digest(2), 0.0)


def test_failures_count_for_a_while() -> None:
    """A person who mistypes twice a day is no attack."""
    known = Bans()

    assert not any(known.failed(HERE, digest(number), number * WINDOW / ALLOWED) for number in range(100))


def test_after_a_ban_counting_begins_anew() -> None:
    """As many different failures again are allowed."""
    known = Bans()
    guess(known, ALLOWED + 1)

    assert guess(known, ALLOWED, now=BAN, first=5000) == [False] * ALLOWED
    assert guess(known, 1, now=BAN, first=9000) == [True]


def test_whoever_was_at_work_goes_on_in_a_ban() -> None:
    """Credentials that were right from this network are not refused unseen; the same from elsewhere are."""
    known = Bans()
    known.succeeded(HERE, digest(1))
    guess(known, 2 * ALLOWED + 1)
    guess(known, ALLOWED + 1, address=ELSEWHERE)

    assert not known.bars(HERE, digest(1), 1.0)
    assert known.bars(HERE, digest(2), 1.0)
    assert known.bars(ELSEWHERE, digest(1), 1.0)


def test_a_network_of_many_clients_is_allowed_many_mistakes() -> None:
    """As many again for each login that it has proven: thirty rotated passwords in one cluster are no attack."""
    known = Bans()
    for number in range(30):
        known.succeeded(HERE, digest(number))

    assert guess(known, 31 * ALLOWED) == [False] * 31 * ALLOWED
    assert guess(known, 1, first=9000) == [True]


def test_a_login_of_ones_own_does_not_clear_what_was_guessed() -> None:
    """Whoever succeeds between two guesses is banned as well, after what one login adds."""
    known = Bans()
    begun = []
    for number in range(2 * ALLOWED + 1):
        known.succeeded(HERE, digest(1))
        begun += guess(known, 1, first=1000 + number)

    assert begun == [False] * 2 * ALLOWED + [True]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are forgotten that did nothing for the longest time; failures do not push out what succeeded."""
    monkeypatch.setattr(bans, "NETWORKS", 3)
    known = Bans()
    known.succeeded(HERE, digest(1))
    guess(known, 2 * ALLOWED + 1)
    for number in range(10):
        guess(known, 1, address=f"198.51.100.{number}")
    assert not known.bars(HERE, digest(2), 1.0)

    guess(known, 2 * ALLOWED + 1)
    assert not known.bars(HERE, digest(1), 1.0)
    assert known.bars(HERE, digest(2), 1.0)
    for number in range(3):
        known.succeeded(f"198.51.100.{number}", digest(1))
    assert known.bars(HERE, digest(1), 1.0)


def test_what_one_network_proves_is_bounded() -> None:
    """The credentials that were not used for the longest time are forgotten."""
    known = Bans()
    for number in range(PROVEN + 1):
        known.succeeded(HERE, digest(number))
    guess(known, (PROVEN + 1) * ALLOWED + 1)

    assert known.bars(HERE, digest(0), 1.0)
    assert not known.bars(HERE, digest(PROVEN), 1.0)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("", ""),
    ],
)
def test_a_network_is_what_one_customer_has(address: str, network: str) -> None:
    """An IPv4 address, or an IPv6 /64."""
    assert network_of(address) == network
