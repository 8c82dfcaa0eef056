"""Who may go on in a turn of the event loop, and who waits for the next."""

from __future__ import annotations

import asyncio

from smtp_gateway.listener.turns import SHARE, Turns


class Session:
    """A session that writes down that it was called."""

    def __init__(self, name: str, called: list[str]) -> None:
        """Write into *called*."""
        self._name, self._called = name, called

    def proceed(self) -> None:
        """Write it down."""
        self._called.append(self._name)


async def test_a_login_that_is_alone_has_every_turn_for_itself() -> None:
    """However many connections it has."""
    turns, called = Turns(), list[str]()
    turns.admit("news", Session("first", called))
    turns._shared_until = 0.0  # noqa: SLF001 a second later

    assert all(turns.admit("news", Session(str(number), called)) for number in range(10 * SHARE))


async def test_a_flood_is_spread_over_turns_beside_another_login() -> None:
    """Its first reads are used at once, the others a share a turn, in their order; the other login's are used whenever they come."""
    turns, called = Turns(), list[str]()
    assert turns.admit("app", Session("app", called))
    flood = [Session(str(number), called) for number in range(3 * SHARE)]

    assert [turns.admit("news", one) for one in flood] == [True] * SHARE + [False] * (2 * SHARE)
    assert turns.admit("app", Session("app", called))
    assert called == []
    await asyncio.sleep(0)
    assert called == [str(number) for number in range(SHARE, 2 * SHARE)]
    assert not turns.admit("news", Session("last", called))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert called == [*(str(number) for number in range(SHARE, 3 * SHARE)), "last"]


async def test_nobody_waits_who_did_not_log_in_yet() -> None:
    """Logging in is what tells who shares the loop, and most clients do it once."""
    turns, called = Turns(), list[str]()
    turns.admit("app", Session("app", called))

    assert all(turns.admit("", Session(str(number), called)) for number in range(10 * SHARE))


async def test_an_empty_turn_ends_the_counting() -> None:
    """With nothing left to share, no turn is asked for, and the next reads begin a turn of their own."""
    turns, called = Turns(), list[str]()
    turns.admit("app", Session("app", called))
    for _ in range(2 * SHARE):
        assert turns.admit("news", Session("news", called))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert called == []
