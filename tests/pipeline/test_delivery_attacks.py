"""Attacks on the way to the next hop, each under its name: by who sits in between, by who forges certificates, by who writes the mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from smtp_gateway.config.model import HopTls, Smarthost
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.settings import Settings, Timeouts
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.delivery.trust import Trust
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.mail.outcome import Deferred, Delivered, Outcome
from smtp_gateway.resolver import Resolver
from tests.support.dns import NameServer
from tests.support.forgery import Forged, Signer
from tests.support.messages import BODY
from tests.support.sink import Cut, Raw, Sink

if TYPE_CHECKING:
    from smtp_gateway.mail.body import Body
    from tests.support.sink import Answer

A = "a@x.example"
HOST = "mx.victim.example"
RIGHT = Forged((HOST,))
AUTHORITY = Signer()
TIMEOUTS = Timeouts(*[5.0] * 10)
DEMANDING = (HopTls.REQUIRED, HopTls.VERIFY)


async def deliver(sink: Sink, tls: HopTls = HopTls.VERIFY, host: str = f"{HOST}.", body: Body = BODY) -> Outcome:
    """Deliver one message to *sink*, which is behind every name, and return what it came to."""
    async with NameServer() as names:
        names.add(host, "A", "127.0.0.1")
        client = Client(names.resolver(2), Settings("gateway.example", Trust(AUTHORITY.trusting()), TIMEOUTS))
        hop = Smarthost(host=host, port=sink.port, tls=tls)
        outcomes = await client.deliver(Mail(Envelope("me@here.example", (A,)), body), (hop,))
        client.close()
    return outcomes[A]


def gave_nothing_away(sink: Sink) -> bool:
    """Tell whether no address and no content got to the server in the middle."""
    return not sink.taken and not any(command.startswith(("MAIL", "RCPT", "DATA", "AUTH")) for command in sink.commands)


@pytest.mark.parametrize("tls", DEMANDING)
@pytest.mark.parametrize(
    ("phase", "answer"),
    [
        ("EHLO", "250-mx.victim.example\r\n250-XXXXXXXA\r\n250 SIZE"),
        ("EHLO", "502 5.5.1 Unknown command"),
        ("STARTTLS", "454 4.7.0 TLS not available"),
        ("STARTTLS", "502 5.5.1 Unknown command"),
        ("STARTTLS", "250 2.0.0 Ok"),
        ("STARTTLS", Raw(b"220 Go\r\n250 and in the clear\r\n")),
        ("STARTTLS", Cut(b"220 Go\r\n")),
    ],
    ids=["taken-out-of-ehlo", "no-ehlo", "454", "502", "250", "no-handshake", "cut"],
)
async def test_stripping(tls: HopTls, phase: str, answer: Answer) -> None:
    """Whoever takes STARTTLS away in whichever way (RFC 3207 section 6) gets neither addresses nor content where TLS is demanded."""
    async with Sink() as sink:
        sink.answer(phase, answer)
        outcome = await deliver(sink, tls)

        assert isinstance(outcome, Deferred)
        assert gave_nothing_away(sink)


@pytest.mark.parametrize("tls", [HopTls.OPPORTUNISTIC, *DEMANDING])
async def test_response_injection_before_starttls(tls: HopTls) -> None:
    """Replies that are put behind the one to STARTTLS answer nothing under TLS (CVE-2011-0411's other side): not EHLO, not MAIL."""
    injected = b"220 Go\r\n250-evil.example\r\n250 AUTH PLAIN\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go\r\n250 2.0.0 Taken\r\n"
    async with Sink(tls=AUTHORITY.server(RIGHT)) as sink:
        sink.answer("STARTTLS", Raw(injected), times=1)
        outcome = await deliver(sink, tls)

        assert isinstance(outcome, Delivered)
        assert outcome.encryption is not None
        assert [message.tls for message in sink.taken] == [True]


async def test_response_injection_before_ehlo() -> None:
    """Extensions that are announced before they are asked for end the session: each later reply would answer another command."""
    async with Sink(tls=AUTHORITY.server(RIGHT)) as sink:
        sink.answer("connect", Raw(b"220 mx ESMTP\r\n250-mx\r\n250 SIZE\r\n"))
        outcome = await deliver(sink)

        assert isinstance(outcome, Deferred)
        assert gave_nothing_away(sink)


@pytest.mark.parametrize(
    ("forged", "host"),
    [
        (Forged((f"{HOST}\0.attacker.example",)), HOST),
        (Forged((f"attacker.example\0.{HOST}",)), HOST),
        (Forged((), f"{HOST}\0.attacker.example"), HOST),
        (Forged(("attacker.example",), HOST), HOST),
        (Forged(("*",)), HOST),
        (Forged(("*.example",)), HOST),
        (Forged(("*.*.example",)), HOST),
        (Forged(("mx.*.example",)), HOST),
        (Forged(("m*.victim.example",)), HOST),
        (Forged(("*.victim.example",)), f"deep.{HOST}"),
        (Forged((f".{HOST}",)), HOST),
        (Forged((f"{HOST}.attacker.example",)), HOST),
        (Forged(("127.0.0.1", "*.0.0.1")), "127.0.0.1"),
        (Forged((HOST,), purpose=ExtendedKeyUsageOID.CLIENT_AUTH), HOST),
    ],
    ids=[
        *("nul-behind-the-name", "nul-before-the-name", "nul-in-the-common-name", "common-name-beside-others"),
        *("star-alone", "star-for-two-labels", "two-stars", "star-inside", "star-in-a-label", "star-across-labels"),
        *("dot-before", "longer", "address-as-name", "a-client's"),
    ],
)
async def test_certificate_with_a_misleading_name(forged: Forged, host: str) -> None:
    """An authority signed it, for something that only looks like the next hop (RFC 6125 section 6): no mail under Verify."""
    async with Sink(tls=AUTHORITY.server(forged)) as sink:
        outcome = await deliver(sink, host=host if host[0].isdigit() else f"{host}.")

        assert isinstance(outcome, Deferred)
        assert outcome.reply.enhanced == "4.7.5"
        assert gave_nothing_away(sink)


async def test_certificate_for_a_wildcard_is_right_for_one_label() -> None:
    """The measure of the tests above: what is right passes, a star for the whole first label included."""
    for names in ((HOST,), ("*.victim.example",), ("other.example", HOST.upper())):
        async with Sink(tls=AUTHORITY.server(Forged(names))) as sink:
            outcome = await deliver(sink)

            assert isinstance(outcome, Delivered), outcome
            assert outcome.encryption is not None
            assert outcome.encryption.verified


async def test_certificate_signed_by_a_server() -> None:
    """The bearer of an honest certificate is no authority, although an authority signed his own (RFC 5280 section 4.2.1.9)."""
    bearer = Signer(AUTHORITY, Forged(("attacker.example",), "attacker.example"))
    async with Sink(tls=bearer.server(RIGHT)) as sink:
        outcome = await deliver(sink)

        assert isinstance(outcome, Deferred)
        assert outcome.reply.enhanced == "4.7.5"
        assert gave_nothing_away(sink)


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n.\r\n"])
async def test_smuggling_from_a_changed_spool(end: bytes) -> None:
    """A body in which somebody would see a second end of data is not sent at all, wherever it came from."""
    body = b"Subject: x\r\n\r\nhello" + end + b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<you@x.example>\r\nDATA\r\nboo\r\n.\r\n"
    async with Sink() as sink:
        outcome = await deliver(sink, HopTls.NONE, body=body)

        assert isinstance(outcome, Deferred)
        assert sink.sessions == 0


@pytest.mark.parametrize("address", ["a@x.example>\r\nRCPT TO:<b@y.example", "a@x.example> NOTIFY=NEVER", "a\0@x.example", "a@x.example\n"])
async def test_smuggling_in_an_address(address: str) -> None:
    """An address that would end its command, or begin another, is not sent: as recipient it alone, as sender none of the message."""
    for envelope in (Envelope("me@here.example", (address,)), Envelope(address, (A,))):
        async with Sink() as sink:
            client = Client(Resolver(), Settings("gateway.example", Trust(), TIMEOUTS))
            hop = Smarthost(host="127.0.0.1", port=sink.port, tls=HopTls.NONE)
            outcomes = await client.deliver(Mail(envelope, BODY), (hop,))

            assert [type(outcome) for outcome in outcomes.values()] == [Deferred]
            assert sink.sessions == 0
