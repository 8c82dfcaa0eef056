"""Many messages at once over a next hop that misbehaves at random, in sessions that are reused: the sums have to come out."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import Route
from smtp_gateway.config.pace import Retry
from tests.support.dispatching import AROUND, config, over, working
from tests.support.hostile import QUICK, Drip, Endless, Gone, Mute, Reset, unforeseen
from tests.support.sink import EXTENSIONS, Cut, Raw, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from tests.support.sink import Answer

    Logs = list[MutableMapping[str, Any]]

MESSAGES = 60
RECIPIENTS = 3
TURNS = 80
"""Answers of each phase that are drawn; after them the server is well."""
WELL: dict[str, Answer] = {
    "connect": "220 Hello",
    "MAIL": Drip(reply="250 Ok"),
    "RCPT": "250 Ok",
    "DATA": "354 Go",
    "body": "250 Taken",
    "idle": Raw(b""),
    "RSET": "250 Ok",
}
BAD: tuple[Answer, ...] = (
    *("421 4.3.2 Closing", "450 4.2.1 Busy", "451 4.3.0 Later", "452 4.5.3 Too many", "399 What"),
    *(Cut(), Cut(b"25"), Cut(b"450 4.2.1 Busy\r\n"), Reset(), Mute(b"250-x\r\n"), Endless(b"250-x\r\n" * 100), Raw(b"OK\r\n")),
)
LOST: tuple[Answer, ...] = tuple(kind(octets, "250 Taken") for kind in (Gone, Mute, Reset) for octets in (b"", b"250 Ta"))
"""The server has the message and does not get it said."""
UNASKED: tuple[Answer, ...] = (
    Raw(b"421 4.4.2 Idle\r\n"),
    Raw(b"250 Ok\r\n"),
    Raw(b"x\r\n"),
    Cut(),
    Reset(),
    Mute(),
    Endless(b"\0" * 10_000),
)


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What was logged."""
    with capture_logs() as lines:
        yield lines


def script(sink: Sink, chance: random.Random) -> int:
    """Let *sink* misbehave; return how many messages it will at most have taken without saying so."""
    lost = 0
    for phase, well in WELL.items():
        bad = UNASKED if phase == "idle" else (*BAD, *LOST) if phase == "body" else BAD
        for _ in range(TURNS):
            answer = chance.choice(bad) if chance.random() < 0.2 else well
            lost += answer in LOST
            sink.answer(phase, answer, times=1)
    return lost


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("extensions", [EXTENSIONS, (*EXTENSIONS, "PIPELINING")], ids=["one by one", "pipelined"])
async def test_temporary_trouble_loses_nothing_and_returns_nothing(logs: Logs, extensions: tuple[str, ...], seed: int) -> None:
    """Each recipient has each message in the end; twice only as often as the server could not say that it had it; none is returned."""
    async with Sink(extensions=extensions) as sink, Sink() as home:
        sink.orderly = True
        lost = script(sink, random.Random(seed))  # noqa: S311 the same trouble each time
        route = Route(name="default", smarthosts=over(sink).smarthosts, retry=Retry(initial=1, maximum=2))
        async with working(config(over(home, "back", ("here.example",)), route), around=replace(AROUND, timeouts=QUICK)) as world:
            addresses = [[f"to-{message}-{number}@x.example" for number in range(RECIPIENTS)] for message in range(MESSAGES)]
            for recipients in addresses:
                await world.put(*recipients)

            def arrived() -> bool:
                world.later(1)
                return world.spool.depth().messages == 0

            await eventually(arrived, within=30, what="an empty queue")

    copies = Counter(recipient for taken in sink.taken for recipient in taken.recipients)
    assert set(copies) == {one for recipients in addresses for one in recipients}
    assert sum(copies.values()) <= (MESSAGES + lost) * RECIPIENTS
    assert home.taken == []
    assert unforeseen(logs) == []
