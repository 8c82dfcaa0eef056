"""PROXY headers from peers that are listed and from peers that are not, before SMTP and before TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import Config, Limits, Listener, ListenerAuth, ListenerTls
from smtp_gateway.listener.proxy import SIGNATURE
from smtp_gateway.listener.timeouts import Timeouts
from tests.support.conversation import PATIENCE, Conversation
from tests.support.gateway import config, reception, trusting
from tests.support.messages import octets
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping
    from pathlib import Path

    from tests.support.gateway import Reception

TLS = trusting()
CLIENT = "192.0.2.7"
TEXT = f"PROXY TCP4 {CLIENT} 198.51.100.1 51234 25\r\n".encode()
BINARY = SIGNATURE + b"\x21\x11\x00\x0c" + socket.inet_aton(CLIENT) + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 51234, 25)
BINARY6 = SIGNATURE + b"\x21\x21\x00\x24" + ipaddress.ip_address("2001:db8::7").packed * 2 + struct.pack("!HH", 51234, 25)
MAPPED = f"PROXY TCP6 ::ffff:{CLIENT} ::1 51234 25\r\n".encode()
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
HERE, ELSEWHERE = "127.0.0.0/8", "198.51.100.0/24"


def behind(*networks: str, limits: Limits | None = None) -> Config:
    """Return a configuration whose listeners trust proxies in *networks*."""
    usual = config(limits=limits)
    trusted = tuple(ipaddress.ip_network(one) for one in networks)
    listeners = tuple(Listener(name=one.name, port=one.port, tls=one.tls, trusted_proxies=trusted) for one in usual.listeners)
    return usual.model_copy(update={"listeners": listeners})


@pytest.fixture
async def way_in(tmp_path: Path) -> AsyncIterator[Reception]:
    """The way in, behind a proxy on this machine."""
    async with reception(tmp_path, behind(HERE)) as opened:
        yield opened


@contextlib.asynccontextmanager
async def under_tls(port: int, header: bytes = b"", behind: bytes = b"") -> AsyncIterator[Conversation]:
    """Connect to *port* under TLS: *header* in one write with the first octets of the handshake, *behind* in one with its last."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = _Encrypting(reader, writer)
    await client.shake(header, behind)
    try:
        yield Conversation(client, client)  # type: ignore[arg-type]  # as far as is needed
    finally:
        writer.close()


class _Encrypting:
    """A stream under TLS whose segments are cut as a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = TLS.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._plain = b""

    async def shake(self, header: bytes, behind: bytes) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._writer.write(header + self._outgoing.read())
                header = b""
                self._incoming.write(await asyncio.wait_for(self._reader.read(65536), PATIENCE))
            else:
                self.write(behind)
                return

    def write(self, data: bytes) -> None:
        if data:
            self._tls.write(data)
        self._writer.write(self._outgoing.read())

    async def drain(self) -> None:
        await self._writer.drain()

    async def readline(self) -> bytes:
        while b"\n" not in self._plain:
            try:
                self._plain += self._tls.read(4096)
            except ssl.SSLWantReadError:
                arrived = await self._reader.read(65536)
                if not arrived:
                    return b""
                self._incoming.write(arrived)
        line, end, self._plain = self._plain.partition(b"\n")
        return line + end


async def sent(client: Conversation, way_in: Reception) -> bytes:
    """Log in, send a message and return it as it was put."""
    await client.authenticated(TLS)
    await client.send(b"x\r\n.\r\n")
    return octets(way_in.spool.messages[-1])


@pytest.mark.parametrize(
    ("header", "literal"),
    [
        (TEXT, f"[{CLIENT}]"),
        (BINARY, f"[{CLIENT}]"),
        (MAPPED, f"[{CLIENT}]"),
        (BINARY6, "[IPv6:2001:db8::7]"),
        (LOCAL, "[127.0.0.1]"),
        (b"PROXY UNKNOWN\r\n", "[127.0.0.1]"),
    ],
)
async def test_the_clients_address_is_the_one_that_the_proxy_says(way_in: Reception, header: bytes, literal: str) -> None:
    """In Received and in the log; a connection that is the proxy's own is served as its."""
    with capture_logs() as logs:
        async with Conversation.with_server(way_in.port) as client:
            await client.write(header)
            message = await sent(client, way_in)

    assert f" ({literal})\r\n".encode() in message
    (accepted,) = [line for line in logs if line["event"] == "accepted"]
    assert accepted["peer"] == literal.strip("[]").removeprefix("IPv6:")


