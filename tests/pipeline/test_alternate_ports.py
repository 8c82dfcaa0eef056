"""Ports of a smarthost: which one mail goes to when one is blocked, how the way back is found, and TLS that comes first on 465."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import HopTls, Smarthost
from smtp_gateway.config.report import Cause
from smtp_gateway.delivery import session
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.reachability import Reachability
from smtp_gateway.delivery.settings import Reuse, Settings, Timeouts
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.probing.probe import Patience, Probe
from smtp_gateway.resolver import Resolver
from tests.pipeline.test_delivery_auth import credentials
from tests.pipeline.test_delivery_tls import OTHER_AUTHORITY, server_context, trusting
from tests.support.authenticating import PASSWORD, USERNAME, AuthenticatingSink
from tests.support.messages import BODY
from tests.support.sink import Answer, Cut, Hang, Raw, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from smtp_gateway.probing.probe import Finding

A = "a@x.example"
QUICK = Timeouts(connect=5, greeting=0.3, hello=5, start_tls=5, mail=5, rcpt=5, data=5, block=5, end_of_data=5, goodbye=1)


def host(*sinks: Sink, tls: HopTls = HopTls.NONE) -> Smarthost:
    """Return the smarthost whose ports are those of *sinks*."""
    port, *others = (sink.port for sink in sinks)
    return Smarthost(host="localhost" if tls is HopTls.VERIFY else "127.0.0.1", port=port, alternate_ports=tuple(others), tls=tls)


class Sender:
    """A client and a probe that know the same, and keep no session for the next message."""

    def __init__(self, smarthost: Smarthost) -> None:
        """Prepare."""
        self.smarthost = smarthost
        self.known = Reachability()
        settings = Settings("gateway.example", trusting(), QUICK, Reuse(messages=1))
        self._client = Client(Resolver(), settings, self.known)
        self._probe = Probe(Resolver(), settings, Patience(5, 0.5), self.known)

    async def send(self) -> str:
        """Send a message and return the kind and the code of what it comes to."""
        outcome = (await self._client.deliver(Mail(Envelope("me@here.example", (A,)), BODY), (self.smarthost,)))[A]
        return f"{type(outcome).__name__} {outcome.reply.code} {outcome.reply.enhanced}"

    async def probe(self) -> Finding:
        """Probe."""
        return await self._probe(self.smarthost)


@pytest.mark.parametrize("why", ["refused", Hang(), Cut()], ids=["refused", "silent", "cut"])
async def test_the_next_port_is_tried_when_nobody_greets(sink: Sink, why: Answer) -> None:
    """Refused, silent, or closed without a word: one message finds out, the next ones go where somebody answered."""
    async with Sink() as blocked, Sink() as unused:
        blocked.answer("connect", why)
        if why == "refused":
            await blocked.stop()
        sender = Sender(host(blocked, sink, unused))
        assert [await sender.send() for _ in range(3)] == ["Delivered 250 2.0.0"] * 3
        assert len(sink.taken) == 3
        assert (blocked.sessions, unused.sessions) == (0 if why == "refused" else 1, 0)


@pytest.mark.parametrize(
    ("phase", "answer", "outcome"),
    [
        ("connect", "421 4.3.2 Busy", "Deferred 421 4.3.2"),
        ("connect", "554 5.7.1 No", "Deferred 554 5.7.1"),
        ("connect", Raw(b"HTTP/1.1 400 Bad Request\r\n"), "Deferred 451 4.5.0"),
        ("EHLO", Cut(), "Deferred 451 4.4.2"),
        ("MAIL", "550 5.1.8 No", "Failed 550 5.1.8"),
    ],
)
async def test_a_port_that_answers_is_the_one(sink: Sink, phase: str, answer: Answer, outcome: str) -> None:
    """Whatever else goes wrong there: the same server would say it on another port as well."""
    sink.answer(phase, answer)
    async with Sink() as other:
        assert await Sender(host(sink, other)).send() == outcome
        assert other.sessions == 0


async def test_a_port_that_goes_away_sends_mail_back_to_the_first(sink: Sink) -> None:
    """All ports are tried, the one that answered last before the others."""
    async with Sink() as other:
        sender = Sender(host(sink, other))
        await sink.stop()
        await sender.send()
        await sink.start()
        await sender.send()
        await other.stop()
        await sender.send()

    assert (len(sink.taken), len(other.taken)) == (1, 2)


async def test_when_no_port_answers_the_host_is_away(sink: Sink) -> None:
    """Temporary, as ever."""
    async with Sink() as other:
        sender = Sender(host(sink, other))
    await sink.stop()
    assert await sender.send() == "Deferred 451 4.4.1"
    assert (await sender.probe()).cause is Cause.REFUSED


async def test_a_probe_finds_the_port_before_mail_does_and_the_way_back(sink: Sink) -> None:
    """It says which port answers and what the first one came to, and begins with the first each time; mail follows it."""
    async with Sink() as other:
        sender = Sender(host(sink, other))
        sink.answer("connect", Hang())
        found = await sender.probe()
        assert (found.cause, found.port) == (None, other.port)
        assert found.reply == f"No session within 0.5 s; on port {other.port} it answers"
        await sender.send()
        assert (sink.sessions, len(other.taken)) == (1, 1)
        sink.forget_rules()
        assert (await sender.probe()).port is None
        await sender.send()

    assert (len(sink.taken), len(other.taken)) == (1, 1)


async def test_a_probe_tells_what_is_wrong_on_the_other_port(sink: Sink) -> None:
    """A port that greets and does not offer TLS is the one that there is something to say about."""
    await sink.stop()
    async with Sink() as other:
        found = await Sender(host(sink, other, tls=HopTls.REQUIRED)).probe()

    assert (found.cause, found.port) == (Cause.TLS_FAILED, other.port)
    assert "TLS is required" in found.reply


async def test_two_silent_addresses_are_enough_for_a_port(monkeypatch: pytest.MonkeyPatch, sink: Sink) -> None:
    """A host of many addresses does not cost their number of time-outs on a blocked port; the last port is tried at all of them."""

    async def addresses(_resolver: Resolver, _host: str) -> tuple[str, ...]:
        return ("127.0.0.2", "127.0.0.3", "127.0.0.1")

    monkeypatch.setattr(Resolver, "addresses", addresses)
    async with Sink(host="0.0.0.0") as blocked:
        blocked.answer("connect", Cut())
        sender = Sender(host(blocked, sink))
        assert await sender.send() == "Delivered 250 2.0.0"
        assert blocked.sessions == 2


@pytest.mark.parametrize("tls", [HopTls.VERIFY, HopTls.REQUIRED, HopTls.OPPORTUNISTIC, HopTls.NONE])
async def test_on_465_tls_comes_first(monkeypatch: pytest.MonkeyPatch, tls: HopTls) -> None:
    """RFC 8314: the greeting is encrypted, and STARTTLS is not said, whatever the setting; the probe does the same."""
    async with Sink(tls=server_context(), implicit=True) as sink:
        monkeypatch.setattr(session, "SUBMISSIONS_PORT", sink.port)
        sender = Sender(host(sink, tls=tls))
        assert await sender.send() == "Delivered 250 2.0.0"
        assert (await sender.probe()).cause is None
        await eventually(lambda: not sink.open_sessions)

    assert [taken.tls for taken in sink.taken] == [True]
    assert [command.partition(" ")[0] for command in sink.commands] == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT", "EHLO", "NOOP", "QUIT"]


async def test_on_465_a_certificate_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of an unknown authority gets no mail, and the probe says why."""
    async with Sink(tls=server_context(authority=OTHER_AUTHORITY), implicit=True) as sink:
        monkeypatch.setattr(session, "SUBMISSIONS_PORT", sink.port)
        sender = Sender(host(sink, tls=HopTls.VERIFY))
        assert await sender.send() == "Deferred 451 4.7.5"
        assert (await sender.probe()).cause is Cause.CERTIFICATE_INVALID
        assert sink.commands == []


