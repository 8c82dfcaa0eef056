"""From the spool to the next hop and back: leases, routes, retries, bounces, and what is logged and counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import Route
from smtp_gateway.config.pace import Retry
from smtp_gateway.mail.dsn import Asked, Dsn
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool.api import Recipient
from smtp_gateway.spool.window import Bounds
from tests.support.dispatching import AROUND, LIFETIME, TIMEOUTS, A, B, config, over, working
from tests.support.dns import NameServer
from tests.support.messages import NOW, new_message
from tests.support.sink import EXTENSIONS, Cut, Hang, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from tests.support.dispatching import World

    Logs = list[MutableMapping[str, Any]]


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What was logged; also keeps the format of the log out of these tests."""
    with capture_logs() as lines:
        yield lines


async def test_a_message_is_delivered_and_leaves_the_queue(sink: Sink, logs: Logs) -> None:
    """One attempt, one delivery, one log line that names message, route, hop and reply."""
    async with working(config(over(sink))) as world:
        message_id = await world.put(A, B)
        await world.settled()

    assert [taken.recipients for taken in sink.taken] == [(A, B)]
    assert world.counts.seen == [("delivered", "default", 2)]
    (line,) = [log for log in logs if log["event"] == "delivered"]
    assert (line["message_id"], line["route"], line["recipients"], line["to"], line["attempts"]) == (message_id, "default", 2, [A, B], 1)
    assert (line["hop"], line["reply"]) == (f"127.0.0.1[127.0.0.1]:{sink.port}", "250 2.0.0 Taken")


async def test_trap_01_a_refused_connection_is_temporary_and_the_retry_delivers(sink: Sink) -> None:
    """Trap 1: a refused connection is a deferral, and the retry delivers."""
    async with working(config(over(sink))) as world:
        await sink.stop()
        await world.put(A)
        await world.deferred()
        assert world.spool.next_due(world.clock.now) == NOW + 30
        await sink.start()
        world.later(30)
        await world.settled()

    assert [taken.recipients for taken in sink.taken] == [(A,)]
    assert world.counts.seen == [("deferred", "default", 1), ("delivered", "default", 1)]


async def test_only_what_was_deferred_is_tried_again(sink: Sink) -> None:
    """A recipient that was delivered is not sent to again when another one was deferred."""
    sink.answer("RCPT", "450 4.2.1 Busy", matching=A, times=1)
    async with working(config(over(sink))) as world:
        await world.put(A, B)
        await world.deferred()
        world.later(30)
        await world.settled()

    assert [taken.recipients for taken in sink.taken] == [(B,), (A,)]


async def test_each_recipient_comes_back_by_its_own_curve(sink: Sink) -> None:
    """One route's recipient is not tried again because another's is due; the message remembers what was said."""
    sink.answer("RCPT", "450 4.2.1 Busy")
    slow = replace_retry(over(sink, "slow", ("x.example",)), Retry(initial=100, jitter=0))
    async with working(config(slow, replace_retry(over(sink), Retry(initial=10, jitter=0)))) as world:
        message_id = await world.put(A, "c@y.example")
        for attempts, seconds in ((2, 10), (3, 20), (4, 40), (5, 0)):
            await world.deferred(attempts)
            world.later(seconds)
        history = world.spool.history(MessageId(message_id))

    assert (world.counts.attempts, world.counts.retries) == (5, 3)
    assert [(row.recipients, row.times, row.until - row.at) for row in history] == [
        ((A, "c@y.example"), 1, 0),
        (("c@y.example",), 3, 60),
    ]


async def test_trap_02_a_permanent_failure_bounces_that_recipient_only(sink: Sink, logs: Logs) -> None:
    """Trap 2: one 5xx makes one notice about one recipient, to the sender, from `<>`; the other one has its mail."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching=A)
    async with working(config(over(sink))) as world:
        await world.put(A, B)
        await world.settled()

    first, second = sink.taken
    assert (first.recipients, second.sender, second.recipients) == ((B,), "", ("me@here.example",))
    status = list(message_from_bytes(second.content).walk())[2]
    assert f"Final-Recipient: rfc822; {A}" in str(status)
    assert B not in str(status)
    (line,) = [log for log in logs if log["event"] == "bounced"]
    assert (line["to"], line["reply"]) == ([A], "550 5.1.1 No such user")
    assert line["notice"] in {log["message_id"] for log in logs if log["event"] == "delivered"}


async def test_trap_02_a_failing_bounce_never_restarts_its_message(sink: Sink, logs: Logs) -> None:
    """Trap 2: a notice that cannot be delivered is logged and gone; no notice about it is sent, and the original stays delivered."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching=A)
    sink.answer("RCPT", "550 5.1.1 Nor here", matching="me@here.example")
    async with working(config(over(sink))) as world:
        await world.put(A, B)
        await world.settled()

    assert [taken.recipients for taken in sink.taken] == [(B,)]
    bounced = [log for log in logs if log["event"] == "bounced"]
    assert [log["to"] for log in bounced] == [[A], ["me@here.example"]]
    assert bounced[1]["notice"] is None


