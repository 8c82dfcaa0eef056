"""Dispatch and its destinations: those that rest, those that come back, and who goes first."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from smtp_gateway import dispatch
from smtp_gateway.config.model import HopTls, Route, Smarthost
from smtp_gateway.config.pace import Retry
from smtp_gateway.routing.circuit import MISSES
from smtp_gateway.spool.memory import MemorySpool
from smtp_gateway.spool.window import Bounds
from tests.support.dispatching import AROUND, A, config, hand_over, over, working
from tests.support.messages import new_message, octets
from tests.support.sink import Hang, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, MutableMapping

    from tests.support.dispatching import World

    Logs = list[MutableMapping[str, Any]]

REST = 30.0


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What was logged."""
    with capture_logs() as lines:
        yield lines


@asynccontextmanager
async def away(sink: Sink) -> AsyncIterator[World]:
    """A dispatch whose only destination was not there when five messages were tried, and rests."""
    route = Route(name="default", smarthosts=over(sink).smarthosts, retry=Retry(initial=REST, maximum=REST))
    await sink.stop()
    async with working(config(route)) as world:
        for _ in range(MISSES):
            await world.put(A)
        await world.deferred(MISSES)
        yield world


async def test_mail_for_a_resting_destination_is_deferred_without_a_connection(sink: Sink, logs: Logs) -> None:
    """It comes to what the last attempt came to, nothing is sent meanwhile, and the log says so once."""
    async with away(sink) as world:
        await sink.start()
        await world.put(A)
        await eventually(lambda: [log["event"] for log in logs].count("deferred") == MISSES + 1)

    assert sink.sessions == 0
    (rest,) = [log for log in logs if log["event"] == "destination rests"]
    assert (rest["destination"], rest["seconds"]) == ("default/", REST)
    assert "4.4.1" in rest["reply"]
    assert {log["reply"] for log in logs if log["event"] == "deferred"} == {rest["reply"]}


async def test_a_destination_that_comes_back_gets_everything(sink: Sink, logs: Logs) -> None:
    """After the rest one attempt goes first, and the others follow it."""
    async with away(sink) as world:
        await sink.start()
        world.later(REST)
        await world.settled()

    assert len(sink.taken) == MISSES
    assert [log["event"] for log in logs].count("destination answers") == 1


async def test_after_a_rest_one_attempt_goes_first(sink: Sink) -> None:
    """A next hop that still hangs takes one place, and not one for each message that waits for it."""
    async with away(sink) as world:
        sink.answer("connect", Hang())
        await sink.start()
        world.later(REST)
        await eventually(lambda: sink.sessions == 1)
        for _ in range(3):
            await world.put(A)
        for _ in range(20):
            world.later(0)
            await asyncio.sleep(0)

    assert sink.sessions == 1


async def test_new_routes_end_every_rest(sink: Sink) -> None:
    """What is said of a destination was said of other next hops."""
    async with away(sink) as world, Sink() as other:
        world.dispatch.reconfigure(config(over(other)))
        await world.put(A)
        await eventually(lambda: len(other.taken) == 1)


async def test_many_hanging_next_hops_do_not_stop_one_that_answers(sink: Sink) -> None:
    """Each takes a few places until it is known to answer; the backlog behind them is large."""
    async with Sink() as hanging:
        hanging.answer("connect", Hang())
        hop = Smarthost(host=hanging.host, port=hanging.port, tls=HopTls.NONE)
        slow = [Route(name=f"slow{number}", recipient_domains=(f"slow{number}.example",), smarthosts=(hop,)) for number in range(30)]
        async with working(config(*slow, over(sink))) as world:
            for number in range(600):
                await world.put(f"a@slow{number % 30}.example")
            await eventually(lambda: hanging.sessions >= 100)
            await world.put(A)
            await eventually(lambda: len(sink.taken) == 1)


async def test_a_full_window_is_looked_at_again_though_nothing_happens(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits behind a next hop that hangs goes back in time, without any other mail's coming or going."""
    monkeypatch.setattr(dispatch, "FULL_AGAIN", 0.05)
    spool = MemorySpool()
    async with Sink() as hanging:
        hanging.answer("connect", Hang())
        for _ in range(20):
            await spool.put(new_message(("a@slow.example",)))
        await spool.put(new_message((A,)))
        bounds = Bounds(attempts=4, per_destination=2, waiting=4, still=0.02)
        slow = over(hanging, "slow", ("slow.example",))
        async with working(config(slow, over(sink)), spool, replace(AROUND, bounds=bounds)):
            await eventually(lambda: len(sink.taken) == 1)


class UnreadSpool(MemorySpool):
    """A spool whose bodies are never read."""

    async def body(self, message_id: str) -> bytes:
        """Fail."""
        raise AssertionError(message_id)


async def test_new_mail_goes_from_hand_to_hand(sink: Sink) -> None:
    """A message that intake hands over is delivered from memory: the spool is not asked for it again."""
    spool = UnreadSpool()
    async with working(config(over(sink)), spool) as world:
        await eventually(lambda: world.dispatch.welcomes("app"))
        message = new_message((A,))
        world.dispatch.take(await spool.put(message, leased=True), octets(message))
        await world.settled()

    assert [taken.body for taken in sink.taken] == [message.body]


async def test_what_arrives_while_dispatch_stops_stays_in_the_queue(sink: Sink) -> None:
    """It is released, and due at the next start."""
    spool = MemorySpool()
    async with working(config(over(sink)), spool) as world:
        message = new_message((A,))
        await world.dispatch.stop(0)
        assert not world.dispatch.welcomes("app")
        world.dispatch.take(await spool.put(message, leased=True), octets(message))

    assert [entry.id for entry in spool.lease(world.clock.now, 1)] == [message.id]


async def test_a_flood_does_not_delay_another_application(sink: Sink) -> None:
    """One application's newsletter waits in the window; another's one message, handed over behind it, is among the next to go."""
    around = replace(AROUND, bounds=replace(AROUND.bounds, attempts=1))
    async with working(config(over(sink)), around=around) as world:
        for number in range(300):
            await hand_over(world, f"reader{number}@x.example", "newsletter")
        before = len(sink.taken)
        await hand_over(world, "user@x.example", "password-reset")
        await world.settled()

    # Behind those that were taken already, the one that was under way, and one whose turn it was.
    assert [taken.recipients[0] for taken in sink.taken].index("user@x.example") <= before + 2
