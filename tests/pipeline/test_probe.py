"""One probe against real sockets: what it says to a smarthost, and what it makes of the answer."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from smtp_gateway.config.model import HopTls, PasswordCredentials, Smarthost
from smtp_gateway.config.report import Cause
from smtp_gateway.delivery.settings import Settings
from smtp_gateway.probing import probe as probing
from smtp_gateway.probing.probe import Finding, Patience, Probe
from smtp_gateway.resolver import Nameserver, Resolver
from tests.pipeline.test_delivery_tls import OTHER_AUTHORITY, server_context, trusting
from tests.support.authenticating import REFUSED, AuthenticatingSink
from tests.support.sink import Answer, Cut, Hang, Raw, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

NONE, OPPORTUNISTIC, REQUIRED, VERIFY = HopTls
SHORT = Patience(0.5, 0.5)


async def ask(sink: Sink, tls: HopTls = NONE, patience: Patience | None = None) -> Finding:
    """Probe *sink*."""
    return await Probe(Resolver(), Settings("gateway.example", trusting()), patience)(Smarthost(host="localhost", port=sink.port, tls=tls))


async def test_a_probe_is_a_session_without_mail(sink: Sink) -> None:
    """It introduces itself, does nothing, and says goodbye."""
    assert await ask(sink) == Finding(None, "250 2.0.0 Ok")

    await eventually(lambda: not sink.open_sessions)
    assert sink.commands == ["EHLO gateway.example", "NOOP", "QUIT"]


async def test_a_probe_encrypts_as_mail_would() -> None:
    """And introduces itself again."""
    async with Sink(tls=server_context()) as sink:
        assert (await ask(sink, VERIFY)).cause is None
        await eventually(lambda: not sink.open_sessions)
    assert sink.commands == ["EHLO gateway.example", "STARTTLS", "EHLO gateway.example", "NOOP", "QUIT"]


@pytest.mark.parametrize("code", [500, 502])
async def test_a_server_that_does_not_know_noop_is_there(sink: Sink, code: int) -> None:
    """It takes mail all the same."""
    sink.answer("NOOP", f"{code} 5.5.1 What?")
    assert await ask(sink) == Finding(None, f"{code} 5.5.1 What?")


@pytest.mark.parametrize(
    ("phase", "answer", "cause", "said"),
    [
        ("connect", "554 5.7.1 You are listed", Cause.REJECTED, "554 5.7.1 You are listed"),
        ("connect", "421 4.3.2 Too busy", Cause.REJECTED, "421 4.3.2 Too busy"),
        ("connect", Raw(b"HTTP/1.1 400 Bad Request\r\n"), Cause.REJECTED, "The next hop does not speak SMTP"),
        ("connect", Cut(), Cause.REFUSED, "Connection lost"),
        ("connect", Hang(), Cause.TIMEOUT, "No session within 0.5 s"),
        ("EHLO", "550 5.7.1 Who are you?", Cause.REJECTED, "550 5.7.1 Who are you?"),
        ("EHLO", "530 5.7.0 Authentication required", Cause.AUTHENTICATION_REJECTED, "530 5.7.0 Authentication required"),
        ("NOOP", "421 4.3.2 Shutting down", Cause.REJECTED, "421 4.3.2 Shutting down"),
        ("NOOP", Cut(), Cause.REFUSED, "Connection lost"),
        ("NOOP", Hang(), Cause.TIMEOUT, "No session within 0.5 s"),
    ],
)
async def test_what_a_server_says_is_the_finding(sink: Sink, phase: str, answer: Answer, cause: Cause, said: str) -> None:
    """Its own words where it has some, a sentence where it has none."""
    sink.answer(phase, answer)
    found = await ask(sink, patience=SHORT)

    assert found.cause is cause
    assert found.reply.startswith(said)


TLS: dict[str, tuple[Callable[[], ssl.SSLContext | None], HopTls, Cause | None]] = {
    "wrong name, verified": (lambda: server_context("elsewhere.example"), VERIFY, Cause.CERTIFICATE_INVALID),
    "unknown authority, verified": (lambda: server_context(authority=OTHER_AUTHORITY), VERIFY, Cause.CERTIFICATE_INVALID),
    "unknown authority, required": (lambda: server_context(authority=OTHER_AUTHORITY), REQUIRED, None),
    "not offered, required": (lambda: None, REQUIRED, Cause.TLS_FAILED),
    "not offered, opportunistic": (lambda: None, OPPORTUNISTIC, None),
}


@pytest.mark.parametrize(("context", "tls", "cause"), TLS.values(), ids=TLS)
async def test_tls_is_judged_as_for_mail(context: Callable[[], ssl.SSLContext | None], tls: HopTls, cause: Cause | None) -> None:
    """A certificate that is not valid is another cause than TLS that does not come about."""
    async with Sink(tls=context()) as sink:
        assert (await ask(sink, tls)).cause is cause


async def knock(sink: Sink, password: str) -> Finding:
    """Probe *sink* with credentials."""
    credentials = PasswordCredentials(identity="provider", username=SecretStr("relay"), password=SecretStr(password))
    hop = Smarthost(host="localhost", port=sink.port, credentials=credentials)
    return await Probe(Resolver(), Settings("gateway.example", trusting()))(hop)


async def test_a_probe_authenticates_as_mail_would() -> None:
    """So that a wrong password is known before mail is late, in the words of who refused it."""
    async with AuthenticatingSink("relay", "Correct-Horse-4711", tls=server_context()) as sink:
        assert await knock(sink, "Correct-Horse-4711") == Finding(None, "250 2.0.0 Ok")
        await eventually(lambda: not sink.open_sessions)
        assert [one.split()[0] for one in sink.commands[2:]] == ["EHLO", "AUTH", "NOOP", "QUIT"]

        assert await knock(sink, "wrong") == Finding(Cause.AUTHENTICATION_REJECTED, REFUSED)
        assert sink.refused == 1

    async with AuthenticatingSink("relay", "x", tls=server_context(), mechanisms=("GSSAPI",)) as sink:
        sentence = "The next hop offers AUTH GSSAPI alone under TLS; the credentials are for PLAIN or LOGIN"
        assert await knock(sink, "x") == Finding(Cause.AUTHENTICATION_REJECTED, sentence)


@pytest.mark.parametrize("answer", ["454 4.7.0 Not now", Cut(b"220 Go ahead\r\nplain")])
async def test_tls_that_fails(answer: Answer) -> None:
    """Refused, or begun and not gone through with."""
    async with Sink(tls=server_context()) as sink:
        sink.answer("STARTTLS", answer)
        assert (await ask(sink, REQUIRED)).cause is Cause.TLS_FAILED


async def test_a_port_that_nobody_listens_on(sink: Sink) -> None:
    """Refused, in the system's words."""
    await sink.stop()
    found = await ask(sink)

    assert found.cause is Cause.REFUSED
    assert "refused" in found.reply