async def test_465_is_never_spoken_to_in_the_clear(monkeypatch: pytest.MonkeyPatch, sink: Sink) -> None:
    """A server without TLS there gets nothing, where TLS is opportunistic as well."""
    monkeypatch.setattr(session, "SUBMISSIONS_PORT", sink.port)
    assert await Sender(host(sink, tls=HopTls.OPPORTUNISTIC)).send() == "Deferred 451 4.7.5"
    assert sink.taken == []


async def test_465_may_be_the_alternate_port(monkeypatch: pytest.MonkeyPatch, sink: Sink) -> None:
    """STARTTLS on the first, TLS at once on the second."""
    await sink.stop()
    async with Sink(tls=server_context(), implicit=True) as other:
        monkeypatch.setattr(session, "SUBMISSIONS_PORT", other.port)
        assert await Sender(host(sink, other, tls=HopTls.VERIFY)).send() == "Delivered 250 2.0.0"
        assert [taken.tls for taken in other.taken] == [True]


async def test_credentials_go_to_465_once_there_is_tls(monkeypatch: pytest.MonkeyPatch, sink: Sink) -> None:
    """As they do after STARTTLS; the first port, on which nobody is, is told nothing."""
    await sink.stop()
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=server_context(), implicit=True) as other:
        monkeypatch.setattr(session, "SUBMISSIONS_PORT", other.port)
        known = host(sink, other, tls=HopTls.VERIFY).model_copy(update={"credentials": credentials()})
        assert await Sender(known).send() == "Delivered 250 2.0.0"
        assert [command.partition(" ")[0] for command in other.commands][:3] == ["EHLO", "AUTH", "MAIL"]
