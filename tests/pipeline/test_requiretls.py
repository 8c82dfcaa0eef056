"""REQUIRETLS (RFC 8689): taken under TLS alone, kept, and passed on to those who promise the same."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.config.model import ClientCertificate, HopTls, PasswordCredentials, Smarthost
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.settings import Settings, Timeouts
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.delivery.trust import Trust
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.mail.outcome import Deferred, Delivered, Failed, Outcome
from smtp_gateway.resolver import Resolver
from tests.support.conversation import Conversation
from tests.support.forgery import Forged, Signer
from tests.support.gateway import trusting
from tests.support.messages import BODY
from tests.support.sink import EXTENSIONS, Answer, Cut, Sink

if TYPE_CHECKING:
    import ssl

    from tests.support.gateway import Reception

A = "a@x.example"
AUTHORITY = Signer()
RIGHT, WRONG = AUTHORITY.server(Forged(("localhost",))), AUTHORITY.server(Forged(("elsewhere.example",)))
PROMISING = (*EXTENSIONS, "REQUIRETLS")
LETTER = Envelope("me@here.example", (A,), requiretls=True)
NOTICE = replace(LETTER, sender="")


async def test_it_is_announced_under_tls_alone(way_in: Reception) -> None:
    """Whichever way EHLO is answered (RFC 8689 section 4.1)."""
    async with Conversation.with_server(way_in.port) as client:
        await client.expect("220 *")
        assert "REQUIRETLS" not in await client.ask("EHLO client.example")
        await client.starttls(trusting())
        assert "\n250-REQUIRETLS\n" in await client.ask("EHLO client.example")
        assert "\n250-REQUIRETLS\n" in await client.ask("ehlo  client.example")


async def test_it_is_kept_with_its_message_and_no_other(way_in: Reception, client: Conversation) -> None:
    """In any case of letters, beside other parameters; not of a MAIL that was refused, nor for the next message."""
    await client.ask("MAIL FROM:<a@example.com> REQUIRETLS=yes", "555 5.5.4 *")
    await client.ask("MAIL FROM:<a@example.com> REQUIRETLS REQUIRETLS", "501 5.5.4 *")
    await client.ask("MAIL FROM:<a@example.com> requiretls RET=HDRS SIZE=100", "250 2.1.0 *")
    await client.ask("RCPT TO:<b@example.net>", "250 *")
    await client.ask("DATA", "354 *")
    await client.write(b"x\r\n.\r\n")
    await client.expect("250 2.0.0 *")
    await client.send(b"two\r\n.\r\n")

    first, second = (message.envelope for message in way_in.spool.messages)
    assert first.requiretls
    assert first.dsn.ret == "HDRS"
    assert not second.requiretls


async def deliver(*sinks: Sink, envelope: Envelope = LETTER, tls: HopTls = HopTls.VERIFY, **terms: Any) -> Outcome:
    """Deliver one message to the first of *sinks* that will do, by *terms*, and return what it came to."""
    client = Client(Resolver(), Settings("gateway.example", Trust(AUTHORITY.trusting()), Timeouts(*[5.0] * 10)))
    hops = tuple(Smarthost(host="localhost", port=sink.port, tls=tls, **terms) for sink in sinks)
    outcomes = await client.deliver(Mail(envelope, BODY), hops)
    client.close()
    return outcomes[A]


async def test_it_is_passed_on() -> None:
    """To a next hop with a valid certificate that announces it under TLS."""
    async with Sink(tls=RIGHT, extensions=PROMISING) as sink:
        assert isinstance(await deliver(sink), Delivered)

        assert sink.taken[0].tls
        assert "REQUIRETLS" in sink.taken[0].parameters.split()


async def test_who_did_not_ask_for_it_sends_without() -> None:
    """Also to a next hop that knows it, and in the same session."""
    async with Sink(tls=RIGHT, extensions=PROMISING) as sink:
        assert isinstance(await deliver(sink, envelope=replace(LETTER, requiretls=False)), Delivered)

        assert "REQUIRETLS" not in sink.taken[0].parameters


UNUSABLE: dict[str, tuple[ssl.SSLContext | None, tuple[str, ...], str]] = {
    "not announced": (RIGHT, EXTENSIONS, "550 5.7.30 REQUIRETLS support required, which the next hop does not offer"),
    "wrong certificate": (WRONG, PROMISING, "550 5.7.10 Encryption needed: TLS handshake failed"),
    "no STARTTLS": (None, PROMISING, "550 5.7.10 Encryption needed: TLS is required and the next hop does not offer STARTTLS"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_a_next_hop_that_cannot_promise_it_is_passed_over(kind: str) -> None:
    """The next one is tried (section 4.2.1); with no other, the sender hears of it at once, with the code that says which."""
    tls, extensions, said = UNUSABLE[kind]
    async with Sink(tls=tls, extensions=extensions) as unusable:
        alone = await deliver(unusable)
        async with Sink(tls=RIGHT, extensions=PROMISING) as other:
            assert isinstance(await deliver(unusable, other), Delivered)

        assert isinstance(alone, Failed)
        assert str(alone.reply).startswith(said)
        assert not any(command.startswith("MAIL") for command in unusable.commands)


async def test_it_waits_while_one_may_yet_promise_it() -> None:
    """A next hop that is away says nothing about what it would promise."""
    async with AsyncExitStack() as stack:
        unusable = await stack.enter_async_context(Sink(tls=RIGHT))
        away = Sink()
        await away.start()
        await away.stop()

        for order in ((unusable, away), (away, unusable)):
            assert isinstance(await deliver(*order), Deferred)


NO_VERDICT: dict[str, tuple[Answer | None, dict[str, Any]]] = {
    "no mechanism": (None, {"credentials": PasswordCredentials(identity="ours", username="us", password="secret")}),
    "useless certificate": (None, {"client_certificate": ClientCertificate(identity="ours", chain="no certificate", key="no key")}),
    "cut in the handshake": (Cut(b"220 2.0.0 Go ahead\r\n"), {}),
}


@pytest.mark.parametrize("kind", NO_VERDICT)
async def test_it_waits_for_what_says_nothing_of_the_next_hops_tls(kind: str) -> None:
    """Credentials and certificates of ours are ours to mend, and a connection that is lost may hold the next time."""
    answer, terms = NO_VERDICT[kind]
    async with Sink(tls=RIGHT, extensions=PROMISING) as sink:
        if answer is not None:
            sink.answer("STARTTLS", answer)

        assert isinstance(await deliver(sink, **terms), Deferred)


@pytest.mark.parametrize(("tls", "extensions", "asked"), [(RIGHT, PROMISING, True), (RIGHT, EXTENSIONS, False), (None, PROMISING, False)])
async def test_a_notice_is_not_lost_for_it(tls: ssl.SSLContext | None, extensions: tuple[str, ...], *, asked: bool) -> None:
    """A notice of such a message asks for it where it can, under TLS, and is sent all the same where it cannot (section 5)."""
    async with Sink(tls=tls, extensions=extensions) as sink:
        assert isinstance(await deliver(sink, envelope=NOTICE, tls=HopTls.OPPORTUNISTIC), Delivered)

        assert ("REQUIRETLS" in sink.taken[0].parameters) is asked
