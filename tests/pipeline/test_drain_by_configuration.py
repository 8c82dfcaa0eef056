"""A whole gateway that drains because its configuration says so, and serves again without a restart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from smtp_gateway.config.pace import Retry
from smtp_gateway.reporting import report
from tests.support.admin import POD
from tests.support.conversation import Conversation
from tests.support.gateway import alike, config, running, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from smtp_gateway.app import Gateway
    from smtp_gateway.config.model import Config
    from tests.support.sink import Sink

TLS = trusting()


def serving(pods: int | None, next_hop: int) -> Config:
    """Return a configuration in which *pods* pods serve; those of these tests are called mail-1."""
    usual = config(next_hop)
    routes = (usual.routes[0].model_copy(update={"retry": Retry(initial=0.3)}),)
    return usual.model_copy(update={"serving": pods, "routes": routes})


async def readiness(gateway: Gateway) -> tuple[int, str]:
    """Ask the probe."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{gateway.http_port}/readyz") as answer:
        return answer.status, await answer.text()


async def metric(gateway: Gateway, name: str) -> str:
    """Return what a metric without labels stands at."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{gateway.http_port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name} "))


async def test_a_drain_finishes_what_is_under_way_empties_the_queue_and_is_cancelled(tmp_path: Path, sink: Sink) -> None:
    """The open transaction is taken, new connections are refused, mail that waited goes out, and then it listens again."""
    sink.answer("RCPT", "450 4.2.1 Later")
    async with running(tmp_path, serving(None, sink.port), pod=POD) as gateway:
        port = gateway.ports["submission"]
        async with Conversation.with_server(port) as client:
            await client.authenticated(TLS)
            await client.send(b"waits\r\n.\r\n")
            await eventually(lambda: any(command.startswith("RCPT") for command in sink.commands))
            await client.ask("MAIL FROM:<a@example.com>")
            gateway.reconfigure(serving(1, sink.port))
            await eventually(lambda: not gateway.accepting)
            assert await readiness(gateway) == (503, "draining\n")
            assert report(POD, gateway._sources()).sessions == 1  # noqa: SLF001 what the admin port says, without its certificates
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            await client.ask("RCPT TO:<b@example.net>")
            await client.ask("DATA", "354 *")
            await client.write(b"last\r\n.\r\n")
            await client.expect("250 2.0.0 *")
            await client.expect("421 4.3.2 *")
        assert await metric(gateway, "smtp_gateway_draining") == "1.0"
        assert await metric(gateway, "smtp_gateway_queue_messages") == "2.0"
        sink.forget_rules()
        await eventually(lambda: len(sink.taken) == 2, 10.0)

        gateway.reconfigure(serving(2, sink.port))
        await eventually(lambda: gateway.not_ready() is None)
        assert await readiness(gateway) == (200, "ok\n")
        async with Conversation.with_server(gateway.ports["submission"]) as client:
            await client.authenticated(TLS)
            await client.send(b"again\r\n.\r\n")
            await eventually(lambda: len(sink.taken) == 3)
        assert await metric(gateway, "smtp_gateway_draining") == "0.0"


async def test_a_pod_that_is_started_again_in_a_drain_delivers_and_does_not_listen(tmp_path: Path, sink: Sink) -> None:
    """What it kept goes out; a drain survives restarts because it is in the configuration."""
    await sink.stop()
    async with (
        running(tmp_path, serving(None, sink.port), pod=POD) as gateway,
        Conversation.with_server(gateway.ports["submission"]) as client,
    ):
        await client.authenticated(TLS)
        await client.send(b"kept\r\n.\r\n")
    assert not sink.taken

    await sink.start()
    async with running(tmp_path, serving(0, sink.port), pod=POD) as gateway:
        assert (dict(gateway.ports), gateway.not_ready()) == ({}, "draining")
        await eventually(lambda: sink.taken, 10.0)
        gateway.reconfigure(serving(None, sink.port))
        await eventually(lambda: gateway.not_ready() is None)
        async with Conversation.with_server(gateway.ports["submission"]) as client:
            await client.authenticated(TLS)


async def test_a_gateway_without_a_fleet_never_drains(tmp_path: Path, sink: Sink) -> None:
    """A name without an ordinal, or none: the configuration may say what it likes."""
    async with running(tmp_path, serving(0, sink.port)) as gateway:
        assert gateway.not_ready() is None


async def test_a_session_without_end_does_not_hold_up_a_drain(tmp_path: Path, sink: Sink) -> None:
    """A client that is silent in the middle of a message is cut; it has heard no 250, so it sends the message again elsewhere."""
    async with (
        running(tmp_path, serving(None, sink.port), pod=POD, timeouts=alike(1.0)) as gateway,
        Conversation.with_server(gateway.ports["submission"]) as client,
    ):
        await client.authenticated(TLS)
        await client.ask("MAIL FROM:<a@example.com>")
        await client.ask("RCPT TO:<b@example.net>")
        await client.ask("DATA", "354 *")
        gateway.reconfigure(serving(0, sink.port))
        await client.expect("421 4.* *")
