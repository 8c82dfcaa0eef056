"""Traps that others fell into, as far as they concern the queue: each has tests named after it, `test_trap_NN_what_is_right`.

Those that need nothing else stand beside what they are about (`grep -r test_trap_`); here are those that take a whole gateway, or the
whole way from the queue to a next hop. 1 refused connections, timeouts, no route and SERVFAIL are temporary; 2 a 5yz is one recipient's,
and a failing bounce restarts nothing; 3 a stale session costs no attempt; 4 several upstreams mean failover, never fan-out; 7 two workers
never hold one message; 8 routing is decided again at each attempt; 9 readiness follows the spool and needs no SMTP dialogue; 10 messages
and recipients are counted apart, and EHLO is not a request; 11 a drain with the upstream down stops accepting and keeps the spool;
13 opportunistic TLS to an MX does not verify, a configured smarthost does; 14 retries follow the documented curve; 16 log files are never
parsed for metrics.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import structlog
from structlog.testing import capture_logs

from smtp_gateway.config.model import HopTls, Route, Smarthost
from smtp_gateway.config.pace import Retry
from smtp_gateway.dispatch import Surroundings
from tests.support.conversation import Conversation
from tests.support.dispatching import AROUND, LIFETIME, A, B, working
from tests.support.dispatching import config as delivering
from tests.support.gateway import as_sent, config, running, trusting
from tests.support.hostile import QUICK
from tests.support.messages import NOW
from tests.support.sink import Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, MutableMapping

    from smtp_gateway.app import Gateway

    Logs = list[MutableMapping[str, Any]]

TLS = trusting()
TESTS = Path(__file__).parent.parent
OF_THE_QUEUE = {1, 2, 3, 4, 7, 8, 9, 10, 11, 13, 14, 16}


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What was logged."""
    with capture_logs() as lines:
        yield lines


def test_each_trap_of_the_queue_has_a_test_named_after_it() -> None:
    """A trap that nobody looks after any more is missed here."""
    sources = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))

    assert {int(number) for number in re.findall(r"^(?:async )?def test_trap_(\d\d)_", sources, re.MULTILINE)} >= OF_THE_QUEUE


def to(host: str, port: int) -> Route:
    """Return a route to one next hop."""
    return Route(name="default", smarthosts=(Smarthost(host=host, port=port, tls=HopTls.NONE),))


@asynccontextmanager
async def nobody(kind: str) -> AsyncIterator[tuple[str, int]]:
    """Give the address of a next hop that is not there, in one of the ways in which that happens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        if kind != "timed out":
            # A multicast address is the one that no machine has a TCP route to, whatever its network.
            yield ("224.0.0.1", 25) if kind == "no route" else ("127.0.0.1", port)
            return
        listening.listen(0)
        with socket.socket() as first, socket.socket() as second:  # with the backlog full, the kernel answers nobody else
            for one in (first, second):
                one.settimeout(0)
                one.connect_ex(("127.0.0.1", port))
            yield "127.0.0.1", port


@pytest.mark.parametrize("kind", ["refused", "no route", "timed out"])
async def test_trap_01_no_connection_is_temporary(kind: str, logs: Logs) -> None:
    """Whatever the system says of a connection that does not come about, the mail waits, until its lifetime is over."""
    async with nobody(kind) as (host, port):
        around = replace(AROUND, timeouts=replace(QUICK, connect=0.3))
        async with working(delivering(to(host, port)), around=around) as world:
            await world.put(A, sender="")
            await world.deferred()
            world.later(LIFETIME - 1)
            await world.deferred(2)
            assert world.spool.depth().messages == 1
            world.later(1)
            await world.settled()

    replies = {line["reply"] for line in logs if line["event"] in {"deferred", "bounced"}}
    assert len(replies) == 1
    assert {"refused": "refused", "no route": "unreachable", "timed out": "timed out"}[kind] in replies.pop().lower()


async def test_trap_04_several_upstreams_mean_failover_in_their_order() -> None:
    """Each message goes to the first that is there, once; when a probe finds it back, it has the mail again."""
    async with Sink() as first, Sink() as second:
        hops = tuple(Smarthost(host=one.host, port=one.port, tls=HopTls.NONE) for one in (first, second))
        async with working(delivering(Route(name="default", smarthosts=hops))) as world:
            await world.put(A, B)
            await world.settled()
            await first.stop()
            await world.put(A, B)
            await world.settled()
            await first.start()
            world.reachability.reached(hops[0])
            await world.put(A, B)
            await world.settled()

        assert [len(first.taken), len(second.taken)] == [2, 1]


async def page(gateway: Gateway, path: str) -> tuple[int, str]:
    """Ask the HTTP port of *gateway*."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{gateway.http_port}{path}") as answer:
        return answer.status, await answer.text()


