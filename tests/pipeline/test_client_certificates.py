"""Certificates of clients, in a whole gateway: asked for as soon as the configuration says so, and known again on a session that is resumed."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from typing import TYPE_CHECKING

import trustme

from smtp_gateway.config.model import CertifiedLogin, ClientCertificates
from tests.support.conversation import Conversation
from tests.support.gateway import authority, certified, config, running, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path


def asking(by: trustme.CA) -> ClientCertificates:
    """Return a configuration that asks for certificates of *by*."""
    return ClientCertificates(
        authority=by.cert_pem.bytes().decode(), logins=(CertifiedLogin(name="billing.example", identity="billing-logins"),)
    )


ASKING = asking(authority())


async def admitted(port: int, context: ssl.SSLContext) -> bool:
    """Tell whether a client gets a session, and may authenticate by its certificate."""
    try:
        return "EXTERNAL" in await mechanisms(port, context)
    except (OSError, AssertionError):
        return False


async def mechanisms(port: int, context: ssl.SSLContext) -> str:
    """Return what is offered to a client under implicit TLS."""
    async with Conversation.with_server(port, context) as client:
        await client.expect("220 *")
        said = await client.ask("EHLO client.example")
        return next(line[9:] for line in said.split("\n") if line.startswith("250-AUTH "))


async def test_clients_are_asked_and_known_without_a_restart(tmp_path: Path) -> None:
    """The listener is the same throughout; its next handshakes and its next AUTH do what the configuration says."""
    context = certified(trusting(), "billing.example")
    async with running(tmp_path, config()) as gateway:
        port = gateway.ports["submissions"]
        assert await mechanisms(port, context) == "LOGIN PLAIN"

        gateway.reconfigure(config().model_copy(update={"client_certificates": ASKING}))
        async with asyncio.timeout(10):
            while await mechanisms(port, context) != "EXTERNAL LOGIN PLAIN":
                pass
        async with Conversation.with_server(port, context) as known, Conversation.with_server(port, context) as unknown:
            for client in (known, unknown):
                await client.expect("220 *")
                await client.ask("EHLO client.example")
            await known.ask("AUTH EXTERNAL =", "235 *")
            gateway.reconfigure(config().model_copy(update={"client_certificates": ASKING.model_copy(update={"logins": ()})}))
            await unknown.ask("AUTH EXTERNAL =", "535 *")
            await known.ask("MAIL FROM:<a@example.com>", "250 *")

        successor = trustme.CA()
        renewed = certified(trusting(), "billing.example", by=successor)
        async with Conversation.with_server(port, context) as client:
            await client.expect("220 *")
            await client.ask("EHLO client.example")
            gateway.reconfigure(config().model_copy(update={"client_certificates": asking(successor)}))
            async with asyncio.timeout(10):
                while not await admitted(port, renewed):
                    pass
            await client.ask("AUTH EXTERNAL =", "535 *")

        gateway.reconfigure(config())
        async with asyncio.timeout(10):
            while await mechanisms(port, renewed) != "LOGIN PLAIN":
                pass


def authenticate(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool, str]:
    """Authenticate by certificate on one connection; return its session, whether that was resumed, and the last reply."""
    connecting = socket.create_connection(("127.0.0.1", port), 10)
    with context.wrap_socket(connecting, server_hostname="localhost", session=session) as tls, tls.makefile("rwb") as lines:
        lines.readline()
        lines.write(b"EHLO client.example\r\n")
        lines.flush()
        while lines.readline()[3:4] == b"-":
            pass
        lines.write(b"AUTH EXTERNAL " + base64.b64encode(b"billing.example") + b"\r\n")
        lines.flush()
        return tls.session, bool(tls.session_reused), lines.readline().decode()


async def test_who_a_client_is_survives_the_resumption_of_its_session(tmp_path: Path) -> None:
    """Under both versions: the ticket holds the certificate, and a client that connects for each mail shows it once."""
    async with running(tmp_path, config().model_copy(update={"client_certificates": ASKING})) as gateway:
        await eventually(lambda: gateway.accepting)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = certified(trusting(), "billing.example")
            context.minimum_version = context.maximum_version = version
            session, reused, reply = await asyncio.to_thread(authenticate, gateway.ports["submissions"], context, None)
            assert (reused, reply[:4]) == (False, "235 ")
            _, reused, reply = await asyncio.to_thread(authenticate, gateway.ports["submissions"], context, session)
            assert (reused, reply[:4]) == (True, "235 ")
