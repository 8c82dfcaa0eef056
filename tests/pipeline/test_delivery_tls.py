"""TLS towards next hops: what each setting does with each kind of server (trap 13), under both event loops."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trustme
import uvloop

from smtp_gateway.config.model import HopTls, Smarthost
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.reaching import CONNECTIONS
from smtp_gateway.delivery.settings import Settings, Timeouts
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.delivery.trust import Trust
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.mail.outcome import Delivered, Outcome
from smtp_gateway.resolver import Resolver
from tests.support.dns import NameServer
from tests.support.messages import BODY
from tests.support.sink import Act, Cut, Raw, Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Run = Callable[[Coroutine[None, None, None]], None]

A = "a@x.example"
NONE, OPPORTUNISTIC, REQUIRED, VERIFY = HopTls
AUTHORITY = trustme.CA()
OTHER_AUTHORITY = trustme.CA()
TIMEOUTS = Timeouts(*[5.0] * 10)


def server_context(name: str = "localhost", authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    """Return the context of a server called *name*."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting() -> Trust:
    """Trust what `AUTHORITY` signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    return Trust(context)


async def deliver(sink: Sink, tls: HopTls, host: str = "localhost", body: bytes = BODY) -> Outcome:
    """Deliver one message to *sink* under *tls*."""
    client = Client(Resolver(), Settings("gateway.example", trusting(), TIMEOUTS))
    outcomes = await client.deliver(Mail(Envelope("me@here.example", (A,)), body), (Smarthost(host=host, port=sink.port, tls=tls),))
    return outcomes[A]


def result(outcome: Outcome, sink: Sink) -> str:
    """Return in one word what happened."""
    if isinstance(outcome, Delivered):
        return "encrypted" if sink.taken[-1].tls else "clear"
    return f"{type(outcome).__name__} {outcome.reply.enhanced}"


CERTIFICATES: dict[str, Callable[[], ssl.SSLContext | None]] = {
    "valid": server_context,
    "wrong name": lambda: server_context("elsewhere.example"),
    "unknown authority": lambda: server_context(authority=OTHER_AUTHORITY),
    "not offered": lambda: None,
}
TABLE = [
    (NONE, "valid", "clear"),
    (NONE, "not offered", "clear"),
    (OPPORTUNISTIC, "valid", "encrypted"),
    (OPPORTUNISTIC, "wrong name", "encrypted"),
    (OPPORTUNISTIC, "unknown authority", "encrypted"),
    (OPPORTUNISTIC, "not offered", "clear"),
    (REQUIRED, "valid", "encrypted"),
    (REQUIRED, "wrong name", "encrypted"),
    (REQUIRED, "unknown authority", "encrypted"),
    (REQUIRED, "not offered", "Deferred 4.7.4"),
    (VERIFY, "valid", "encrypted"),
    (VERIFY, "wrong name", "Deferred 4.7.5"),
    (VERIFY, "unknown authority", "Deferred 4.7.5"),
    (VERIFY, "not offered", "Deferred 4.7.4"),
]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Each of the two event loops."""
    return asyncio.run if request.param == "asyncio" else uvloop.run


@pytest.mark.parametrize(("tls", "certificate", "expected"), TABLE)
def test_trap_13_opportunistic_tls_does_not_verify_and_verify_does(run: Run, tls: HopTls, certificate: str, expected: str) -> None:
    """Opportunistic and Required do not look at the certificate, Verify does, and only Opportunistic goes on in the clear."""

    async def scenario() -> None:
        async with Sink(tls=CERTIFICATES[certificate]()) as sink:
            assert result(await deliver(sink, tls), sink) == expected

    run(scenario())


