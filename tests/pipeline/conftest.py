"""The pipeline runs on the loop of the process, and sessions on the standard one as well; most tests have a next hop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

from smtp_gateway.config.model import Limits
from tests.pipeline.test_delivery_tls import server_context
from tests.support.authenticating import PASSWORD, USERNAME, AuthenticatingSink
from tests.support.conversation import Conversation
from tests.support.gateway import Reception, config, reception, trusting
from tests.support.sink import Sink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

BOTH_LOOPS = ("test_session", "test_starttls", "test_proxy", "test_ceilings")
"""Modules whose tests run on either loop: TLS upgrades, half-closed connections and changes of protocol are where the two differ."""


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Choose the loops of one test."""
    del config
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if item.path.stem.startswith(BOTH_LOOPS):
        loops["asyncio"] = asyncio.new_event_loop
    return loops


@pytest.fixture
async def way_in(tmp_path: Path) -> AsyncIterator[Reception]:
    """The way in, with a limit of 10,000 octets and five recipients; modules that need another have one of their own."""
    async with reception(tmp_path, config(limits=Limits(message_size=10_000, recipients=5))) as opened:
        yield opened


@pytest.fixture
async def client(way_in: Reception) -> AsyncIterator[Conversation]:
    """A conversation that may send MAIL."""
    async with Conversation.with_server(way_in.port) as talking:
        yield await talking.authenticated(trusting())


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """A next hop that accepts everything until it is told otherwise."""
    async with Sink() as running:
        yield running


@pytest.fixture
async def demanding() -> AsyncIterator[AuthenticatingSink]:
    """A next hop that wants credentials, and has a certificate."""
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=server_context()) as running:
        yield running