async def test_a_name_that_cannot_be_looked_up() -> None:
    """It may come; until then that is the cause."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # nobody answers on UDP there
        probe = Probe(Resolver(Nameserver("127.0.0.1", port), 0.2), Settings("gateway.example"))
        found = await probe(Smarthost(host="mx.example.", port=25))

    assert found.cause is Cause.NAME_NOT_FOUND
    assert found.reply.startswith("Looking up the name failed: mx.example.")


@pytest.mark.parametrize("beside", ["answers", "says nothing", "is not there"])
async def test_silence_on_port_25_alone_means_that_it_is_blocked(sink: Sink, monkeypatch: pytest.MonkeyPatch, beside: str) -> None:
    """The same host answers on another port: something in between drops what goes to 25. When it does not, the host is away."""
    async with Sink() as other:
        monkeypatch.setattr(probing, "SMTP_PORT", sink.port)
        monkeypatch.setattr(probing, "BESIDE_PORT_25", (other.port,))
        sink.answer("connect", Hang())
        if beside == "says nothing":
            other.answer("connect", Hang())
        elif beside == "is not there":
            await other.stop()
        found = await ask(sink, patience=SHORT)

    if beside == "answers":
        assert found == Finding(Cause.PORT_25_BLOCKED, f"No session within 0.5 s; the same host answers on port {other.port}", silent=True)
    else:
        assert found == Finding(Cause.TIMEOUT, "No session within 0.5 s", silent=True)


async def test_silence_on_another_port_is_only_that(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried beside it; so it is with a refusal on 25."""
    async with Sink() as other:
        monkeypatch.setattr(probing, "BESIDE_PORT_25", (other.port,))
        sink.answer("connect", Hang())
        assert (await ask(sink, patience=SHORT)).cause is Cause.TIMEOUT
        monkeypatch.setattr(probing, "SMTP_PORT", sink.port)
        sink.answer("connect", "554 5.7.1 No")
        assert (await ask(sink, patience=SHORT)).cause is Cause.REJECTED
        assert other.sessions == 0


async def test_the_next_address_is_tried(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host is reachable when one of its addresses is, as for mail."""

    async def addresses(_resolver: Resolver, _host: str) -> tuple[str, ...]:
        return ("127.0.0.2", "127.0.0.1")

    monkeypatch.setattr(Resolver, "addresses", addresses)
    assert (await ask(sink)).cause is None


async def test_a_probe_that_is_cancelled_leaves_nothing_open(sink: Sink) -> None:
    """As when its smarthost is named no more."""
    sink.answer("EHLO", Hang())
    probe = asyncio.create_task(ask(sink))
    await eventually(lambda: sink.commands)
    probe.cancel()
    await eventually(probe.done)
    sink.forget_rules()
    await sink.stop()
    assert sink.open_sessions == 0
