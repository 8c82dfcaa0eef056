"""When smarthosts are probed and what is known of them, in a time of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import Config, Listener, Route, Smarthost
from smtp_gateway.config.report import Cause
from smtp_gateway.probing.probe import Finding
from smtp_gateway.probing.upstreams import FAILED, SETTLED, UNKNOWN, WELL, Sources, Standing, Upstreams, pause
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from types import TracebackType

NOW = 1_800_000_000.0
WELL_FOUND = Finding(None, "250 2.0.0 Ok")
GONE = Finding(Cause.REFUSED, "Connection refused")
ONE, OTHER = Smarthost(host="one.example"), Smarthost(host="other.example", port=587)


def config(*routes: tuple[Smarthost, ...]) -> Config:
    """Return a configuration with a route to each of *routes*."""
    names = [f"r{number}" for number in range(len(routes))]
    found = [Route(name=name, recipient_domains=("x.example",), smarthosts=hops) for name, hops in zip(names, routes, strict=True)]
    listeners = (Listener(name="submission", port=587),)
    return Config(hostname="mail.example.com", listeners=listeners, routes=(*found, Route(name="default")))


def refused(times: int) -> Standing:
    """Return what is known after so many probes that credentials were refused to."""
    standing = UNKNOWN
    for _ in range(times):
        standing = standing.after(Finding(Cause.AUTHENTICATION_REJECTED, "535 5.7.8 No"), NOW)
    return standing


class World:
    """Upstreams whose probes answer what the test says, and whose pauses end when it says so."""

    def __init__(self, configuration: Config) -> None:
        """Prepare."""
        self.probed: list[str] = []
        self.now = NOW
        self.pauses: dict[asyncio.Future[None], float] = {}
        self.finding: Finding | Exception = WELL_FOUND
        self.hanging: set[str] = set()
        self.at_once = 0
        self.restored: list[str] = []
        self.upstreams = Upstreams(configuration, self.probe, self.restored.append, Sources(lambda: self.now, lambda: 0.0, self.sleep))

    async def probe(self, smarthost: Smarthost) -> Finding:
        """Answer."""
        self.probed.append(smarthost.host)
        self.at_once += 1
        try:
            if smarthost.host in self.hanging:
                await asyncio.get_running_loop().create_future()
        finally:
            self.at_once -= 1
        if isinstance(self.finding, Exception):
            raise self.finding
        return self.finding

    async def sleep(self, seconds: float) -> None:
        """Wait until the test goes on."""
        woken = asyncio.get_running_loop().create_future()
        self.pauses[woken] = seconds
        try:
            await woken
        finally:
            del self.pauses[woken]

    async def paused(self, *seconds: float) -> None:
        """Wait until the pauses are *seconds*."""
        await eventually(lambda: sorted(self.pauses.values()) == sorted(seconds))

    async def probed_again(self, *seconds: float) -> None:
        """End all pauses, and wait until the next ones are *seconds*."""
        before = tuple(self.pauses)
        self.go_on()
        await eventually(lambda: not any(one in self.pauses for one in before))
        await self.paused(*seconds)

    def go_on(self) -> None:
        """End all pauses."""
        for woken in tuple(self.pauses):
            woken.set_result(None)

    async def __aenter__(self) -> Self:
        """Begin."""
        self._running = asyncio.create_task(self.upstreams.run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """End, with what went wrong."""
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running


@pytest.mark.parametrize(
    ("standing", "chance", "seconds"),
    [
        (UNKNOWN, 0.0, FAILED),
        (Standing(WELL_FOUND, NOW, NOW), 0.0, WELL),
        (Standing(WELL_FOUND, NOW, NOW), 0.5, WELL * 0.9),
        (Standing(GONE, NOW, NOW - 60), 0.0, FAILED),
        (Standing(GONE, NOW, NOW - 60), 1.0, FAILED * 0.8),
        (refused(1), 0.0, 15.0),
        (refused(3), 0.0, 60.0),
        (refused(3).after(GONE, NOW), 0.0, FAILED),
        (refused(9), 0.0, 300.0),
    ],
)
def test_the_next_probe_comes_sooner_after_a_failure(standing: Standing, chance: float, seconds: float) -> None:
    """A minute where it is well, a quarter where it is not, more where each is one more failed login, and a part less at random."""
    assert pause(standing, chance) == pytest.approx(seconds)


async def test_each_smarthost_is_probed_at_once_and_again() -> None:
    """One that two routes name is probed once and known for both; routes to MX have none."""
    async with World(config((ONE, OTHER), (ONE,))) as world:
        assert [upstream.report.reachable for upstream in world.upstreams] == [None, None, None]
        await world.paused(WELL, WELL)
        assert sorted(world.probed) == ["one.example", "other.example"]
        world.go_on()
        await eventually(lambda: len(world.probed) == 4)

    reports = [upstream.report for upstream in world.upstreams]
    assert [(one.route, one.host, one.port) for one in reports] == [
        ("r0", "one.example", 25),
        ("r0", "other.example", 587),
        ("r1", "one.example", 25),
    ]
    assert {(one.reachable, one.cause, one.reply, one.checked_at) for one in reports} == {(True, "", "250 2.0.0 Ok", NOW)}


async def test_a_failure_is_known_with_its_cause_and_logged_once() -> None:
    """So is the repair; the last success is remembered."""
    with capture_logs() as logs:
        async with World(config((ONE,))) as world:
            await world.paused(WELL)
            world.finding = GONE
            for probes in (2, 3):
                world.go_on()
                await eventually(lambda: len(world.probed) == probes)  # noqa: B023 awaited before the next turn
                await world.paused(FAILED)
            (upstream,) = world.upstreams
            report = upstream.report
            assert (report.reachable, report.cause, report.reply) == (False, "Refused", "Connection refused")
            assert upstream.standing.reached_at == NOW
            world.finding = WELL_FOUND
            world.go_on()
            await world.paused(WELL)

    assert [(line["event"], line["host"]) for line in logs] == [
        ("upstream unreachable", "one.example"),
        ("upstream reachable", "one.example"),
    ]


async def test_a_new_smarthost_is_probed_at_once_and_a_removed_one_no_more() -> None:
    """What stays as it was keeps its turn; what hangs is cut when nobody names it."""
    world = World(config((ONE, OTHER)))
    world.hanging = {"other.example"}
    async with world:
        await world.paused(WELL)
        assert world.at_once == 1
        changed = ONE.model_copy(update={"port": 2525})
        world.upstreams.reconfigure(config((ONE, changed)), world.probe)
        await world.paused(WELL, WELL)
        assert (world.probed, world.at_once) == (["one.example", "other.example", "one.example"], 0)
        assert [upstream.report.reachable for upstream in world.upstreams] == [True, True]


async def test_a_fault_that_nobody_foresaw_ends_no_probes() -> None:
    """Its cause is in the log, and the next probe comes."""
    world = World(config((ONE,)))
    world.finding = ValueError("a mistake of ours")
    with capture_logs() as logs:
        async with world:
            await world.paused(FAILED)
            world.finding = WELL_FOUND
            world.go_on()
            await world.paused(WELL)

    assert [line["event"] for line in logs] == ["probe failed"]
    assert [upstream.report.reachable for upstream in world.upstreams] == [True]


async def test_a_route_is_told_when_one_of_its_smarthosts_is_back() -> None:
    """Once, when none was there before; not at the start, and not while another one was there all the time."""
    async with World(config((ONE,), (ONE, OTHER))) as world:
        await world.paused(WELL, WELL)
        assert world.restored == []
        world.finding = GONE
        await world.probed_again(FAILED, FAILED)
        world.hanging = {"other.example"}
        world.finding = WELL_FOUND
        await world.probed_again(WELL)
        assert world.restored == ["r0", "r1"]
        await world.probed_again(WELL)
        assert world.restored == ["r0", "r1"]


async def test_a_corrected_smarthost_brings_its_route_back() -> None:
    """The new one counts as the return of the one before, which could not be used."""
    async with World(config((ONE,))) as world:
        await world.paused(WELL)
        world.finding = GONE
        await world.probed_again(FAILED)
        world.finding = WELL_FOUND
        world.upstreams.reconfigure(config((OTHER,)), world.probe)
        await world.paused(WELL)

    assert world.restored == ["r0"]


async def test_a_changed_smarthost_brings_its_route_back_though_no_probe_had_missed_it() -> None:
    """Mail may have: a password can be wrong for less time than lies between two probes. Routes that stay as they were are left alone."""
    async with World(config((ONE,), (ONE,))) as world:
        await world.paused(WELL)
        world.upstreams.reconfigure(config((OTHER,), (ONE,)), world.probe)
        await world.paused(WELL, WELL)
        world.upstreams.reconfigure(config((OTHER,), (ONE,), (OTHER,)), world.probe)
        await world.probed_again(WELL, WELL)

    assert world.restored == ["r0"]


async def test_a_smarthost_that_refused_in_words_brings_nothing_back() -> None:
    """It may have refused because it was sent too much."""
    async with World(config((ONE,))) as world:
        await world.paused(WELL)
        world.finding = Finding(Cause.REJECTED, "421 4.7.0 Too many connections")
        await world.probed_again(FAILED)
        world.finding = WELL_FOUND
        await world.probed_again(WELL)

    assert world.restored == []


async def test_mail_that_does_not_get_through_has_its_route_probed_at_once() -> None:
    """What was well of it, and of no other route; a change for the worse is known without waiting for the next turn."""
    third = Smarthost(host="third.example")
    async with World(config((ONE, OTHER), (third,))) as world:
        await world.paused(WELL, WELL, WELL)
        world.now += SETTLED
        world.finding = GONE
        world.upstreams.doubt("r0")
        await world.paused(WELL, FAILED, FAILED)
        assert sorted(world.probed[3:]) == ["one.example", "other.example"]

    assert [upstream.report.reachable for upstream in world.upstreams] == [False, False, True]


async def test_doubt_makes_no_haste_about_what_was_just_seen_or_is_known() -> None:
    """A smarthost that takes every other connection, one that is known not to answer, one that is being probed: none is probed for it."""
    world = World(config((ONE, OTHER)))
    world.hanging = {"other.example"}
    async with world:
        await world.paused(WELL)
        world.now += SETTLED - 1
        world.upstreams.doubt("r0")
        world.finding = GONE
        await world.probed_again(FAILED)
        assert (len(world.probed), world.at_once) == (3, 1)
        world.now += SETTLED
        world.upstreams.doubt("r0")
        world.upstreams.doubt("nobody's")
        await world.probed_again(FAILED)

    assert len(world.probed) == 4
