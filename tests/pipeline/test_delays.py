"""Warnings of mail that waits without an attempt: at the age at which deferred mail has them, once, and without losing its place."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from smtp_gateway.bouncing import Bouncing
from smtp_gateway.config.model import Bounces, Config
from smtp_gateway.config.pace import Pacing
from smtp_gateway.delays import EVERY
from smtp_gateway.mail.dsn import NO_DSN, Asked, Dsn
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.dispatching import AROUND, Clock, World, config, over, working
from tests.support.messages import new_message
from tests.support.notices import parsed
from tests.support.sink import Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, MutableMapping
    from pathlib import Path

    Logs = list[MutableMapping[str, Any]]

WARNING = 900.0


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What was logged."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def home() -> AsyncIterator[Sink]:
    """The next hop of the senders' own domain."""
    async with Sink() as running:
        yield running


def paced(slow: Sink, home: Sink, warning: float | None = WARNING, **pace: int) -> Config:
    """Return a configuration with a route to *slow* that has *pace*, which warns of delays, by *home*."""
    route = over(slow, "slow", ("slow.example",)).model_copy(update={"pacing": Pacing(**pace)})
    return config(route, over(home), bounces=Bounces(delay_warning=warning))


async def queue(world: World, numbers: range, dsn: Dsn = NO_DSN) -> None:
    """Queue messages of an application's."""
    for number in numbers:
        message = new_message((f"u{number}@slow.example",), accepted_at=world.clock.now, identity="app")
        await world.spool.put(replace(message, envelope=replace(message.envelope, dsn=dsn)))
    world.dispatch.wake()


def later(world: World, ticks: Clock, seconds: float) -> None:
    """Let time pass on both clocks."""
    ticks.now += seconds
    world.later(seconds)


def has_taken(sink: Sink, messages: int) -> bool:
    """Tell whether so many have arrived."""
    return len(sink.taken) == messages


def to(sink: Sink) -> list[str]:
    """Return whom *sink* took mail for."""
    return [recipient for one in sink.taken for recipient in one.recipients]


def warned(home: Sink) -> list[str]:
    """Return whose delay was told, after demanding that nothing else was."""
    fields = [[*list(parsed(one.body).iter_parts())[1].iter_parts()][1] for one in home.taken]
    assert {one["Action"] for one in fields} <= {"delayed"}
    return [str(one["Final-Recipient"]).removeprefix("rfc822; ") for one in fields]


async def test_mail_that_waits_for_its_pace_is_warned_of_once_also_across_a_restart(sink: Sink, home: Sink, tmp_path: Path) -> None:
    """At the same age as deferred mail, and by a notice that says until when it is tried; it stays due, and is not late."""
    ticks, settings = Clock(), paced(sink, home, messages_per_day=1)
    spool = await DiskSpool.open(tmp_path, NullObserver())
    async with working(settings, spool, replace(AROUND, ticks=ticks)) as world:
        await queue(world, range(4))
        await eventually(lambda: len(sink.taken) == 1, what="the first")
        later(world, ticks, WARNING - 1)
        await eventually(lambda: len(world.dispatch.paces()) == 1)
        assert home.taken == []
        later(world, ticks, EVERY)
        await eventually(lambda: len(home.taken) == 3 and spool.depth().messages == 3, what="warnings")
        assert world.dispatch.paces()["slow"].waiting == 3
        assert spool.arrears(world.clock.now, world.dispatch.on_time).lateness == 0
        assert world.counts.notices == [("delay", "sender")] * 3
        assert world.counts.attempts == 1 + 3
    await spool.close()
    spool = await DiskSpool.open(tmp_path, NullObserver())
    async with working(settings, spool, replace(AROUND, ticks=ticks)) as world:
        later(world, ticks, 10 * WARNING)
        await eventually(lambda: len(sink.taken) == 2, what="the next")
        later(world, ticks, EVERY)
        await eventually(lambda: world.dispatch.paces()["slow"].waiting == 2)
    await spool.close()

    assert warned(home) == [f"u{number}@slow.example" for number in (1, 2, 3)]
    text = next(parsed(home.taken[0].body).iter_parts()).get_content()
    assert "waits for its turn" in text
    assert "It is tried until " in text


async def test_a_warning_costs_no_turn(sink: Sink, home: Sink) -> None:
    """Mail leaves in the order in which it came, whoever was warned of it meanwhile."""
    ticks = Clock()
    async with working(paced(sink, home, messages_per_minute=1), None, replace(AROUND, ticks=ticks)) as world:
        await queue(world, range(3))
        await eventually(lambda: len(sink.taken) == 1)
        world.clock.now += WARNING
        await queue(world, range(3, 6))
        for turn in range(2, 7):
            later(world, ticks, 60.0)
            await eventually(partial(has_taken, sink, turn), what=f"turn {turn}")
        await world.settled()

    assert to(sink) == [f"u{number}@slow.example" for number in range(6)]
    assert "u2@slow.example" in warned(home)


async def test_who_asked_is_warned_without_a_setting(sink: Sink, home: Sink) -> None:
    """NOTIFY=DELAY counts after four hours, and who did not ask is told nothing."""
    ticks, asked = Clock(), Dsn("", "", {"u1@slow.example": Asked("DELAY")})
    async with working(paced(sink, home, None, messages_per_day=1), None, replace(AROUND, ticks=ticks)) as world:
        await queue(world, range(1))
        await eventually(lambda: len(sink.taken) == 1)
        await queue(world, range(1, 2), asked)
        await queue(world, range(2, 3))
        later(world, ticks, 4 * 3600)
        await eventually(lambda: len(home.taken) == 1, what="warning")
        later(world, ticks, EVERY)
        await eventually(lambda: world.dispatch.paces()["slow"].waiting == 2)

        assert warned(home) == ["u1@slow.example"]


async def test_mail_that_finds_no_place_to_wait_is_warned_of_too(sink: Sink, home: Sink) -> None:
    """What goes back to the queue because too much waits is as late."""
    ticks, bounds = Clock(), replace(AROUND.bounds, paced=1)
    settings = paced(sink, home, messages_per_day=1)
    async with working(settings, None, replace(AROUND, ticks=ticks, bounds=bounds)) as world:
        await queue(world, range(1))
        await eventually(lambda: len(sink.taken) == 1)
        world.clock.now -= WARNING
        await queue(world, range(1, 4))
        world.clock.now += WARNING
        world.dispatch.wake()
        await eventually(lambda: sorted(warned(home)) == [f"u{number}@slow.example" for number in (1, 2, 3)], what="warnings")
        await eventually(lambda: world.spool.depth().messages == 3, what="no notice in the queue")


async def test_a_fault_in_a_warning_holds_nothing_up(sink: Sink, home: Sink, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message comes back later, the cause is in the log, and the others are told about."""
    ticks, faults = Clock(), iter([RuntimeError("unforeseen")])
    real = Bouncing.told

    def explode(*about: Any) -> Any:
        for fault in faults:
            raise fault
        return real(*about)

    async with working(paced(sink, home, messages_per_day=1), None, replace(AROUND, ticks=ticks)) as world:
        await queue(world, range(1))
        await eventually(lambda: world.counts.seen == [("delivered", "slow", 1)])
        monkeypatch.setattr(Bouncing, "told", explode)
        await queue(world, range(1, 3))
        later(world, ticks, WARNING)
        await eventually(lambda: warned(home) == ["u2@slow.example"], what="the second warning")
        await eventually(lambda: world.spool.depth().messages == 2, what="no notice in the queue")

    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["delay not told"]
