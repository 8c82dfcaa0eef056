"""Access tokens towards next hops, with a real endpoint that gives them: shown, replaced, refused, and not to be had."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import Config, Route, Smarthost, TokenCredentials
from smtp_gateway.config.pace import Retry
from smtp_gateway.config.report import Cause
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.settings import Settings, Timeouts
from smtp_gateway.delivery.token_endpoint import TokenEndpoint
from smtp_gateway.delivery.tokens import FRESH, Tokens
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.dispatch import Surroundings
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.mail.outcome import Deferred, Delivered, Outcome
from smtp_gateway.probing.probe import Probe
from smtp_gateway.resolver import Resolver
from tests.pipeline.test_delivery_tls import server_context
from tests.pipeline.test_delivery_tls import trusting as trusting_hops
from tests.pipeline.test_gateway import measured, page
from tests.support import gateway as gateways
from tests.support.bearing import REFUSED, BearingSink
from tests.support.conversation import Conversation
from tests.support.dispatching import Clock
from tests.support.dns import NameServer
from tests.support.messages import BODY
from tests.support.sink import Cut, Sink
from tests.support.token_server import CLIENT_SECRET, REFRESH_TOKEN, Says, TokenServer, gives, refuses, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

A = "a@x.example"
USER = "app@example.com"
LONG = "x" * 2000
"""A token as long as Microsoft's."""
EXPLAINED = f"{REFUSED} (status=401, schemes=bearer, scope=https://mail.google.com/)"


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenServer]:
    """A token endpoint."""
    async with TokenServer() as running:
        yield running


@pytest.fixture
async def hop() -> AsyncIterator[BearingSink]:
    """A next hop that takes the first token that the endpoint gives."""
    async with BearingSink(USER, "token-1", tls=server_context()) as running:
        yield running


def smarthost(sink: Sink, endpoint: TokenServer, **grant: Any) -> Smarthost:
    """Return *sink* as it is configured, with tokens from *endpoint*."""
    credentials = TokenCredentials(identity="provider", username=USER, grant=endpoint.grant(**grant))
    return Smarthost(host="localhost", port=sink.port, credentials=credentials)


class Sender:
    """A client, and what it sends by it."""

    def __init__(self, resolver: Resolver | None = None) -> None:
        """Prepare."""
        self.clock = Clock()
        self.settings = Settings(
            "gateway.example", trusting_hops(), Timeouts(*[5.0] * 10), tokens=Tokens(TokenEndpoint(trusting(), patience=5), self.clock)
        )
        self.client = Client(resolver or Resolver(), self.settings)

    async def send(self, *hops: Smarthost) -> Outcome:
        """Send one message by the first of *hops* that takes it."""
        return (await self.client.deliver(Mail(Envelope("me@here.example", (A,)), BODY), hops))[A]


def deferral(outcome: Outcome) -> str:
    """Return what an attempt without a session came to."""
    assert isinstance(outcome, Deferred)
    assert outcome.unreached
    return str(outcome.reply)


async def test_mail_goes_with_a_token(hop: BearingSink, endpoint: TokenServer) -> None:
    """Shown once a session, asked for once an hour."""
    sender, target = Sender(), smarthost(hop, endpoint)
    for _ in range(2):
        assert isinstance(await sender.send(target), Delivered)
    sender.client.close()
    assert isinstance(await sender.send(target), Delivered)

    assert hop.shown == ["token-1"] * 2
    assert len(endpoint.asked) == 1
    assert len(hop.taken) == 3


@pytest.mark.parametrize("mechanisms", [("XOAUTH2",), ("PLAIN", "OAUTHBEARER")])
@pytest.mark.parametrize("token", ["short", LONG])
async def test_both_mechanisms_and_both_lengths(endpoint: TokenServer, mechanisms: tuple[str, ...], token: str) -> None:
    """A token that does not fit the command goes after it (RFC 4954 section 4)."""
    endpoint.answer(gives(token))
    async with BearingSink(USER, token, tls=server_context(), mechanisms=mechanisms) as sink:
        assert isinstance(await Sender().send(smarthost(sink, endpoint)), Delivered)

    assert sink.shown == [token]
    assert (f"AUTH {mechanisms[-1]}" in sink.commands) is (token == LONG)


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("token", ["short", LONG])
async def test_why_a_token_is_refused_is_part_of_the_reply(endpoint: TokenServer, mechanism: str, token: str) -> None:
    """It stands in a challenge, which has to be answered before the reply comes."""
    endpoint.answer(gives(token))
    async with BearingSink(USER, "another", tls=server_context(), mechanisms=(mechanism,)) as sink:
        assert deferral(await Sender().send(smarthost(sink, endpoint))) == EXPLAINED
        sink.explains = False
        assert deferral(await Sender().send(smarthost(sink, endpoint))) == REFUSED


