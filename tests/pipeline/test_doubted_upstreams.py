"""A whole gateway whose next hop goes away between two probes: mail notices first, and what is told follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.probing import upstreams
from smtp_gateway.reporting import report
from tests.support.conversation import Conversation
from tests.support.gateway import config, running, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.sink import Sink


async def test_mail_that_does_not_get_through_is_told_before_the_next_probe(
    tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of a minute before it: a condition that says Reachable while mail waits is what nobody believes a second time."""
    monkeypatch.setattr(upstreams, "SETTLED", 0.0)
    async with running(tmp_path, config(sink.port)) as gateway:

        def reachable() -> bool | None:
            return report("", gateway._sources()).upstreams[0].reachable  # noqa: SLF001 what the admin port says, without its certificates

        await eventually(reachable)
        await sink.stop()
        assert reachable()
        async with Conversation.with_server(gateway.ports["submission"]) as client:
            await client.authenticated(trusting())
            await client.send(b"x\r\n.\r\n")

        await eventually(lambda: reachable() is False, upstreams.WELL / 4)
