"""The real gateway is killed at each step of durability and at random under load: what was acknowledged is delivered, returned or queued.

One spool has many lives. After each kill what clients hold an acknowledgement for is compared with what the next hop holds and with a copy
of the spool; in the end, with what was delivered. `KILLS` is the number of kills at random.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import HopTls, Route, Smarthost
from smtp_gateway.config.pace import Retry
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.spool.window import Bounds
from smtp_gateway.telemetry.observer import NullObserver
from tests.crash.around import BACKLOG, CLIENTS, Client, NextHop
from tests.crash.lives import Alone, Fatal, Forked, Life
from tests.crash.marked import Owed, read, unstuffed
from tests.support.gateway import PATIENCE, config, write_config, write_pair
from tests.support.messages import whole
from tests.support.ports import free_port
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLS = int(os.environ.get("KILLS", "64"))
"""Kills at random; those at each step come on top."""
STEPS = [
    *[Fatal(*step) for step in (("fsync", 1), ("fsync", 2), ("fsync", 3, "after"), ("fdatasync", 1), ("fdatasync", 1, "after"))],
    *[Fatal("put", number) for number in (1, 20)],
    *[Fatal("fdatasync", number, when, behind="put") for number in (1, 2, 9) for when in ("before", "after")],
    *[Fatal("write", number, when, behind="put") for number in (1, 2) for when in ("before", "within", "after")],
    *[Fatal("fsync", number, when, behind="write") for number in (1, 2, 3, 4) for when in ("before", "after")],
    *[Fatal("rename", number, when) for number in (1, 2) for when in ("before", "after")],
    *[Fatal(kind, number) for kind in ("settle", "defer", "bounce") for number in (1, 4)],
    *[Fatal("fdatasync", 1, when, behind=kind) for kind in ("settle", "defer", "bounce") for when in ("before", "after")],
    *[Fatal("unlink", number, when, behind="settle") for number in (1, 2) for when in ("before", "after")],
]
"""A settlement is what follows the next hop's answer: to be killed before it is to deliver again, and there alone."""
IN_DELIVERY = Bounds().attempts
"""Messages that a gateway delivers at once, at most: no more can be with the next hop and unsettled."""
FAR = 1e10
"""Seconds since the epoch by which everything is due."""


@dataclass
class Ordeal:
    """A gateway's lives, and the books about them."""

    folder: Path
    hop: NextHop
    clients: list[Client]
    arguments: list[str]
    kills: int = 0
    in_flight: Counter[Owed] = field(default_factory=Counter)
    """How often something was delivered and not settled when the gateway was killed: then it is delivered again."""
    _outstanding: set[Owed] = field(default_factory=set)
    most: int = 0
    """Messages that were in flight at one kill, at most."""

    def life(self, fatal: Fatal | None = None, *, alone: bool = False) -> Life:
        """Begin one more, to a next hop that refuses anew."""
        self.hop.refuse()
        return Alone(self.arguments, self.folder) if alone else Forked(self.arguments, self.folder, fatal)

    def outstanding(self) -> set[Owed]:
        """Return what clients hold an acknowledgement for and the next hop has not."""
        for client in self.clients:
            self._outstanding |= client.news()
        self._outstanding = {one for one in self._outstanding if one not in self.hop.arrived}
        return self._outstanding

    @property
    def acknowledged(self) -> int:
        """How many recipients clients hold an acknowledgement for."""
        return sum(client.held for client in self.clients)

    def backlog(self) -> int:
        """Tell roughly how much is acknowledged and has not arrived."""
        return self.acknowledged - len(self.hop.arrived)

    def acknowledge(self, recipients: int) -> None:
        """Wait until so many more are acknowledged, or clients hold back: whatever the speed of the machine, there is something to lose."""
        enough = self.acknowledged + recipients
        eventually_sync(lambda: self.acknowledged >= enough or self.backlog() > BACKLOG, PATIENCE, "acknowledgements")

    def judge(self, life: Life) -> None:
        """Compare the books after *life* was killed."""
        assert life.ended(PATIENCE) == -signal.SIGKILL
        self.kills += 1
        self.hop.quiet()
        copy = self.folder / "copy"
        if (self.folder / "spool").exists():  # not before the first life has come so far
            shutil.copytree(self.folder / "spool", copy, ignore=shutil.ignore_patterns("*.sock"))
        owed, returning = asyncio.run(queued(copy))
        shutil.rmtree(copy)
        assert self.outstanding() - owed - returning == set(), f"lost at kill {self.kills}"
        assert self.hop.damaged == []
        again = {one for one in owed if one in self.hop.delivered} | {one for one in returning if one in self.hop.returned}
        self.in_flight.update(again)
        self.most = max(self.most, len({marker for marker, _ in again}))

    def finish(self) -> None:
        """Let a last life deliver everything, and judge all of them."""
        for client in self.clients:
            client.stop()
        life = self.life()
        try:
            eventually_sync(lambda: not self.outstanding(), 60, "everything to arrive", pause=0.1)
        finally:
            life.stop()
            assert life.ended(PATIENCE) == 0, (self.folder / "log").read_text()[-2000:]
        assert [fault for client in self.clients for fault in client.faults] == []
        assert self.hop.damaged == []
        excess = {what: times - 1 - self.in_flight[what] for what, times in (self.hop.delivered + self.hop.returned).items()}
        assert {what: times for what, times in excess.items() if times > 0} == {}, "delivered more often than kills explain"
        assert self.most <= IN_DELIVERY

    def figures(self) -> str:
        """Return what was counted, as a sentence."""
        arrived = self.hop.delivered + self.hop.returned
        duplicates = sum(arrived.values()) - len(arrived)
        return (
            f"{self.kills} kills: {self.acknowledged} recipients acknowledged, {len(self.hop.delivered)} delivered, "
            f"{len(self.hop.returned)} returned, none lost; {duplicates} duplicates of {sum(self.in_flight.values())} in flight at the kills, "
            f"{self.most} messages at most at one"
        )