async def test_a_header_may_come_octet_by_octet_and_with_what_follows(way_in: Reception) -> None:
    """Each in a segment of its own, and the next command in the same one as its end."""
    for header in (TEXT, BINARY):
        async with Conversation.with_server(way_in.port) as client:
            for octet in header[:-1]:
                await client.write(bytes((octet,)))
                await asyncio.sleep(0)
            await client.write(header[-1:] + b"EHLO a.example\r\n")
            await client.expect("220 *")
            await client.expect("250-*")


@pytest.mark.parametrize("header", [TEXT, BINARY])
async def test_under_implicit_tls_the_header_comes_before_the_handshake(way_in: Reception, header: bytes) -> None:
    """Also when both come in one segment."""
    with capture_logs() as logs:
        async with under_tls(way_in.listeners.ports["submissions"], header) as client:
            await client.expect("220 *")
            await client.ask("EHLO a.example", "250-*AUTH*")
            await client.ask("AUTH PLAIN AGFwcAB3cm9uZw==", "535 *")
    assert [(line["event"], line["peer"]) for line in logs] == [("authentication failed", CLIENT)]


async def test_a_client_may_speak_with_the_last_octets_of_its_handshake(tmp_path: Path) -> None:
    """Before the session behind implicit TLS has begun: it is greeted first and answered then."""
    async with (
        reception(tmp_path) as way_in,
        under_tls(way_in.listeners.ports["submissions"], behind=b"EHLO a.example\r\nNOOP\r\n") as client,
    ):
        await client.expect("220 *")
        await client.expect("250-*")
        await client.expect("250 2.0.0 *")


async def test_a_client_that_leaves_with_its_handshake_is_counted_out(tmp_path: Path) -> None:
    """As monitors of certificates do, which read nothing."""
    async with reception(tmp_path) as way_in:
        with capture_logs() as logs:
            async with under_tls(way_in.listeners.ports["submissions"]):
                pass
            await eventually(lambda: not len(way_in.listeners.admission.ceilings) and not len(way_in.listeners.sessions))
        assert logs == []
        assert way_in.observer.open == 0


async def ended(port: int, octets: bytes) -> bytes:
    """Send *octets*; return all that is said until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(octets)
    said = b""
    with contextlib.suppress(ConnectionResetError):
        said = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    return said


def refused(logs: list[MutableMapping[str, Any]]) -> list[tuple[str, str]]:
    """Return reason and peer of each line about a refused connection; there is no other."""
    assert {line["event"] for line in logs} <= {"connection refused"}
    return [(line["reason"], line["peer"]) for line in logs]


@pytest.mark.parametrize("listener", ["submission", "submissions"])
@pytest.mark.parametrize(
    "said", [b"EHLO a.example\r\n", b"PROXY TCP4 1.1.1.1\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500]
)
async def test_a_listed_peer_without_a_header_is_closed(way_in: Reception, said: bytes, listener: str) -> None:
    """Not one octet is taken for SMTP or TLS; it is counted each time and logged once."""
    with capture_logs() as logs:
        for _ in range(3):
            assert await ended(way_in.listeners.ports[listener], said) == b""
    assert refused(logs) == [("proxy_malformed", "127.0.0.1")]
    assert way_in.observer.events == [("turned away", listener, "proxy_malformed")] * 3


async def test_a_listed_peer_that_says_nothing_is_closed_in_time(tmp_path: Path) -> None:
    """With a word where one can be said."""
    async with reception(tmp_path, behind(HERE), patience=Timeouts(proxy_header=0.2)) as way_in:
        with capture_logs() as logs:
            assert await ended(way_in.port, b"PROX") == b"421 4.4.2 Timed out waiting for the client\r\n"
            assert await ended(way_in.listeners.ports["submissions"], b"") == b""
        assert refused(logs) == [("proxy_missing", "127.0.0.1")] * 2
        await eventually(lambda: not len(way_in.listeners.sessions))


@pytest.mark.parametrize("header", [TEXT, BINARY])
async def test_an_unlisted_peer_is_served_as_itself_and_may_send_no_header(tmp_path: Path, header: bytes) -> None:
    """What it claims to be is never used: not for mail, not in the log."""
    async with reception(tmp_path, behind(ELSEWHERE)) as way_in:
        async with Conversation.with_server(way_in.port) as client:
            assert b" ([127.0.0.1])\r\n" in await sent(client, way_in)
        with capture_logs() as logs:
            for _ in range(2):
                said = await ended(way_in.port, header + b"EHLO a.example\r\n")
                assert said.startswith(b"220 ")
                assert said.endswith(b"421 4.7.0 No PROXY header is taken from this address\r\n")
                assert b"250" not in said
        assert refused(logs) == [("proxy_untrusted", "127.0.0.1")]
        assert way_in.observer.events.count(("turned away", "submission", "proxy_untrusted")) == 2


async def test_an_unlisted_peers_header_before_tls_is_no_handshake(tmp_path: Path) -> None:
    """The connection ends without a session."""
    async with reception(tmp_path, behind(ELSEWHERE)) as way_in:
        await ended(way_in.listeners.ports["submissions"], TEXT + b"\x16\x03\x01")
        await eventually(lambda: not len(way_in.listeners.admission.ceilings))
        assert way_in.observer.events == [("handshake failed", "submissions", "plain_text")]


async def test_a_failed_handshake_is_told_with_the_clients_address(way_in: Reception) -> None:
    """And not with the proxy's."""
    with capture_logs() as logs:
        await ended(way_in.listeners.ports["submissions"], TEXT + b"EHLO a.example\r\n" * 10)
        await eventually(lambda: logs)
    assert [(line["event"], line["peer"]) for line in logs] == [("TLS handshake failed", CLIENT)]


