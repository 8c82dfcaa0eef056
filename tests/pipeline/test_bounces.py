"""Notices from end to end: what was asked, what became of the mail, and what its sender gets, from the spool over real sessions."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import Bounces, BounceTo
from smtp_gateway.config.pace import Retry
from smtp_gateway.mail.dsn import NO_DSN, Asked, Dsn
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.dispatching import LIFETIME, A, config, over, working
from tests.support.messages import new_message
from tests.support.notices import parsed
from tests.support.sink import EXTENSIONS, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from tests.support.dispatching import World
    from tests.support.sink import Taken

SENDER, POSTMASTER = "me@here.example", "postmaster@here.example"
BODY = b"Subject: Hi\r\nMessage-ID: <1@here.example>\r\n\r\nThe content\r\n.\r\n"
NOTIFY = ("", "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE,DELAY")
RET = ("", "FULL", "HDRS")
ACTIONS = {
    "delivered to a hop that knows DSN": dict.fromkeys(NOTIFY, ""),
    "delivered to another hop": {"SUCCESS": "relayed", "SUCCESS,FAILURE,DELAY": "relayed"},
    "refused": {"": "failed", "FAILURE": "failed", "SUCCESS,FAILURE,DELAY": "failed"},
    "late": {"": "delayed", "DELAY": "delayed", "SUCCESS,FAILURE,DELAY": "delayed"},
}
"""What a sender is told, by what became of the mail and by NOTIFY, where the configuration warns of delays; nothing where nothing is said."""


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Keep the format of the log out of these tests."""
    with capture_logs():
        yield


@pytest.fixture
async def home() -> AsyncIterator[Sink]:
    """The next hop of the senders' own domain."""
    async with Sink() as running:
        yield running


async def asking(world: World, dsn: Dsn = NO_DSN, body: bytes = BODY, sender: str = SENDER) -> None:
    """Queue a message of an application's."""
    message = replace(new_message((A,), sender=sender, accepted_at=world.clock.now, body=body, identity="app"))
    await world.spool.put(replace(message, envelope=replace(message.envelope, dsn=dsn)))
    world.dispatch.wake()


def actions(notice: EmailMessage) -> list[tuple[str, str]]:
    """Return who failed, is late, or was relayed to, by the part for programs."""
    _, status, _ = notice.iter_parts()
    _, *recipients = status.iter_parts()
    return [(fields["Final-Recipient"], fields["Action"]) for fields in recipients]


def read(taken: Taken) -> EmailMessage:
    """Return a notice, after demanding that it came from nobody."""
    assert taken.sender == ""
    return parsed(taken.body)


@pytest.mark.parametrize(("fate", "notify", "ret"), list(product(ACTIONS, NOTIFY, RET)))
async def test_what_a_sender_is_told(sink: Sink, home: Sink, fate: str, notify: str, ret: str) -> None:
    """Every row of the table in docs/bounces.md: what by NOTIFY and by the mail's fate, how much of the message by RET."""
    if fate == "refused":
        sink.answer("RCPT", "550 5.1.1 No such user")
    if fate == "late":
        sink.answer("RCPT", "450 4.2.1 Busy")
    action = ACTIONS[fate].get(notify, "")
    dsn = Dsn(ret, "QQ1" if ret else "", {A: Asked(notify)} if notify else {}) if ret or notify else NO_DSN
    async with Sink(extensions=(*EXTENSIONS, "DSN")) as knowing:
        out = over(knowing if "knows" in fate else sink, "out", ("x.example",))
        async with working(config(out, over(home), bounces=Bounces(delay_warning=60))) as world:
            await asking(world, dsn)
            if fate == "late":
                await world.deferred()
                world.later(60)
                await world.deferred(2)
                await eventually(lambda: len(home.taken) == bool(action) and world.spool.depth().messages == 1)
            else:
                await world.settled()

    assert len(home.taken) == bool(action)
    if action:
        assert home.taken[0].recipients == (SENDER,)
        notice = read(home.taken[0])
        assert actions(notice) == [(f"rfc822; {A}", action)]
        assert ("The content" in notice.as_string()) is (ret == "FULL" and action == "failed")
        assert ("Original-Envelope-Id: QQ1" in notice.as_string()) is bool(ret)


async def test_a_notice_that_fails_goes_to_the_postmaster_and_no_further(sink: Sink, home: Sink) -> None:
    """A double bounce is told to the postmaster; when that fails, it is counted and gone."""
    sink.answer("RCPT", "550 5.1.1 No such user")
    home.answer("RCPT", "550 5.2.1 Gone", matching=SENDER)
    routes = (over(sink, "out", ("x.example",)), over(home))
    async with working(config(*routes, bounces=Bounces(postmaster=POSTMASTER))) as world:
        await asking(world)
        await world.settled()
        (double,) = home.taken
        home.answer("RCPT", "550 5.2.1 Gone", matching=POSTMASTER)
        await asking(world)
        await world.settled()

    assert double.recipients == (POSTMASTER,)
    assert actions(read(double)) == [(f"rfc822; {SENDER}", "failed")]
    assert home.taken == [double]
    assert world.counts.notices == [
        *(("failure", "sender"), ("failure", "postmaster")),
        *(("failure", "sender"), ("failure", "postmaster"), ("failure", "suppressed")),
    ]