async def queued(folder: Path) -> tuple[set[Owed], set[Owed]]:
    """Return what a spool owes to recipients, and what it is about to return to the sender; every body must be intact."""
    spool = await DiskSpool.open(folder, NullObserver())
    owed, returning = set[Owed](), set[Owed]()
    try:
        for entry in spool.lease(FAR, 1_000_000):
            found = read(unstuffed(await whole(await spool.body(entry.id))))
            assert found.intact
            (returning if found.returned else owed).update(found.owed(tuple(one.address for one in entry.recipients)))
        assert spool.depth().damaged == 0
    finally:
        await spool.close()
    return owed, returning


@contextmanager
def ordeal(folder: Path) -> Iterator[Ordeal]:
    """Set everything up around a gateway that is not there yet."""
    with ExitStack() as stack:
        hop = stack.enter_context(NextHop(folder / "arrived"))
        route = Route(
            name="default",
            smarthosts=(Smarthost(host="127.0.0.1", port=hop.port, tls=HopTls.NONE),),
            retry=Retry(initial=0.1, maximum=0.5),
        )
        configuration = config().model_copy(update={"routes": (route,)})
        write_config(folder / "config", configuration)
        write_pair(folder / "tls")
        port = free_port()  # every life has the same, as clients expect
        options = ("--config", "config", "--tls", "tls", "--spool", "spool", "--host", "127.0.0.1", "--http-host", "127.0.0.1")
        ports = ("--http-port", "0", "--port", f"submission={port}", "--port", "submissions=0", "--grace", "5")
        made = Ordeal(folder, hop, [], ["run", *options, *ports])
        for name in range(CLIENTS):
            made.clients.append(Client(name, port, folder / f"client-{name}", made.backlog))
            stack.callback(made.clients[-1].stop)
        yield made


@pytest.mark.timeout(60 + 10 * len(STEPS))
def test_a_kill_at_each_step_loses_nothing(tmp_path: Path, figures: list[str]) -> None:
    """The process dies before, after or within a step, and the next one finds its spool."""
    with ordeal(tmp_path) as made:
        for fatal in STEPS:
            life = made.life(fatal)
            try:
                assert life.ended(PATIENCE) is not None, f"not reached: {fatal}"
            finally:
                life.kill()
            made.judge(life)
        made.finish()
        figures.append(f"gateway, at each step: {made.figures()}")

    assert made.kills == len(STEPS)


@pytest.mark.timeout(120 + 5 * KILLS)
def test_kills_at_random_under_load_lose_nothing(tmp_path: Path, figures: list[str]) -> None:
    """Every fourth life may end while it starts, in some the next hop is away at first, and every eighth is a process from nothing."""
    chance = random.Random(587)  # noqa: S311 a reproducible choice, not a secret
    with ordeal(tmp_path) as made:
        for number in range(KILLS):
            if away := chance.random() < 0.25:
                made.hop.away()
            life = made.life(alone=number % 8 == 0)
            try:
                if number % 4:
                    made.acknowledge(chance.randrange(30))
                if away:
                    made.hop.open()
                time.sleep(chance.uniform(0.0, 0.5))  # the moment of the kill is the point, nothing is waited for
            finally:
                life.kill()
            made.judge(life)
        made.finish()
        figures.append(f"gateway, at random: {made.figures()}")

    assert made.acknowledged >= 5 * KILLS
    assert made.hop.delivered


def test_a_loss_and_a_duplicate_would_be_found(tmp_path: Path) -> None:
    """The test of the test: an acknowledgement that nobody has mail for, and a delivery that no kill explains."""
    with ordeal(tmp_path) as made:
        life = made.life(Fatal("settle", 2))
        try:
            assert life.ended(PATIENCE) is not None
        finally:
            life.kill()
        made.judge(life)
        made.hop.delivered[("0-1", "twice@x.example")] += 2
        with pytest.raises(AssertionError, match="more often than kills explain"):
            made.finish()
        with (tmp_path / "client-0").open("a") as register:
            register.write("0-0 nobody@x.example\n")
        with pytest.raises(AssertionError, match="lost at kill 2"):
            made.judge(life)