async def metric(gateway: Gateway, name: str) -> float:
    """Return the sum of a metric's samples."""
    _, text = await page(gateway, "/metrics")
    return sum(float(value) for value in re.findall(rf"^smtp_gateway_{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


async def at_least(gateway: Gateway, name: str, least: float) -> None:
    """Wait until a metric has got so far."""
    async with asyncio.timeout(10):
        while await metric(gateway, name) < least:
            pass


async def test_trap_09_probes_need_no_smtp_dialogue(tmp_path: Path, sink: Sink) -> None:
    """Asking whether the gateway is ready opens no session, here or at the next hop, which need not even be there."""
    await sink.stop()
    async with running(tmp_path, config(sink.port)) as gateway:
        answers = [await page(gateway, path) for path in ("/livez", "/readyz") * 10]
        sessions = await metric(gateway, "sessions_total")

    assert answers == [(200, "ok\n")] * 20
    assert (sessions, sink.sessions) == (0, 0)


async def test_trap_10_messages_and_recipients_are_counted_apart(tmp_path: Path, sink: Sink) -> None:
    """One message to three is one message and three recipients, in and out; greetings and questions are neither."""
    sink.answer("RCPT", "550 5.1.1 Gone", matching="c@example.net")
    sink.answer("RCPT", "550 5.1.1 Gone", matching="a@example.com")  # the notice has nowhere to go
    async with running(tmp_path, config(sink.port)) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
        await client.authenticated(TLS)
        for command in ("EHLO again.example", "NOOP", "RSET", "EHLO again.example"):
            await client.ask(command)
        await client.ask("MAIL FROM:<a@example.com>")
        for name in "bcd":
            await client.ask(f"RCPT TO:<{name}@example.net>")
        await client.ask("DATA", "354 *")
        await client.write(b"x\r\n.\r\n")
        await client.expect("250 *")
        await at_least(gateway, "bounced_recipients_total", 2)

        counted = ("accepted_messages_total", "accepted_recipients_total", "delivered_recipients_total", "bounced_recipients_total")
        assert [await metric(gateway, name) for name in counted] == [1, 3, 2, 2]
        assert await metric(gateway, "delivery_age_seconds_count") == 1
        assert await metric(gateway, "sessions_total") == 1


async def test_trap_11_a_drain_with_the_upstream_down_stops_accepting_and_keeps_the_spool(tmp_path: Path, sink: Sink) -> None:
    """It ends within its grace, nobody connects any more, and what it had is delivered by its next life."""
    await sink.stop()
    bodies = [f"Subject: {number}\r\n\r\nkept\r\n.\r\n".encode() for number in range(5)]
    async with running(tmp_path, config(sink.port)) as gateway:
        async with Conversation.with_server(gateway.ports["submission"]) as client:
            await client.authenticated(TLS)
            for body in bodies:
                await client.send(body)
        await at_least(gateway, "deferred_recipients_total", 5)
        port = gateway.ports["submission"]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)

    await sink.start()
    async with running(tmp_path, config(sink.port), Surroundings(clock=lambda: time.time() + 3600)):
        await eventually(lambda: len(sink.taken) == 5)
    assert sorted(as_sent(taken.body) for taken in sink.taken) == bodies


def test_trap_13_a_configured_smarthost_is_verified_unless_it_says_otherwise() -> None:
    """The default is the safe one."""
    assert Smarthost(host="smtp.provider.example").tls is HopTls.VERIFY


async def test_trap_14_attempts_are_made_when_the_documented_curve_says_so(sink: Sink) -> None:
    """Through dispatch: not a second earlier, and the last one at the end of the lifetime, whatever the curve would say."""
    sink.answer("MAIL", "451 4.3.0 Later")
    route = Route(name="default", smarthosts=to(sink.host, sink.port).smarthosts, retry=Retry(initial=1.5, maximum=600))
    waits = []
    async with working(delivering(route)) as world:
        await world.put(A, sender="")
        attempts, due = 1, 0.0
        while world.clock.now < NOW + LIFETIME:
            await world.deferred(attempts)
            due = world.spool.next_due(world.clock.now) or 0.0
            waits.append(due - world.clock.now)
            attempts += 1
            world.later(waits[-1])
        await world.settled()

    assert waits == [1.5, 3, 6, 12, 24, 48, 96, 192, 384, 600, 600, 600, 600, LIFETIME - 3166.5]
    assert world.counts.attempts == len(waits) + 1


async def test_trap_16_metrics_are_counted_where_it_happens_and_not_from_the_log(tmp_path: Path, sink: Sink) -> None:
    """With every line of the log thrown away, the counts are the same."""

    def silence(*_: Any) -> Any:
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    before = processors[:]
    processors[:] = [silence]
    try:
        async with running(tmp_path, config(sink.port)) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
            await client.authenticated(TLS)
            await client.send(b"x\r\n.\r\n")
            await at_least(gateway, "delivered_recipients_total", 1)
            assert await metric(gateway, "accepted_messages_total") == 1
    finally:
        processors[:] = before
