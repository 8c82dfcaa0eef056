"""Smarthosts with an authority of their own, and those that ask who we are: real handshakes, under both event loops where they differ."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import uvloop

from smtp_gateway.config.model import ClientCertificate, HopTls, PasswordCredentials, Route, Smarthost
from smtp_gateway.config.report import Cause
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.settings import Settings, Timeouts
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.delivery.trust import Terms, Trust
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.mail.outcome import Delivered, Outcome
from smtp_gateway.probing.probe import Probe
from smtp_gateway.resolver import Resolver
from tests.support.authenticating import AuthenticatingSink
from tests.support.dispatching import AROUND, config, working
from tests.support.messages import BODY
from tests.support.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Run = Callable[[Coroutine[None, None, None]], None]

A = "a@x.example"
REQUIRED, VERIFY = HopTls.REQUIRED, HopTls.VERIFY
PRIVATE, CLIENTS, STRANGERS = trustme.CA(), trustme.CA(), trustme.CA()
"""Who signs the smarthost's certificate, who those of its clients, and somebody else."""
TIMEOUTS = Timeouts(*[5.0] * 10)


def text(authority: trustme.CA) -> str:
    """Return the certificate of *authority*."""
    return authority.cert_pem.bytes().decode()


def shown(authority: trustme.CA = CLIENTS) -> ClientCertificate:
    """Return a certificate of ours that *authority* signed."""
    leaf = authority.issue_cert("gateway.example")
    return ClientCertificate(
        identity="ours", chain="".join(one.bytes().decode() for one in leaf.cert_chain_pems), key=leaf.private_key_pem.bytes().decode()
    )


def asking(*, required: bool = True) -> ssl.SSLContext:
    """Return the context of the smarthost, which asks its clients for a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    PRIVATE.issue_cert("localhost").configure_cert(context)
    CLIENTS.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def smarthost(sink: Sink, **other: Any) -> Smarthost:
    """Return *sink* as a smarthost."""
    return Smarthost(**{"host": "localhost", "port": sink.port, "authority": text(PRIVATE)} | other)


async def deliver(hop: Smarthost) -> Outcome:
    """Deliver one message to *hop*, by the system's authorities unless it has others."""
    client = Client(Resolver(), Settings("gateway.example", Trust(), TIMEOUTS))
    outcomes = await client.deliver(Mail(Envelope("me@here.example", (A,)), BODY), (hop,))
    return outcomes[A]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Each of the two event loops."""
    return asyncio.run if request.param == "asyncio" else uvloop.run


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, "delivered"),
        ({"authority": None}, "4.7.5"),
        ({"authority": text(STRANGERS)}, "4.7.5"),
        ({"authority": text(STRANGERS) + text(PRIVATE)}, "delivered"),
    ],
)
def test_a_smarthost_is_believed_by_its_own_authority(run: Run, other: dict[str, Any], expected: str) -> None:
    """And by no other: neither by those that the system trusts."""

    async def scenario() -> None:
        async with Sink(tls=asking(required=False)) as sink:
            outcome = await deliver(smarthost(sink, **other))
            assert ("delivered" if isinstance(outcome, Delivered) else outcome.reply.enhanced) == expected
            assert len(sink.taken) == (expected == "delivered")

    run(scenario())


@pytest.mark.parametrize("tls", [{}, {"tls": REQUIRED, "authority": None}])
def test_a_smarthost_that_asks_is_shown_the_certificate(run: Run, tls: dict[str, Any]) -> None:
    """Also where its own is not looked at; it takes nothing from clients without one, or with another's."""

    async def scenario() -> None:
        async with Sink(tls=asking()) as sink:
            for certificate in (None, shown(STRANGERS)):
                refused = await deliver(smarthost(sink, client_certificate=certificate, **tls))
                assert not isinstance(refused, Delivered)
                assert refused.reply.code == 451
            assert not sink.taken
            assert isinstance(await deliver(smarthost(sink, client_certificate=shown(), **tls)), Delivered)

    run(scenario())


def refuse(listening: socket.socket, context: ssl.SSLContext) -> None:
    """Serve one client up to the handshake, and fail in it as OpenSSL's own servers do: with an alert, and without cutting it off."""
    talking, _ = listening.accept()
    with talking, talking.makefile("rwb", buffering=0) as lines:
        lines.write(b"220 hop.example\r\n")
        lines.readline()
        lines.write(b"250-hop.example\r\n250 STARTTLS\r\n")
        lines.readline()
        lines.write(b"220 Go ahead\r\n")
        with context.wrap_socket(talking, server_side=True, do_handshake_on_connect=False) as encrypted:
            with pytest.raises(ssl.SSLError):
                encrypted.do_handshake()
            socket.socket.shutdown(encrypted, socket.SHUT_WR)
            while socket.socket.recv(encrypted, 4096):
                pass


