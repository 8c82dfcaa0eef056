"""The pipeline runs on the loop of the process, and sessions on the standard one as well; most tests have a next hop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

from tests.support.sink import Sink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

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
async def sink() -> AsyncIterator[Sink]:
    """A next hop that accepts everything until it is told otherwise."""
    async with Sink() as running:
        yield running