async def test_whom_a_proxy_cannot_name_is_a_stranger(tmp_path: Path) -> None:
    """Also where the proxy itself might send without a login; clients that it names are judged by their own address."""
    relay = Listener(
        name="relay",
        port=25,
        tls=ListenerTls.NONE,
        auth=ListenerAuth.NONE,
        allowed_networks=(ipaddress.ip_network(HERE), ipaddress.ip_network("192.0.2.0/24")),
        trusted_proxies=(ipaddress.ip_network(HERE),),
    )
    async with reception(tmp_path, config().model_copy(update={"listeners": (relay,)})) as way_in:
        for header, reply in ((TEXT, "250 2.1.0 *"), (BINARY6, "550 5.7.1 *"), (b"PROXY UNKNOWN\r\n", "550 5.7.1 *")):
            async with Conversation.with_server(way_in.listeners.ports["relay"]) as client:
                await client.write(header)
                await client.expect("220 *")
                await client.ask("EHLO a.example")
                await client.ask("MAIL FROM:<a@example.com>", reply)


async def test_probes_are_no_events(way_in: Reception) -> None:
    """A proxy that connects and closes, or is cut, leaves no line and no count; one that says LOCAL is a session of no command."""
    with capture_logs() as logs:
        for port in way_in.listeners.ports.values():
            for end in ("close", "abort"):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                getattr(writer.transport, end)()
        await eventually(lambda: not len(way_in.listeners.sessions))
        assert way_in.observer.events == []
        async with Conversation.with_server(way_in.port) as client:
            await client.write(LOCAL)
            await client.expect("220 *")
        await eventually(lambda: way_in.observer.events == [("connected", "submission"), ("disconnected", "submission")])
    assert logs == []


async def test_trust_is_reloaded(tmp_path: Path) -> None:
    """A proxy that is listed, or no longer, is judged so from the next connection on."""
    async with reception(tmp_path, behind()) as way_in:
        assert (await ended(way_in.port, TEXT)).startswith(b"220 ")
        way_in.intake.reconfigure(behind(HERE))
        assert await ended(way_in.port, b"EHLO a.example\r\n") == b""
        way_in.intake.reconfigure(behind())
        assert (await ended(way_in.port, TEXT)).startswith(b"220 ")


async def test_a_drain_closes_those_that_wait(way_in: Reception) -> None:
    """With the word that sessions get."""
    reader, writer = await asyncio.open_connection("127.0.0.1", way_in.port)
    await eventually(lambda: len(way_in.listeners.sessions) == 1)
    assert await way_in.listeners.finish_sessions(PATIENCE) == 0
    assert await reader.read() == b"421 4.3.2 Service shutting down\r\n"
    writer.close()