@pytest.mark.parametrize(
    ("certificate", "alert"), [(None, "TLSV13_ALERT_CERTIFICATE_REQUIRED"), (shown(STRANGERS), "TLSV1_ALERT_UNKNOWN_CA")]
)
async def test_a_server_that_wants_another_certificate_is_quoted(certificate: ClientCertificate | None, alert: str) -> None:
    """By its alert, which under TLS 1.3 comes behind the handshake; and it is TLS that failed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        serving = asyncio.create_task(asyncio.to_thread(refuse, listening, asking()))
        hop = Smarthost(host="localhost", port=port, authority=text(PRIVATE), client_certificate=certificate)
        found = await Probe(Resolver(), Settings("gateway.example", Trust()))(hop)
        await serving

    assert found.cause is Cause.TLS_FAILED
    assert alert in found.reply


@pytest.mark.parametrize(("offered", "said"), [(("PLAIN", "EXTERNAL"), ["AUTH EXTERNAL ="]), (("PLAIN",), [])])
async def test_the_certificate_takes_the_place_of_a_password(offered: tuple[str, ...], said: list[str]) -> None:
    """AUTH EXTERNAL where that is offered (RFC 4422 appendix A), as whom the certificate says; elsewhere it is enough to have shown it."""
    async with AuthenticatingSink("nobody", tls=asking(), mechanisms=offered) as sink:
        sink.answer("AUTH", "235 2.7.0 Accepted", matching="EXTERNAL")
        sink.answer("MAIL", "250 2.1.0 Ok")
        assert isinstance(await deliver(smarthost(sink, client_certificate=shown())), Delivered)
        assert [line for line in sink.commands if line.startswith("AUTH")] == said


async def test_a_session_that_has_forgotten_a_certificate_is_replaced() -> None:
    """As one that has forgotten a password is: the message goes in a fresh one, and the old one is not used again."""
    async with Sink(tls=asking()) as sink:
        client = Client(Resolver(), Settings("gateway.example", Trust(), TIMEOUTS))
        hop, mail = smarthost(sink, client_certificate=shown()), Mail(Envelope("me@here.example", (A,)), BODY)
        await client.deliver(mail, (hop,))
        sink.answer("MAIL", "530 5.7.0 Authentication required", times=1)

        assert isinstance((await client.deliver(mail, (hop,)))[A], Delivered)
        assert sink.sessions == 2


async def test_a_certificate_that_is_not_taken_for_a_password() -> None:
    """Is a refusal like that of a password; and credentials go before it."""
    password = PasswordCredentials(identity="provider", username="app", password="right")
    async with AuthenticatingSink("app", "right", tls=asking(), mechanisms=("PLAIN", "EXTERNAL")) as sink:
        refused = await deliver(smarthost(sink, client_certificate=shown()))
        assert str(refused.reply) == "504 5.5.4 Unrecognized authentication type"
        assert isinstance(await deliver(smarthost(sink, client_certificate=shown(), credentials=password)), Delivered)


async def test_a_renewed_certificate_is_shown_without_a_restart() -> None:
    """The next attempt after the configuration was loaded has it, and mail that waited goes out."""
    async with Sink(tls=asking()) as sink:
        before, after = (
            config(Route(name="default", smarthosts=(smarthost(sink, client_certificate=certificate),)))
            for certificate in (shown(STRANGERS), shown())
        )
        async with working(before, around=AROUND) as world:
            await world.put(A)
            await world.deferred()
            world.dispatch.reconfigure(after)
            world.later(60)
            await world.settled()
    assert len(sink.taken) == 1


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            {"client_certificate": ClientCertificate(identity="ours", chain="no certificate", key="no key")},
            "The client certificate in Secret ours cannot be used: ",
        ),
        (
            {"client_certificate": ClientCertificate(identity="ours", chain=shown().chain, key=shown().key)},
            "The client certificate in Secret ours cannot be used: KEY_VALUES_MISMATCH",
        ),
        ({"authority": "no certificate"}, "The authority that should vouch for it cannot be used: "),
    ],
)
async def test_what_openssl_cannot_use_defers_and_says_so(other: dict[str, Any], sentence: str) -> None:
    """Whatever was looked at before."""
    async with Sink(tls=asking()) as sink:
        outcome = await deliver(smarthost(sink, **other))

    assert not isinstance(outcome, Delivered)
    assert outcome.reply.text.startswith(sentence)
    assert outcome.reply.enhanced == "4.7.5"


async def test_contexts_are_kept_for_those_who_use_them() -> None:
    """Equal terms have one; those that are used no more are forgotten, with the key."""
    trust, certificate, other = Trust(), shown(), shown()
    first, second = Terms(VERIFY, certificate), Terms(REQUIRED, other)
    contexts = [await trust.context(terms) for terms in (first, Terms(VERIFY, certificate), second)]
    assert contexts[0] is contexts[1]
    trust.keep([second])

    assert await trust.context(second) is contexts[2]
    assert await trust.context(first) is not contexts[0]
