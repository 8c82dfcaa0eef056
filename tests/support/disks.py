"""The disk's spool in tests, and faults of its disk."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[DiskSpool]:
    """Open the spool in *folder*, and close it."""
    spool = await DiskSpool.open(folder, NullObserver())
    try:
        yield spool
    finally:
        await spool.close()


def failing(number: int) -> OSError:
    """Return the error that the system would give."""
    return OSError(number, os.strerror(number))
