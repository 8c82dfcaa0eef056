"""A whole gateway whose volume lay without a pod for a week."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import aiohttp

from smtp_gateway.dispatch import Surroundings
from smtp_gateway.waking import NAME
from tests.support.conversation import Conversation
from tests.support.gateway import config, running, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sink import Sink

WEEK = 7 * 86400.0


async def test_mail_that_expired_on_a_volume_without_a_pod_is_kept_for_a_person(tmp_path: Path, sink: Sink) -> None:
    """It is neither delivered nor bounced, new mail is delivered, and a restart changes nothing about it."""
    async with running(tmp_path, config()) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
        await client.authenticated(trusting())
        await client.send(b"Subject: old\r\n\r\n.\r\n")
        await eventually((tmp_path / "spool" / NAME).exists)
    later = Surroundings(clock=lambda: time.time() + WEEK)

    async with running(tmp_path, config(sink.port), later) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
        await client.authenticated(trusting())
        await client.send(b"Subject: new\r\n\r\n.\r\n")
        await eventually(lambda: sink.taken)
    async with running(tmp_path, config(sink.port), later) as gateway, aiohttp.ClientSession() as session:
        page = await session.get(f"http://127.0.0.1:{gateway.http_port}/metrics")
        assert "smtp_gateway_queue_held_messages 1.0" in await page.text()

    assert [b"Subject: new" in one.body for one in sink.taken] == [True]
