"""Spools of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.spool.memory import MemorySpool
from smtp_gateway.telemetry.observer import NullObserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from smtp_gateway.spool.api import Spool


@pytest.fixture(params=["disk", "memory"])
async def spool(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Spool]:
    """An empty spool of each kind."""
    opened: Spool = await DiskSpool.open(tmp_path, NullObserver()) if request.param == "disk" else MemorySpool()
    yield opened
    await opened.close()