@pytest.mark.parametrize(("tls", "expected"), [(OPPORTUNISTIC, "clear"), (REQUIRED, "Deferred 4.7.0"), (VERIFY, "Deferred 4.7.0")])
def test_a_refused_starttls(run: Run, tls: HopTls, expected: str) -> None:
    """454 after STARTTLS was offered: in the clear over a fresh connection where that is allowed."""

    async def scenario() -> None:
        async with Sink(tls=server_context()) as sink:
            sink.answer("STARTTLS", "454 4.7.0 TLS not available")
            assert result(await deliver(sink, tls), sink) == expected
            assert sink.sessions == (2 if tls is OPPORTUNISTIC else 1)

    run(scenario())


@pytest.mark.parametrize(("tls", "expected"), [(OPPORTUNISTIC, "clear"), (REQUIRED, "Deferred 4.7.5")])
def test_a_failed_handshake(run: Run, tls: HopTls, expected: str) -> None:
    """A server that answers 220 and then leaves gets the mail in the clear only where that is allowed (RFC 7435)."""

    async def scenario() -> None:
        async with Sink(tls=server_context()) as sink:
            sink.answer("STARTTLS", Cut(b"220 Go\r\n"), times=1)
            assert result(await deliver(sink, tls), sink) == expected

    run(scenario())


@dataclass(frozen=True)
class InTurns(Act):
    """Every second one is sent away."""

    seen: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """What the server says this time."""
        return "421 4.3.2 Not now" if len(self.seen) % 2 == 0 else "220 sink.example ESMTP"

    async def perform(self, writer: asyncio.StreamWriter) -> None:
        """Say it."""
        self.seen.append("")
        writer.write(f"{self.said}\r\n".encode())
        await writer.drain()


def test_the_connections_of_one_attempt_are_bounded(run: Run) -> None:
    """Eight addresses whose TLS fails and which refuse a session in the clear are not all tried, each twice."""

    async def scenario() -> None:
        async with NameServer() as names, Sink(tls=server_context(), host="0.0.0.0") as sink:
            names.add("many.example.", "A", *(f"127.0.0.{number}" for number in range(1, 9)))
            sink.answer("connect", InTurns())
            sink.answer("STARTTLS", "454 4.7.0 TLS not available")
            resolver = names.resolver(2)
            client = Client(resolver, Settings("gateway.example", trusting(), TIMEOUTS))
            hop = Smarthost(host="many.example.", port=sink.port, tls=OPPORTUNISTIC)
            outcomes = await client.deliver(Mail(Envelope("me@here.example", (A,)), BODY), (hop,))

            assert result(outcomes[A], sink) == "Deferred 4.3.2"
            assert sink.sessions == CONNECTIONS + 1  # the last of them in the clear, where TLS had just failed

    run(scenario())


def test_a_verified_hop_may_be_an_address(run: Run) -> None:
    """A certificate for the address verifies a next hop given as an address."""

    async def scenario() -> None:
        async with Sink(tls=server_context("127.0.0.1")) as sink:
            assert result(await deliver(sink, VERIFY, host="127.0.0.1"), sink) == "encrypted"

    run(scenario())


def test_a_large_body_arrives_under_tls(run: Run) -> None:
    """Three megabytes arrive octet for octet."""
    body = b"x" * 3_000_000 + b"\r\n.\r\n"

    async def scenario() -> None:
        async with Sink(tls=server_context()) as sink:
            assert result(await deliver(sink, VERIFY, body=body), sink) == "encrypted"
            assert sink.taken[0].body == body

    run(scenario())


def test_replies_injected_behind_starttls_are_dropped(run: Run) -> None:
    """What an attacker appends to the 220 in the clear answers nothing under TLS: the extensions are those of the real server."""

    async def scenario() -> None:
        async with Sink(tls=server_context()) as sink:
            sink.answer("STARTTLS", Raw(b"220 Go\r\n250-evil.example\r\n250 SIZE\r\n250 2.1.0 Ok\r\n"))
            assert result(await deliver(sink, VERIFY), sink) == "encrypted"
            assert sink.taken[0].parameters.startswith("SIZE=")
            assert [command.partition(" ")[0] for command in sink.commands][:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]

    run(scenario())