async def test_a_token_that_is_refused_is_replaced_in_the_same_session(hop: BearingSink, endpoint: TokenServer) -> None:
    """It was revoked, or ended early: the mail does not wait for another attempt."""
    sender, target = Sender(), smarthost(hop, endpoint)
    await sender.send(target)
    sender.client.close()
    hop.passwords = {"token-2"}
    sender.clock.now += FRESH

    assert isinstance(await sender.send(target), Delivered)
    assert hop.shown == ["token-1", "token-1", "token-2"]
    assert hop.sessions == 2
    assert len(endpoint.asked) == 2


async def test_a_server_that_refuses_every_token_is_not_a_reason_to_ask_for_more(hop: BearingSink, endpoint: TokenServer) -> None:
    """A mailbox that the client may not use: it is neither tried with each message, nor the endpoint asked."""
    sender, target = Sender(), smarthost(hop, endpoint)
    hop.passwords = set()
    for _ in range(3):
        assert deferral(await sender.send(target)) == EXPLAINED
    assert (hop.shown, len(endpoint.asked)) == (["token-1"], 1)

    sender.clock.now += FRESH
    sender.client.retry_refused()
    assert deferral(await sender.send(target)) == EXPLAINED
    assert (hop.shown[1:], len(endpoint.asked)) == (["token-1", "token-2"], 2)


@pytest.mark.parametrize("then", ["no other token", "the next hop has hung up"])
async def test_what_the_server_said_of_the_token_is_told(hop: BearingSink, endpoint: TokenServer, then: str) -> None:
    """And not what came of the attempt to get another one."""
    sender, target = Sender(), smarthost(hop, endpoint)
    await sender.send(target)
    sender.client.close()
    sender.clock.now += FRESH
    hop.passwords = set()
    if then == "no other token":
        endpoint.answer(Says(503, {}))
    else:
        hop.explains = False
        hop.answer("AUTH", Cut(f"{REFUSED}\r\n".encode()))

    assert deferral(await sender.send(target)) == (EXPLAINED if hop.explains else REFUSED)


async def test_a_temporary_failure_is_not_the_token_s(hop: BearingSink, endpoint: TokenServer) -> None:
    """454 says that the server could not tell."""
    sender, target = Sender(), smarthost(hop, endpoint)
    await sender.send(target)
    sender.client.close()
    sender.clock.now += FRESH
    hop.answer("AUTH", "454 4.7.0 Temporary authentication failure", times=1)

    assert deferral(await sender.send(target)) == "454 4.7.0 Temporary authentication failure"
    assert isinstance(await sender.send(target), Delivered)
    assert len(endpoint.asked) == 1


async def test_without_a_token_mail_waits_or_takes_another_way(hop: BearingSink, endpoint: TokenServer) -> None:
    """The next hop hears nothing of it, and the endpoint is not asked again at once."""
    endpoint.answer(refuses("invalid_client", "AADSTS7000222: The provided client secret keys are expired."))
    sender, target = Sender(), smarthost(hop, endpoint)
    said = "451 4.7.0 No access token: localhost said invalid_client: AADSTS7000222: The provided client secret keys are expired."

    async with Sink(tls=server_context()) as other:
        assert deferral(await sender.send(target)) == said
        assert deferral(await sender.send(target)) == said
        assert isinstance(await sender.send(target, Smarthost(host="localhost", port=other.port)), Delivered)
    assert len(endpoint.asked) == 1
    assert not [line for line in hop.commands if line.startswith(("AUTH", "MAIL"))]


async def test_without_a_token_the_other_addresses_of_a_host_are_not_tried(endpoint: TokenServer) -> None:
    """Each would be a connection for nothing."""
    endpoint.answer(Says(503, {}))
    async with NameServer() as names, BearingSink(USER, tls=server_context("many.example")) as sink:
        await sink.stop()
        sink.host, sink.port = "0.0.0.0", 0
        await sink.start()
        names.add("many.example.", "A", *(f"127.0.0.{number}" for number in range(1, 4)))
        sender = Sender(names.resolver(2))
        target = smarthost(sink, endpoint).model_copy(update={"host": "many.example."})

        assert deferral(await sender.send(target)) == "451 4.7.0 No access token: localhost answered 503 without a reason"
        assert sink.sessions == 1