async def asking(world: World, **asked: str) -> None:
    """Queue a message whose recipients ask for `NOTIFY`, and wait until the queue is empty."""
    dsn = Dsn("HDRS", "QQ1", {f"{name}@x.example": Asked(notify, "rfc822;o@x") for name, notify in asked.items()})
    message = new_message((A, B))
    await world.spool.put(replace(message, envelope=replace(message.envelope, dsn=dsn)))
    world.dispatch.wake()
    await world.settled()


async def test_who_asked_not_to_be_told_is_not_told(sink: Sink, logs: Logs) -> None:
    """NOTIFY=NEVER, and NOTIFY without FAILURE, make no bounce (RFC 3461 section 4.1); the log says so of each."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching="@x.example")
    async with working(config(over(sink))) as world:
        await asking(world, a="NEVER", b="SUCCESS,DELAY")
        assert sink.taken == []
        await asking(world, a="NEVER", b="FAILURE")

    (told,) = sink.taken
    assert f"Final-Recipient: rfc822; {B}".encode() in told.content
    assert A.encode() not in told.content
    notices = [log["notice"] for log in logs if log["event"] == "bounced"]
    assert notices[0] is None
    assert notices[-1] is not None


@pytest.mark.parametrize("pipelining", [(), ("PIPELINING",)], ids=["one by one", "pipelined"])
async def test_what_was_asked_goes_to_next_hops_that_know_dsn_and_to_no_others(pipelining: tuple[str, ...]) -> None:
    """RFC 3461 section 5.2: all of it, as it was given, or nothing."""
    for extensions in (EXTENSIONS, (*EXTENSIONS, "DSN")):
        async with Sink(extensions=(*extensions, *pipelining)) as sink, working(config(over(sink))) as world:
            await asking(world, b="SUCCESS,FAILURE")
        told = "DSN" in extensions
        assert sink.taken[0].recipients == (A, B)
        assert sink.taken[0].parameters.endswith(" RET=HDRS ENVID=QQ1") is told
        assert f"RCPT TO:<{A}>" in sink.commands
        assert f"RCPT TO:<{B}>{' NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o@x' if told else ''}" in sink.commands


async def test_mail_is_returned_when_its_lifetime_is_over(sink: Sink) -> None:
    """The last attempt is made at the end of the lifetime; then the notice quotes the last temporary reply."""
    sink.answer("RCPT", "450 4.2.1 Busy", matching=A)
    async with working(config(over(sink))) as world:
        await world.put(A)
        for attempt in range(1, 8):
            await world.deferred(attempt)
            due = world.spool.next_due(world.clock.now)
            assert due is not None
            world.later(due - world.clock.now)
        assert world.clock.now == NOW + LIFETIME
        await world.settled()

    (notice,) = sink.taken
    assert notice.recipients == ("me@here.example",)
    assert b"450 4.2.1 Busy" in notice.content


async def test_trap_08_routing_is_decided_again_at_each_attempt(sink: Sink) -> None:
    """Trap 8: a changed route takes effect on mail that was queued under the old one."""
    sink.answer("MAIL", "451 4.3.0 Later")
    async with Sink() as other, working(config(over(sink))) as world:
        await world.put(A)
        await world.deferred()
        world.dispatch.reconfigure(config(over(other)))
        world.later(30)
        await world.settled()

        assert [taken.recipients for taken in other.taken] == [(A,)]


async def test_recipients_are_divided_by_route(sink: Sink) -> None:
    """Each route's next hop gets its own recipients, and one that defers does not hold the other."""
    async with Sink() as inner:
        inner.answer("MAIL", "451 4.3.0 Later", times=1)
        async with working(config(over(inner, "inner", ("corp.example",)), over(sink))) as world:
            await world.put("me@corp.example", A)
            await world.deferred(2)
            world.later(30)
            await world.settled()

        assert [taken.recipients for taken in inner.taken] == [("me@corp.example",)]
        assert [taken.recipients for taken in sink.taken] == [(A,)]


async def test_a_hanging_next_hop_does_not_stop_the_others(sink: Sink) -> None:
    """A backlog for a next hop that hangs takes its own share of the places and of the window, and no more."""
    async with Sink() as hanging:
        hanging.answer("connect", Hang())
        bounds = Bounds(attempts=4, per_destination=2, waiting=4, still=0)
        async with working(config(over(hanging, "slow", ("slow.example",)), over(sink)), around=replace(AROUND, bounds=bounds)) as world:
            for _ in range(20):
                await world.put("a@slow.example")
            for _ in range(2):
                await world.put(A)
            await eventually(lambda: len(sink.taken) == 2)

            assert hanging.sessions == 2


