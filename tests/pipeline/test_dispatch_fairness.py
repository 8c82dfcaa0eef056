"""Dispatch between identities: whoever fills the places towards a destination, somebody else's mail begins at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.routing.circuit import AT_FIRST
from smtp_gateway.spool.memory import MemorySpool
from smtp_gateway.spool.window import kept_back
from tests.support.dispatching import AROUND, A, config, hand_over, over, working
from tests.support.sink import Hang
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smtp_gateway.spool.api import Settlement
    from tests.support.sink import Sink


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the format of the log out of these tests."""
    with capture_logs():
        yield


async def test_anothers_mail_begins_while_a_flood_fills_every_place_that_it_may_have(sink: Sink) -> None:
    """One application's messages hang at the next hop and hundreds wait behind them; another's message is delivered all the same."""
    async with working(config(over(sink))) as world:
        await hand_over(world, "user0@x.example", "password-reset")
        await world.settled()
        ceiling = AT_FIRST + 1  # the delivery came to a session
        sink.answer("RCPT", Hang(), matching="reader")
        for number in range(300):
            await hand_over(world, f"reader{number}@x.example", "newsletter")
        hanging = ceiling - kept_back(ceiling)
        await eventually(lambda: sum("reader" in command for command in sink.commands) == hanging)
        await hand_over(world, "user1@x.example", "password-reset")
        await eventually(lambda: len(sink.taken) == 2)

        assert sink.taken[1].recipients == ("user1@x.example",)
        assert sink.open_sessions <= ceiling


class SlowSpool(MemorySpool):
    """A spool whose settlements are durable when the test says so."""

    def __init__(self) -> None:
        """Begin slow."""
        super().__init__()
        self.awaited: list[tuple[Settlement, asyncio.Future[None]]] = []
        self.slow = True

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """Settle later."""
        if not self.slow:
            return super().settle(settlement)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.awaited.append((settlement, done))
        return done

    def catch_up(self) -> None:
        """Settle what was not, and be slow no more."""
        self.slow = False
        for settlement, done in self.awaited:
            super().settle(settlement)
            done.set_result(None)


async def test_the_next_message_does_not_wait_for_the_disk(sink: Sink) -> None:
    """A place is free once its next hop has answered; as many results as there are places may be unwritten, and no more."""
    spool = SlowSpool()
    async with working(config(over(sink)), spool, replace(AROUND, bounds=replace(AROUND.bounds, per_destination=2))) as world:
        for _ in range(10):
            await world.put(A)
        await eventually(lambda: len(spool.awaited) >= 2)
        for _ in range(50):
            await asyncio.sleep(0)
        # Two places, two unwritten results, and those that were under way when the second of them came.
        assert 2 <= len(sink.taken) <= 4
        assert sink.sessions <= 2
        assert world.dispatch.delivering(spool.awaited[0][0].id)

        spool.catch_up()
        await world.settled()
        assert len(sink.taken) == 10
