"""Sessions that are kept: what one carries, when it is left, and what a stale one costs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.config.model import HopTls, Smarthost
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.settings import Reuse, Settings, Timeouts
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.mail.outcome import Delivered
from smtp_gateway.resolver import Resolver
from tests.support.messages import BODY
from tests.support.sink import EXTENSIONS, Answer, Cut, Hang, Raw, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from smtp_gateway.mail.outcome import Outcome

A = "a@x.example"
TIMEOUTS = Timeouts(*[5.0] * 10)


@pytest.fixture(params=[(), ("PIPELINING",)], ids=["one by one", "pipelined"])
async def sink(request: pytest.FixtureRequest) -> AsyncIterator[Sink]:
    """A next hop without and with pipelining."""
    async with Sink(extensions=(*EXTENSIONS, *request.param)) as running:
        yield running


class Sender:
    """A client that sends one message after the other."""

    def __init__(self, client: Client, sink: Sink) -> None:
        """Send to *sink*."""
        self.client = client
        self.hop = Smarthost(host=sink.host, port=sink.port, tls=HopTls.NONE)

    async def __call__(self, recipient: str = A) -> Outcome:
        """Send one message; return what its recipient came to."""
        mail = Mail(Envelope("me@here.example", (recipient,)), BODY)
        return (await self.client.deliver(mail, [self.hop]))[recipient]


@asynccontextmanager
async def sending(sink: Sink, timeouts: Timeouts = TIMEOUTS, **reuse: Any) -> AsyncIterator[Sender]:
    """Open a client whose sessions are kept as *reuse* says."""
    client = Client(Resolver(), Settings("gateway.example", timeouts=timeouts, reuse=replace(Reuse(idle=60), **reuse)))
    try:
        yield Sender(client, sink)
    finally:
        client.close()


async def test_a_session_carries_one_message_after_the_other(sink: Sink) -> None:
    """One connection and one greeting for three messages, and no RSET between them."""
    async with sending(sink) as send:
        for _ in range(3):
            assert isinstance(await send(), Delivered)

    await eventually(lambda: sink.open_sessions == 0)
    verbs = [command.partition(" ")[0] for command in sink.commands]
    assert verbs == ["EHLO", *["MAIL", "RCPT", "DATA"] * 3, "QUIT"]
    assert (sink.sessions, len(sink.taken)) == (1, 3)


async def test_a_refused_transaction_is_ended_before_the_next(sink: Sink) -> None:
    """After a recipient was refused nothing of its message is left in the session when the next one goes over it."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching="nobody", times=1)
    async with sending(sink) as send:
        await send("nobody@x.example")
        assert isinstance(await send(), Delivered)

    assert sink.sessions == 1
    assert [taken.recipients for taken in sink.taken if taken.recipients] == [(A,)]
    assert ("RSET" in sink.commands) == ("DATA" not in sink.commands[:4])


@pytest.mark.parametrize(
    ("phase", "answer"),
    [("MAIL", Cut()), ("MAIL", "421 4.3.2 Shutting down"), ("MAIL", Raw(b"421 4.3.2 Shutting down\r\n"))],
    ids=["closed", "421", "421 alone"],
)
async def test_trap_03_a_stale_session_costs_no_attempt(sink: Sink, phase: str, answer: Answer) -> None:
    """Trap 3: a kept session that ends before it took anything is replaced by a fresh one within the attempt."""
    async with sending(sink) as send:
        await send()
        sink.answer(phase, answer, times=1)
        assert isinstance(await send(), Delivered)

    assert (sink.sessions, len(sink.taken)) == (2, 2)


@pytest.mark.parametrize("answer", ["503 5.5.1 Not now", "421 4.3.2 Shutting down", Cut()], ids=["503", "421", "closed"])
async def test_trap_03_a_refused_rset_costs_no_attempt(sink: Sink, answer: Answer) -> None:
    """Trap 3: a session that will not be reset is left, and the message goes over another one."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching="nobody", times=1)
    sink.answer("DATA", "554 5.5.1 No valid recipients", times=1)
    sink.answer("RSET", answer, times=1)
    async with sending(sink) as send:
        await send("nobody@x.example")
        sink.forget_rules()
        sink.answer("RSET", answer, times=1)
        assert isinstance(await send(), Delivered)

    assert sink.sessions == 2


async def test_a_session_that_was_closed_meanwhile_is_not_used(sink: Sink) -> None:
    """A next hop that went away and came back is connected to anew."""
    async with sending(sink) as send:
        await send()
        await sink.stop()
        await sink.start()
        assert isinstance(await send(), Delivered)

    assert sink.sessions == 2


async def test_a_fresh_session_that_is_closed_is_an_attempt(sink: Sink) -> None:
    """Without a message before it, 421 at MAIL is the next hop's answer, and nothing is repeated."""
    sink.answer("MAIL", "421 4.3.2 Shutting down")
    async with sending(sink) as send:
        assert not isinstance(await send(), Delivered)

    assert sink.sessions == 1


async def test_a_loss_after_the_content_is_never_repeated_at_once(sink: Sink) -> None:
    """Whether the next hop took the message is unknown: it is deferred, not sent again within the attempt."""
    async with sending(sink) as send:
        await send()
        sink.answer("body", Cut())
        assert not isinstance(await send(), Delivered)

    assert sink.sessions == 1


async def test_a_session_is_left_after_enough_messages(sink: Sink) -> None:
    """Receivers cut sessions that carry too many."""
    async with sending(sink, messages=2) as send:
        for _ in range(4):
            await send()

    assert (sink.sessions, len(sink.taken)) == (2, 4)


async def test_an_old_session_is_left(sink: Sink) -> None:
    """A session is not kept for ever, so that a changed address is followed."""
    async with sending(sink, age=0) as send:
        await send()
        await send()

    assert sink.sessions == 2


async def test_an_idle_session_ends_with_quit(sink: Sink) -> None:
    """A receiver's process is not held for nothing."""
    async with sending(sink, idle=0.05) as send:
        await send()
        await eventually(lambda: sink.open_sessions == 0)

    assert sink.commands[-1] == "QUIT"


async def test_idle_sessions_are_bounded(sink: Sink) -> None:
    """Beyond the bound the one that has been idle longest is left."""
    async with Sink() as other, sending(sink, kept=1) as send, sending(other) as also:
        also.client = send.client
        await send()
        await also()
        await eventually(lambda: sink.open_sessions == 0)

        assert other.open_sessions == 1


async def test_a_closed_client_keeps_nothing(sink: Sink) -> None:
    """After a change of the configuration, sessions under another name end when their message is done."""
    async with sending(sink) as send:
        send.client.close()
        assert isinstance(await send(), Delivered)
        await eventually(lambda: sink.open_sessions == 0)


async def test_a_session_that_hangs_is_not_kept(sink: Sink) -> None:
    """A message whose end was not answered may have been taken: it is deferred, and the next one gets a session of its own."""
    sink.answer("body", Hang(), times=1)
    async with sending(sink, replace(TIMEOUTS, end_of_data=0.2)) as send:
        assert not isinstance(await send(), Delivered)
        assert isinstance(await send(), Delivered)

    assert sink.sessions == 2
