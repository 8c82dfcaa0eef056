"""Handshakes that fail, after STARTTLS and under implicit TLS: each is counted once by its reason, told once, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trustme
from structlog.testing import capture_logs

from smtp_gateway.config.certificate import issue, issue_client, new_authority
from smtp_gateway.config.model import ClientCertificates
from smtp_gateway.listener import implicit
from tests.support.conversation import Conversation
from tests.support.gateway import Reception, authority, certified, config, reception, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

LISTENERS = ("submission", "submissions")


@pytest.fixture
async def way_in(tmp_path: Path) -> AsyncIterator[Reception]:
    """The way in, which asks for certificates."""
    clients = ClientCertificates(authority=authority().cert_pem.bytes().decode())
    async with reception(tmp_path, config().model_copy(update={"client_certificates": clients})) as opened:
        yield opened


def old() -> ssl.SSLContext:
    """Return a client that knows nothing newer than TLS 1.1."""
    context = trusting()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def fond_of(ciphers: str) -> ssl.SSLContext:
    """Return a client of TLS 1.2 that knows no other *ciphers*."""
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    return context


def certified_by_others() -> ssl.SSLContext:
    """Return a client whose own certificate is signed by somebody else."""
    return certified(trusting(), "app.example", by=trustme.CA())


def shake_hands(port: int, listener: str, context: ssl.SSLContext) -> None:
    """Begin TLS in vain, with the standard library's blocking client: those of the loops do not say what they did not like."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain, contextlib.suppress(OSError):
        if listener == "submission":
            plain.recv(1000)
            plain.sendall(b"STARTTLS\r\n")
            plain.recv(1000)
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            assert tls.recv(1000) == b""


def failures(way_in: Reception) -> list[tuple[str, str]]:
    """Return listener and reason of each failed handshake so far."""
    return [event[1:] for event in way_in.observer.events if event[0] == "handshake failed"]


