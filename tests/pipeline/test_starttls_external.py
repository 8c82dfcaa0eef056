"""AUTH EXTERNAL: clients that show a certificate instead of a password."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trustme
from structlog.testing import capture_logs

from smtp_gateway.config.model import CertifiedLogin, ClientCertificates, Config
from smtp_gateway.listener.server import Listeners
from smtp_gateway.policy.certified import Certified
from smtp_gateway.tls import server_context
from tests.support.conversation import Conversation, encoded, plain
from tests.support.following import followed
from tests.support.gateway import Reception, authority, certified, config, reception, trusting, write_pair
from tests.support.waiting import eventually
from tests.support.wire import Counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TLS = trusting()
BILLING = certified(trusting(), "host.apps.example", "billing.apps.example")
PERSON = certified(trusting(), "Alice@example.com")
STRANGER = certified(trusting(), "stranger.example")
KNOWN = (
    CertifiedLogin(name="Billing.Apps.Example", identity="billing-logins"),
    CertifiedLogin(name="Alice@example.com", identity="people"),
)


def asking(*, required: bool = False, by: trustme.CA | None = None) -> ClientCertificates:
    """Return what clients are asked for: certificates of the tests' authority unless *by* another."""
    return ClientCertificates(authority=(by or authority()).cert_pem.bytes().decode(), required=required, logins=KNOWN)


def configured(clients: ClientCertificates | None) -> Config:
    """Return a configuration that asks for *clients*."""
    return config().model_copy(update={"client_certificates": clients})


@pytest.fixture
async def way_in(tmp_path: Path) -> AsyncIterator[Reception]:
    """The way in, which asks for certificates and requires none."""
    async with reception(tmp_path, configured(asking())) as opened:
        yield opened


@pytest.mark.parametrize(
    "steps",
    [
        [("AUTH EXTERNAL =", "235 2.7.0 *")],
        [("AUTH external =", "235 2.7.0 *")],
        [("AUTH EXTERNAL", "334 "), ("", "235 2.7.0 *")],
        [(f"AUTH EXTERNAL {encoded('billing.apps.example')}", "235 2.7.0 *")],
        [("AUTH EXTERNAL", "334 "), (encoded("BILLING.apps.example"), "235 2.7.0 *")],
    ],
)
async def test_a_certificate_is_a_login(way_in: Reception, steps: list[tuple[str, str]]) -> None:
    """With an empty response or the certificate's name; mail is the identity's, as with a password, and metrics know no more."""
    async with Conversation.with_server(way_in.port) as client:
        await client.greeted(BILLING)
        for line, pattern in steps:
            await client.ask(line, pattern)
        await client.ask("AUTH EXTERNAL =", "503 5.5.1 *")
        await client.send(b"x\r\n.\r\n")

    assert ("authenticated", "EXTERNAL", True) in way_in.observer.events
    assert [event[:2] for event in way_in.observer.events if event[0] == "accepted"] == [("accepted", "billing-logins")]


async def test_a_mail_address_is_a_name_too(way_in: Reception) -> None:
    """Under implicit TLS, without STARTTLS."""
    async with Conversation.with_server(way_in.listeners.ports["submissions"], PERSON) as client:
        await client.expect("220 *")
        assert "AUTH EXTERNAL LOGIN PLAIN" in await client.ask("EHLO client.example")
        await client.ask("AUTH EXTERNAL =", "235 2.7.0 *")
        await client.send(b"x\r\n.\r\n")

    assert [event[1] for event in way_in.observer.events if event[0] == "accepted"] == ["people"]


async def test_external_is_offered_to_those_with_a_certificate_only(way_in: Reception) -> None:
    """By both ways of answering EHLO; for others it is a mechanism that does not exist."""
    for context, offered in ((BILLING, "250-AUTH EXTERNAL LOGIN PLAIN"), (TLS, "250-AUTH LOGIN PLAIN")):
        async with Conversation.with_server(way_in.port) as client:
            await client.greeted(context)
            assert offered in (await client.ask("EHLO client.example")).split("\n")
            assert offered in (await client.ask("EHLO client!example")).split("\n")
    async with Conversation.with_server(way_in.port) as client:
        await client.greeted(TLS)
        await client.ask("AUTH EXTERNAL =", "504 5.5.4 *")
        await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")


@pytest.mark.parametrize(
    ("context", "response"),
    [
        (STRANGER, ""),
        (STRANGER, "stranger.example"),
        (BILLING, "Alice@example.com"),
        (BILLING, "host.apps.example"),
        (PERSON, "alice@example.com"),
    ],
)
async def test_nobody_becomes_somebody_else(way_in: Reception, context: ssl.SSLContext, response: str) -> None:
    """A certificate that is good and known to nobody, or that is for another: 535, and a line without the name."""
    async with Conversation.with_server(way_in.port) as client:
        await client.greeted(context)
        with capture_logs() as logs:
            await client.ask(f"AUTH EXTERNAL {encoded(response) or '='}", "535 5.7.8 *")
        await client.ask("MAIL FROM:<a@example.com>", "530 5.7.0 *")
        await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")

    assert [(line["event"], line["mechanism"]) for line in logs] == [("authentication failed", "EXTERNAL")]
    assert ("authenticated", "EXTERNAL", False) in way_in.observer.events


@pytest.mark.parametrize(
    ("lines", "pattern"),
    [
        (["AUTH EXTERNAL", "*"], "501 5.7.0 *"),
        (["AUTH EXTERNAL", "no base64!"], "501 5.5.2 *"),
        (["AUTH EXTERNAL no-base64"], "501 5.5.2 *"),
    ],
)
async def test_an_exchange_that_goes_wrong_ends_with_one_reply(way_in: Reception, lines: list[str], pattern: str) -> None:
    """Cancelled or malformed: the session goes on."""
    async with Conversation.with_server(way_in.port) as client:
        await client.greeted(BILLING)
        for line in lines[:-1]:
            await client.ask(line, "334 *")
        await client.ask(lines[-1], pattern)
        await client.ask("NOOP", "250 *")