async def test_trap_07_a_message_is_attempted_by_one_at_a_time(sink: Sink) -> None:
    """Trap 7: however often dispatch is woken, a message in flight is not begun a second time."""
    sink.answer("body", Hang())
    async with working(config(over(sink))) as world:
        await world.put(A)
        await eventually(lambda: "DATA" in sink.commands)
        for _ in range(20):
            world.later(1000)
            await asyncio.sleep(0)

        assert sink.sessions == 1


async def test_stop_lets_an_attempt_finish(sink: Sink) -> None:
    """Within the grace, what is in flight is delivered and settled; nothing new is begun."""
    sink.answer("connect", Hang(), times=1)
    around = replace(AROUND, timeouts=replace(TIMEOUTS, greeting=0.1), bounds=Bounds(attempts=1))
    async with working(config(over(sink)), around=around) as world:
        await world.put(A)
        await world.put(B)
        await eventually(lambda: sink.sessions == 1)
        await world.dispatch.stop(5)

        assert world.counts.seen == [("deferred", "default", 1)]
        assert sink.sessions == 1


async def test_stop_releases_what_does_not_finish(sink: Sink) -> None:
    """After the grace an attempt is interrupted; its message is due again, untouched."""
    sink.answer("body", Hang())
    async with working(config(over(sink))) as world:
        await world.put(A)
        await eventually(lambda: "DATA" in sink.commands)
        await world.dispatch.stop(0.01)

        (entry,) = world.spool.lease(NOW, 1)
        assert entry.recipients == (Recipient(A),)


async def test_stop_keeps_what_was_delivered_of_a_message(sink: Sink) -> None:
    """Who has it already does not get it again because another next hop of the same message had not answered."""
    async with Sink() as other:
        other.answer("body", Hang())
        async with working(config(over(other, "other", ("y.example",)), over(sink))) as world:
            await world.put(A, "b@y.example")
            await eventually(lambda: "DATA" in other.commands and world.counts.attempts == 1)
            await world.dispatch.stop(0)

            assert world.counts.seen == [("delivered", "default", 1)]
            (entry,) = world.spool.lease(NOW, 1)
            assert entry.recipients == (Recipient("b@y.example"),)


async def test_mail_goes_to_the_exchangers_of_its_domain() -> None:
    """Without configured next hops: by preference, over TLS where offered, and to the next exchanger when one is away."""
    async with NameServer() as names, Sink() as sink:
        names.add("x.example.", "MX", "20 second.example.", "10 first.example.")
        names.add("first.example.", "A", "127.0.0.9")
        names.add("second.example.", "A", "127.0.0.1")
        resolver = names.resolver(2)
        async with working(config(Route(name="default")), around=replace(AROUND, resolver=resolver, mx_port=sink.port)) as world:
            await world.put(A)
            await world.settled()

        assert [taken.recipients for taken in sink.taken] == [(A,)]
        assert [question for question in names.asked if question[1] != "AAAA"] == [
            ("x.example.", "MX"),
            ("first.example.", "A"),
            ("second.example.", "A"),
        ]


async def test_trap_01_servfail_is_temporary_and_nxdomain_is_not(sink: Sink) -> None:
    """NXDOMAIN is permanent, SERVFAIL is not; the notice goes by its own route."""
    async with NameServer() as names:
        names.fail("broken.example.")
        resolver = names.resolver(1)
        routes = (over(sink, "home", ("here.example",)), Route(name="default", retry=Retry(initial=60)))
        async with working(config(*routes), around=replace(AROUND, resolver=resolver)) as world:
            await world.put("a@gone.example", "b@broken.example")
            await eventually(lambda: len(sink.taken) == 1)
            await world.deferred(3)

            assert world.spool.next_due(world.clock.now) == NOW + 60
    assert b"5.1.2" in sink.taken[0].content
    assert b"broken.example" not in sink.taken[0].content


async def test_a_connection_lost_after_the_end_of_data_is_tried_again(sink: Sink) -> None:
    """Whether the next hop took it is unknown: twice is better than not at all."""
    sink.answer("body", Cut(), times=1)
    async with working(config(over(sink))) as world:
        await world.put(A)
        await world.deferred()
        world.later(30)
        await world.settled()

    assert world.counts.seen == [("deferred", "default", 1), ("delivered", "default", 1)]


def replace_retry(route: Route, retry: Retry) -> Route:
    """Return *route* with the curve *retry*."""
    return route.model_copy(update={"retry": retry})