@contextlib.asynccontextmanager
async def before_tls(way_in: Reception, listener: str) -> AsyncIterator[Conversation]:
    """Get to where a handshake is expected."""
    async with Conversation.with_server(way_in.listeners.ports[listener]) as client:
        if listener == "submission":
            await client.expect("220 *")
            await client.ask("STARTTLS", "220 *")
        yield client


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize(
    ("context", "reason"),
    [
        (old, "no_shared_version"),
        (lambda: fond_of("AES128-SHA"), "no_shared_cipher"),
        (lambda: fond_of("ECDHE-RSA-AES128-GCM-SHA256"), "no_shared_cipher"),
        (ssl.create_default_context, "unknown_ca"),
        (certified_by_others, "bad_client_certificate"),
    ],
)
async def test_the_reason_is_counted(
    way_in: Reception, listener: str, context: Callable[[], ssl.SSLContext], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What the two could not agree on, or which of them did not like the other's certificate; the loop has nothing to add."""
    with capture_logs() as logs, caplog.at_level(logging.DEBUG, "asyncio"):
        await asyncio.to_thread(shake_hands, way_in.listeners.ports[listener], listener, context())
        await eventually(lambda: failures(way_in))
        await eventually(lambda: way_in.observer.open == 0)

    assert failures(way_in) == [(listener, reason)]
    assert [(line["event"], line["log_level"], line["reason"]) for line in logs] == [("TLS handshake failed", "info", reason)]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("octets", [b"EHLO client.example\r\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 100_000])
async def test_plain_text_is_told_apart(way_in: Reception, listener: str, octets: bytes) -> None:
    """A client set up for the other kind of listener, or a browser; however much of it comes."""
    async with before_tls(way_in, listener) as client:
        with contextlib.suppress(OSError):
            await client.write(octets)
        await eventually(lambda: failures(way_in))
        await client.hung_up()

    assert failures(way_in) == [(listener, "plain_text")]


@pytest.mark.parametrize("listener", LISTENERS)
async def test_a_client_that_leaves_in_the_middle_is_told_apart(way_in: Reception, listener: str) -> None:
    """After half of its first message."""
    async with before_tls(way_in, listener) as client:
        await client.write(b"\x16\x03\x01\x02\x00\x01")
        client.vanish()
        await eventually(lambda: failures(way_in))

    assert failures(way_in) == [(listener, "closed")]


async def test_a_servers_certificate_opens_nothing_to_clients(tmp_path: Path) -> None:
    """Although the authority of clients signed it: what is issued for servers says so, and whoever holds it is no client."""
    now = datetime.now(UTC)
    signer = new_authority("clients", now)
    results = []
    for number, pair in enumerate((issue(signer, ["app.example"], now), issue_client(signer, "app.example", now))):
        (tmp_path / "pair.pem").write_bytes(pair.certificate + pair.key)
        context = trusting()
        context.load_cert_chain(tmp_path / "pair.pem")
        clients = ClientCertificates(authority=signer.certificate.decode())
        async with reception(tmp_path / str(number), config().model_copy(update={"client_certificates": clients})) as way_in:
            with contextlib.suppress(OSError, AssertionError):
                async with Conversation.with_server(way_in.listeners.ports["submissions"], context) as client:
                    await client.expect("220 *")
                    await client.ask("QUIT", "221 *")
            results.append(failures(way_in))

    assert results == [[("submissions", "bad_client_certificate")], []]


async def test_a_probe_is_no_failure(way_in: Reception) -> None:
    """Connecting to implicit TLS and closing is what load balancers do; the next client is served."""
    port = way_in.listeners.ports["submissions"]
    with capture_logs() as logs:
        for _ in range(5):
            async with Conversation.with_server(port) as probe:
                probe.finish_writing()
                await probe.hung_up()
        async with Conversation.with_server(port, trusting()) as client:
            await client.expect("220 *")

    assert failures(way_in) == []
    assert logs == []


@pytest.mark.parametrize("octets", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_handshake_has_an_end(way_in: Reception, octets: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the client sends nothing at all or the half of something."""
    monkeypatch.setattr(implicit, "HANDSHAKE_TIMEOUT", 0.2)
    async with before_tls(way_in, "submissions") as client:
        await client.write(octets)
        await client.hung_up()

    assert failures(way_in) == [("submissions", "timeout")]


async def test_a_handshake_in_many_pieces_succeeds(way_in: Reception) -> None:
    """Octet by octet: what came before TLS began and what came after it are one stream."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")
    reader, writer = await asyncio.open_connection("127.0.0.1", way_in.listeners.ports["submissions"])
    greeting = b""
    while not greeting.endswith(b"\r\n"):
        try:
            greeting += tls.read(1000)
        except ssl.SSLWantReadError:
            for octet in outgoing.read():
                writer.write(bytes([octet]))
                await writer.drain()
            incoming.write(await asyncio.wait_for(reader.read(1000), 10))
    writer.close()

    assert greeting.startswith(b"220 ")
    assert failures(way_in) == []


async def test_clients_that_vanish_with_the_end_of_the_handshake_leave_nothing(way_in: Reception) -> None:
    """At every octet of what they send: a session that has begun ends, and one that has not never begins."""
    port, context = way_in.listeners.ports["submissions"], trusting()
    for cut in (*range(-40, 0, 4), None):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        shaken = False
        while not shaken:
            try:
                tls.do_handshake()
                shaken = True
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await asyncio.wait_for(reader.read(10_000), 10))
        writer.write(outgoing.read()[:cut])
        writer.transport.abort()
    async with Conversation.with_server(port, trusting()) as client:
        await client.expect("220 *")
        await eventually(lambda: way_in.observer.open == 1)

    await eventually(lambda: len(way_in.listeners.sessions) == 0 and way_in.observer.open == 0)


@pytest.mark.parametrize("listener", LISTENERS)
async def test_what_comes_with_the_end_of_the_handshake_waits_for_the_session(way_in: Reception, listener: str) -> None:
    """More than one read of it, which a loop may hand on before it has said that the handshake is done: it is all answered."""
    count, context = 30_000, trusting()
    async with before_tls(way_in, listener) as client:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        shaken = False
        while not shaken:
            try:
                tls.do_handshake()
                shaken = True
            except ssl.SSLWantReadError:
                await client.write(outgoing.read())
                incoming.write(await client.read())
        # Unanswered until the end, so that both sides' buffers have room for it.
        body = b"EHLO client.example\r\n" + b"RSET\r\n" * count + b"QUIT\r\n"
        tls.write(body)
        writing = asyncio.create_task(client.write(outgoing.read()))
        heard = b""
        while b"\r\n221 " not in heard:
            try:
                heard += tls.read(2**20)
            except ssl.SSLWantReadError:
                incoming.write(await client.read())
        await writing

    assert heard.count(b"250 2.0.0 ") == count
    assert heard.startswith(b"220 " if listener == "submissions" else b"250-")


async def test_many_failures_are_one_line_a_minute(way_in: Reception) -> None:
    """All of them are counted; the line is for people."""
    with capture_logs() as logs:
        for _ in range(20):
            async with before_tls(way_in, "submissions") as client:
                await client.write(b"GET / HTTP/1.1\r\n\r\n")
                await client.hung_up()
        await eventually(lambda: len(failures(way_in)) == 20)

    assert [line["unsaid"] for line in logs] == [0]


async def test_a_time_out_within_a_handshake_ends_it_without_a_word(tmp_path: Path) -> None:
    """The client is in no state for a reply, and has to be counted out like any other."""
    async with reception(tmp_path, patience=0.5) as way_in, before_tls(way_in, "submission") as client:
        await client.hung_up()

        await eventually(lambda: way_in.observer.open == len(way_in.listeners.sessions) == len(way_in.listeners.admission.ceilings) == 0)
        assert failures(way_in) == [("submission", "timeout")]


async def test_a_shutdown_within_a_handshake_ends_it_without_a_word(way_in: Reception) -> None:
    """The same, when the process has no more time to wait for it."""
    async with before_tls(way_in, "submission") as client:
        assert await way_in.listeners.finish_sessions(0.0) == 1
        await client.hung_up()

        await eventually(lambda: way_in.observer.open == len(way_in.listeners.sessions) == len(way_in.listeners.admission.ceilings) == 0)