async def test_what_was_shown_is_forgotten_with_the_connection(way_in: Reception) -> None:
    """The next client of the same listener has a certificate of its own, or none."""
    for context, answer in ((BILLING, "235 *"), (TLS, "504 *"), (PERSON, "235 *")):
        async with Conversation.with_server(way_in.port) as client:
            await client.greeted(context)
            await client.ask("AUTH EXTERNAL =", answer)


async def test_a_certificate_can_be_required(tmp_path: Path) -> None:
    """A client without one gets no session, whatever its password."""
    async with reception(tmp_path, configured(asking(required=True))) as way_in:
        async with Conversation.with_server(way_in.port) as client:
            with contextlib.suppress(OSError, AssertionError):
                await client.greeted(TLS)
                pytest.fail("let in")
        async with Conversation.with_server(way_in.port) as client:
            await client.greeted(BILLING)
            await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")

    assert ("handshake failed", "submission", "no_client_certificate") in way_in.observer.events


def handshake(context: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLObject:
    """Return a client after a handshake in memory with a server of *context*. Raises `SSLError`, of either side."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    for _ in range(5):
        for side in (ours, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    server.write(b"220")
    assert ours.read(10) == b"220"
    return ours


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_another_authority_counts_from_the_next_handshake(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Sessions that were begun under the one before are not resumed under it; other logins alone change nothing."""
    successor = trustme.CA()
    before, after = certified(trusting(), "app.example"), certified(trusting(), "app.example", by=successor)
    before.maximum_version = version
    async with followed(write_pair(tmp_path), asking()) as certificate:
        first = handshake(certificate.context, before)
        assert handshake(certificate.context, before, first.session).session_reused

        context = certificate.context
        certificate.admit(asking().model_copy(update={"logins": ()}))
        certificate.admit(asking(by=successor))
        await eventually(lambda: certificate.context is not context)
        handshake(certificate.context, after)
        for session in (first.session, None):
            with pytest.raises(ssl.SSLError):
                handshake(certificate.context, before, session)

        context = certificate.context
        certificate.admit(None)
        await eventually(lambda: certificate.context is not context)
        handshake(certificate.context, before)


async def test_a_certificate_counts_under_the_authority_that_judged_it(tmp_path: Path) -> None:
    """Whose handshake was under way when the authority was replaced is nobody under the new one, and has to connect again."""
    clients = asking()
    folder = await asyncio.to_thread(write_pair, tmp_path)
    before, after = [await asyncio.to_thread(server_context, folder, each) for each in (clients, asking(by=trustme.CA()))]
    in_force = [before]
    front = replace(Counter(configured(clients)).front, tls=lambda: in_force[-1], certified=Certified(clients))
    listeners = Listeners()
    await listeners.open(front, ("127.0.0.1", 0))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = BILLING.wrap_bio(incoming, outgoing, server_hostname="localhost")
    said = b""
    async with Conversation.with_server(listeners.ports["submission"]) as client:
        await client.expect("220 *")
        await client.ask("STARTTLS", "220 *")
        with pytest.raises(ssl.SSLWantReadError):
            ours.do_handshake()
        await client.write(outgoing.read())
        incoming.write(await client.read())
        in_force.append(after)
        ours.do_handshake()
        ours.write(b"EHLO client.example\r\nAUTH EXTERNAL =\r\n")
        await client.write(outgoing.read())
        while b"250 HELP\r\n" not in said or said.endswith(b"250 HELP\r\n"):
            incoming.write(await client.read())
            with contextlib.suppress(ssl.SSLWantReadError):
                # A record at a time.
                while True:
                    said += ours.read(10_000)
    listeners.stop_accepting()

    assert b"AUTH EXTERNAL LOGIN PLAIN" in said
    assert said.splitlines()[-1].startswith(b"535 5.7.8 ")


async def test_other_logins_change_no_handshake(tmp_path: Path) -> None:
    """Tickets stay good; the gateway asks who it is anew at AUTH."""
    async with followed(write_pair(tmp_path), asking()) as certificate:
        first = handshake(certificate.context, BILLING)
        context = certificate.context
        certificate.admit(asking().model_copy(update={"logins": ()}))
        write_pair(tmp_path)
        with capture_logs() as logs:
            await eventually(lambda: logs)
        assert certificate.context is context
        assert handshake(certificate.context, BILLING, first.session).session_reused


async def test_an_authority_waits_for_a_usable_pair(tmp_path: Path) -> None:
    """Nothing of a new configuration is half in force; it is when the pair has been mended."""
    async with followed(write_pair(tmp_path), None) as certificate:
        context = certificate.context
        (tmp_path / "tls.key").unlink()
        certificate.admit(asking(required=True))
        await eventually(lambda: "cannot be read" in certificate.problem)
        assert certificate.context is context
        handshake(certificate.context, TLS)

        write_pair(tmp_path)
        await eventually(lambda: not certificate.problem)
        with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN"):
            handshake(certificate.context, TLS)


async def test_a_handshake_ends_as_it_began(tmp_path: Path) -> None:
    """When other clients are admitted, or none, in the middle of it, it is not judged by half of each."""
    async with followed(write_pair(tmp_path), asking()) as certificate:
        begun = certificate.context
        certificate.admit(None)
        await eventually(lambda: certificate.context is not begun)

        handshake(begun, certified(trusting(), "app.example"))
        handshake(certificate.context, certified(trusting(), "app.example"))