async def test_a_program_that_answers_notices_starts_no_loop(sink: Sink, home: Sink) -> None:
    """Whatever its answers say of themselves: they are for the daemon, and what was for the daemon is told to nobody."""
    sink.answer("RCPT", "550 5.1.1 No such user")
    async with working(config(over(sink, "out", ("x.example", "gateway.example")), over(home))) as world:
        await asking(world)
        await world.settled()
        to = str(read(home.taken[0])["From"].addresses[0].addr_spec)
        answer = new_message((to,), accepted_at=world.clock.now, body=b"Subject: I am away\r\n\r\n.\r\n", identity="app")
        await world.spool.put(answer)
        world.dispatch.wake()
        await world.settled()

    assert len(home.taken) == 1
    assert world.counts.notices == [("failure", "sender"), ("failure", "suppressed")]


@pytest.mark.parametrize(
    ("bounces", "to", "fate"),
    [
        (Bounces(to=BounceTo.POSTMASTER, postmaster=POSTMASTER), (POSTMASTER,), "postmaster"),
        (Bounces(to=BounceTo.DROP), None, "dropped"),
    ],
)
async def test_who_is_told_is_configured(sink: Sink, home: Sink, bounces: Bounces, to: tuple[str, ...] | None, fate: str) -> None:
    """The postmaster learns whose mail failed; nobody learns it where notices are dropped, and it is counted."""
    sink.answer("RCPT", "550 5.1.1 No such user")
    async with working(config(over(sink, "out", ("x.example",)), over(home), bounces=bounces)) as world:
        await asking(world)
        await world.settled()

    assert [taken.recipients for taken in home.taken] == ([to] if to else [])
    assert all(f"Sender:   <{SENDER}>".encode() in taken.content for taken in home.taken)
    assert world.counts.notices == [("failure", fate)]


async def test_notices_take_the_route_that_is_named_for_them(sink: Sink, home: Sink) -> None:
    """Whoever they are for; mail to the same recipients, and a client's own notices, go as they would."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching=A)
    async with Sink() as aside:
        routes = (over(sink, "out", ("x.example",)), over(aside, "notices", ("nowhere.example",)), over(home))
        async with working(config(*routes, bounces=Bounces(route="notices"))) as world:
            await asking(world)
            await world.put(SENDER)
            await world.spool.put(new_message((SENDER,), sender="", identity="app"))
            world.dispatch.wake()
            await world.settled()

        assert [taken.recipients for taken in aside.taken] == [(SENDER,)]
        assert actions(read(aside.taken[0])) == [(f"rfc822; {A}", "failed")]
    assert sorted(taken.sender for taken in home.taken) == ["", SENDER]
    assert ("delivered", "notices", 1) in world.counts.seen


async def test_a_changed_route_of_notices_takes_effect_on_those_that_wait(sink: Sink, home: Sink) -> None:
    """As it does on all mail: a notice that a smarthost defers is sent where notices go now."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching=A)
    home.answer("MAIL", "451 4.7.1 No null sender here", matching="<>")
    async with Sink() as aside:
        routes = (over(sink, "out", ("x.example",)), over(aside, "notices", ("nowhere.example",)), over(home))
        async with working(config(*routes)) as world:
            await asking(world)
            await world.deferred(2)
            world.dispatch.reconfigure(config(*routes, bounces=Bounces(route="notices")))
            world.later(30)
            await world.settled()

        assert [taken.recipients for taken in aside.taken] == [(SENDER,)]


async def test_a_delay_is_told_once_also_across_a_restart(sink: Sink, home: Sink, tmp_path: Path) -> None:
    """The spool remembers it; in the end the failure is told as well."""
    sink.answer("RCPT", "450 4.2.1 Busy")
    out = over(sink, "out", ("x.example",)).model_copy(update={"retry": Retry(initial=600, factor=1, jitter=0)})
    settings = config(out, over(home), bounces=Bounces(delay_warning=900))
    spool = await DiskSpool.open(tmp_path, NullObserver())
    async with working(settings, spool) as world:
        await asking(world)
        await world.deferred()
        world.later(900)
        await eventually(lambda: len(home.taken) == 1 and spool.depth().messages == 1)
    await spool.close()
    spool = await DiskSpool.open(tmp_path, NullObserver())
    async with working(settings, spool) as world:
        world.later(1800)
        await world.deferred()
        assert spool.depth().messages == 1
        world.later(LIFETIME)
        await world.settled()
    await spool.close()

    assert [actions(read(taken)) for taken in home.taken] == [[(f"rfc822; {A}", "delayed")], [(f"rfc822; {A}", "failed")]]


async def test_a_notice_beyond_ascii_asks_for_what_it_needs(sink: Sink, home: Sink) -> None:
    """A whole message of eight bits goes as 8BITMIME, and as it is where that is not offered; a sender beyond ASCII needs SMTPUTF8."""
    sink.answer("RCPT", "550 5.1.1 No such user")
    body = "Subject: Hi\r\n\r\nGrüße\r\n.\r\n".encode()
    async with working(config(over(sink, "out", ("x.example",)), over(home))) as world:
        await asking(world, Dsn("FULL", "", {}), body)
        await world.settled()
        await asking(world, body=body, sender="mé@here.example")
        await world.settled()

    first, second = home.taken
    assert first.parameters.split()[1:] == ["BODY=8BITMIME"]
    assert body.removesuffix(b".\r\n") in first.content
    assert second.parameters.split()[1:] == ["BODY=8BITMIME", "SMTPUTF8"]
    assert second.recipients == ("mé@here.example",)