async def test_sessions_that_begin_together_ask_once(hop: BearingSink, endpoint: TokenServer) -> None:
    """All wait for the same token."""
    endpoint.open.clear()
    sender, target = Sender(), smarthost(hop, endpoint)
    sending = [asyncio.create_task(sender.send(target)) for _ in range(5)]
    await eventually(lambda: hop.commands.count("EHLO gateway.example") == 10)
    endpoint.open.set()

    assert [type(one) for one in await asyncio.gather(*sending)] == [Delivered] * 5
    assert len(endpoint.asked) == 1


async def test_a_next_hop_that_takes_no_tokens_is_told_so(endpoint: TokenServer) -> None:
    """It is shown none."""
    async with BearingSink(USER, tls=server_context(), mechanisms=("PLAIN", "LOGIN")) as sink:
        assert deferral(await Sender().send(smarthost(sink, endpoint))) == (
            "451 4.7.4 The next hop offers AUTH LOGIN PLAIN alone under TLS; the credentials are for XOAUTH2 or OAUTHBEARER"
        )
    assert not [line for line in sink.commands if line.startswith("AUTH")]


async def test_a_probe_finds_which_of_the_two_refuses(hop: BearingSink, endpoint: TokenServer) -> None:
    """The endpoint or the next hop, each in its own words."""
    sender, target = Sender(), smarthost(hop, endpoint)
    probe = Probe(Resolver(), sender.settings)
    assert (await probe(target)).cause is None

    hop.passwords = set()
    found = await probe(target)
    assert (found.cause, found.reply) == (Cause.AUTHENTICATION_REJECTED, EXPLAINED)

    endpoint.answer(refuses("invalid_client", "expired"))
    found = await probe(smarthost(hop, endpoint, client_id="another"))
    assert (found.cause, found.reply) == (Cause.TOKEN_UNAVAILABLE, "No access token: localhost said invalid_client: expired")


def relaying(target: Smarthost) -> Config:
    """Return a configuration whose only smarthost is *target*, and whose mail is tried again every two hours."""
    curve = Retry(initial=7200.0, maximum=7200.0, factor=1.0, jitter=0.0)
    return gateways.config().model_copy(update={"routes": (Route(name="default", smarthosts=(target,), retry=curve),)})


async def test_a_corrected_secret_is_used_without_a_restart_and_shown_nowhere(
    tmp_path: Path, hop: BearingSink, endpoint: TokenServer
) -> None:
    """Mail that waited goes at once; neither logs nor metrics have a secret, a token or the username."""
    wrong, right = (relaying(smarthost(hop, endpoint, **grant)) for grant in ({"client_secret": "wr0ng"}, {"refresh_token": REFRESH_TOKEN}))
    endpoint.answer(refuses("invalid_client", "wr0ng is wrong", 401), gives("token-1", refresh_token="n3w3r"))
    world = Surroundings(trust=trusting_hops(), tokens=Tokens(TokenEndpoint(trusting())))
    with capture_logs() as logs:
        async with gateways.running(tmp_path, wrong, world) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
            await client.authenticated(gateways.trusting())
            await client.send(b"Subject: waiting\r\n\r\nx\r\n.\r\n")
            await measured(gateway, r"^smtp_gateway_deferred_recipients_total\{.*\} 1\.0$")
            await measured(gateway, r'^smtp_gateway_upstream_up\{credentials="provider",host="localhost",.*\} 0\.0$')

            gateway.reconfigure(right)
            await eventually(lambda: hop.taken)
            await measured(gateway, r"^smtp_gateway_upstream_up\{.*\} 1\.0$")
            _, metrics = await page(gateway, "/metrics")

    (deferred,) = (line for line in logs if line["event"] == "deferred")
    assert deferred["reply"] == "451 4.7.0 No access token: localhost said invalid_client: *** is wrong"
    assert [line["cause"] for line in logs if line["event"] == "upstream unreachable"] == ["TokenUnavailable"]
    shown = f"{logs} {metrics} {wrong!r} {right!r}"
    said = [line.split()[-1] for line in hop.commands if line.startswith("AUTH")]
    assert said
    assert not [one for one in (CLIENT_SECRET, REFRESH_TOKEN, "wr0ng", "n3w3r", "token-1", USER, *said) if one in shown]
