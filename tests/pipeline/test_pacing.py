"""Dispatch with a pace: a next hop that counts, on a clock of the test's own, and other mail that must not notice."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.pace import Pacing
from smtp_gateway.daybook import NAME
from smtp_gateway.dispatch import Surroundings
from smtp_gateway.rates.throttle import AGAIN
from smtp_gateway.spool.memory import MemorySpool
from tests.support.conversation import Conversation
from tests.support.dispatching import AROUND, Clock, World, config, over, working
from tests.support.gateway import config as gateway_config
from tests.support.gateway import running, trusting
from tests.support.messages import new_message
from tests.support.sink import Sink
from tests.support.waiting import PAUSE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
    from pathlib import Path

    from smtp_gateway.app import Gateway
    from smtp_gateway.config.model import Config
    from smtp_gateway.spool.api import Settlement

THROTTLED = "454 Throttling failure: Maximum sending rate exceeded"


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[MutableMapping[str, object]]]:
    """Return what is logged."""
    with capture_logs() as logged:
        yield logged


@pytest.fixture
async def other() -> AsyncIterator[Sink]:
    """Another next hop."""
    async with Sink() as opened:
        yield opened


class CountingSpool(MemorySpool):
    """A spool that counts what is written about messages."""

    settlements = 0

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """Count, and settle."""
        self.settlements += 1
        return super().settle(settlement)


def paced(slow: Sink, free: Sink | None = None, **pace: int) -> Config:
    """Return a configuration with a route to *slow* that has *pace*, and all other mail to *free*."""
    route = over(slow, "slow", ("slow.example",)).model_copy(update={"pacing": Pacing(**pace) if pace else None})
    return config(route, over(free or slow))


class Ticks(Clock):
    """A clock that cannot be set."""

    def later(self, world: World, seconds: float) -> None:
        """Move it."""
        self.now += seconds
        world.dispatch.wake()


def to(sink: Sink) -> list[str]:
    """Return whom *sink* took mail for."""
    return [recipient for one in sink.taken for recipient in one.recipients]


async def test_mail_waits_for_its_pace_and_is_none_the_worse_for_it(
    sink: Sink, other: Sink, lines: list[MutableMapping[str, object]]
) -> None:
    """It goes in its order, a message a turn; without an attempt, a line or a write before that. Mail for elsewhere goes at once."""
    ticks, spool = Ticks(), CountingSpool()
    async with working(paced(sink, other, messages_per_minute=6), spool, replace(AROUND, ticks=ticks)) as world:
        for number in range(4):
            await world.put(f"u{number}@slow.example")
        for number in range(20):
            await world.put(f"v{number}@x.example")
        await eventually(lambda: len(other.taken) == 20 and len(sink.taken) == 1)
        await eventually(lambda: spool.settlements == 21)

        assert world.dispatch.paces()["slow"].waiting == 3
        assert spool.arrears(world.clock.now + 900, world.dispatch.on_time).lateness == 0, "who waits for a pace is not late"
        for turn in range(2, 5):
            ticks.later(world, 10.0)
            await eventually(partial(_is, lambda: spool.settlements, 20 + turn))
            assert len(sink.taken) == turn

        assert to(sink) == [f"u{number}@slow.example" for number in range(4)]
        assert world.counts.attempts == 24
        assert {line["event"] for line in lines} == {"delivered"}


async def test_the_next_turn_comes_by_itself(sink: Sink) -> None:
    """Nothing else has to happen for it."""
    async with working(paced(sink, messages_per_second=20)) as world:
        for number in range(5):
            await world.spool.put(new_message((f"u{number}@slow.example",), accepted_at=world.clock.now))
        world.dispatch.wake()

        await world.settled()


async def test_a_full_window_of_paced_mail_keeps_nobody_out(sink: Sink, other: Sink) -> None:
    """More than the window holds of both kinds: what is too much goes back, and mail for elsewhere that came after it is delivered."""
    bounds = replace(AROUND.bounds, waiting=4, paced=8)
    async with working(paced(sink, other, messages_per_minute=1), None, replace(AROUND, ticks=Ticks(), bounds=bounds)) as world:
        for number in range(40):
            await world.spool.put(new_message((f"u{number}@slow.example",), accepted_at=world.clock.now))
        await world.put("v@x.example")
        await eventually(lambda: len(other.taken) == 1)
        await eventually(lambda: len(sink.taken) == 1)

        await eventually(lambda: world.dispatch.paces()["slow"].waiting == 8)
        assert world.spool.depth().messages == 39
        assert world.counts.attempts == 2, "what went back was not tried"


@pytest.mark.parametrize("phase", ["connect", "MAIL", "RCPT", "body"])
async def test_a_next_hop_that_asks_for_less_gets_less(
    sink: Sink, other: Sink, lines: list[MutableMapping[str, object]], phase: str
) -> None:
    """At whatever point it says so: the rest of its mail waits, is not deferred, and goes; later it is as fast as before, and all is told."""
    ticks = Ticks()
    async with working(paced(sink, other), None, replace(AROUND, ticks=ticks)) as world:
        sink.answer(phase, THROTTLED if phase != "connect" else "421 4.7.0 Too many connections", times=1)
        await world.put("first@slow.example")
        await world.deferred()
        for number in range(3):
            await world.put(f"u{number}@slow.example")
        await world.put("v@x.example")
        await eventually(lambda: len(other.taken) == 1)

        assert sink.taken == []
        standing = world.dispatch.paces()["slow"]
        assert (standing.waiting, standing.throttled) == (3, 1)
        assert standing.rate == pytest.approx(0.5)
        assert [line["destination"] for line in lines if line["event"] == "destination throttled"] == ["slow/"]
        for turn in range(1, 4):
            ticks.later(world, 2.0)
            await eventually(partial(_is, lambda: len(sink.taken), turn))
        assert [line["event"] for line in lines].count("deferred") == 1
        ticks.later(world, 2 * AGAIN + 60)
        await eventually(lambda: "slow" not in world.dispatch.paces())
        assert lines[-1] == {"event": "destination recovered", "destination": "slow/", "log_level": "info"}
        for number in range(3):
            await world.put(f"w{number}@slow.example")
        await eventually(lambda: len(sink.taken) == 6)
        assert to(sink)[:3] == [f"u{number}@slow.example" for number in range(3)]


async def test_greylisting_slows_nobody_down(sink: Sink, lines: list[MutableMapping[str, object]]) -> None:
    """It is about one mail: the next goes at once."""
    async with working(paced(sink), None, replace(AROUND, ticks=Ticks())) as world:
        sink.answer("RCPT", "450 4.2.0 Greylisted, try again later", matching="first", times=1)
        await world.put("first@slow.example")
        await world.deferred()
        for number in range(3):
            await world.put(f"u{number}@slow.example")
        await eventually(lambda: len(sink.taken) == 3)

        assert world.dispatch.paces() == {}
        assert "destination throttled" not in {line["event"] for line in lines}


async def test_a_new_pace_counts_for_mail_that_waits(sink: Sink) -> None:
    """Without a restart: taken away, all that waited goes."""
    async with working(paced(sink, messages_per_minute=1), None, replace(AROUND, ticks=Ticks())) as world:
        for number in range(4):
            await world.put(f"u{number}@slow.example")
        await eventually(lambda: len(sink.taken) == 1 and world.dispatch.paces()["slow"].waiting == 3)

        world.dispatch.reconfigure(paced(sink))
        await world.settled()

        assert to(sink) == [f"u{number}@slow.example" for number in range(4)]


async def test_the_budget_of_a_day_outlives_the_process(tmp_path: Path, sink: Sink) -> None:
    """Two messages of one day go; the third waits over a restart, also when the clock was set back, and goes a day later."""
    settings = gateway_config(sink.port)
    route = settings.routes[-1].model_copy(update={"pacing": Pacing(messages_per_day=2)})
    settings = settings.model_copy(update={"routes": (*settings.routes[:-1], route)})

    async with running(tmp_path, settings) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
        await client.authenticated(trusting())
        for number in range(3):
            await client.send(b"Subject: %d\r\n\r\n.\r\n" % number)
        await eventually(lambda: len(sink.taken) == 2)
    assert (tmp_path / "spool" / NAME).exists()
    async with running(tmp_path, settings, Surroundings(clock=lambda: time.time() + 60.0)) as gateway:
        await _shown(gateway, 'smtp_gateway_paced_messages{route="default"} 1.0')
        assert len(sink.taken) == 2
    async with running(tmp_path, settings, Surroundings(clock=lambda: time.time() + 90_000.0)):
        await eventually(lambda: len(sink.taken) == 3)


def _is(counted: Callable[[], int], number: int) -> bool:
    return counted() == number


async def _shown(gateway: Gateway, line: str) -> None:
    """Wait until *line* is on the page of metrics."""
    async with aiohttp.ClientSession() as session:
        for _ in range(500):
            page = await session.get(f"http://127.0.0.1:{gateway.http_port}/metrics")
            if line in await page.text():
                return
            await asyncio.sleep(PAUSE)
    pytest.fail(f"not shown: {line}")
