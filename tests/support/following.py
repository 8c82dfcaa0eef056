"""Certificates that are followed as a gateway follows them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from smtp_gateway.tls import Certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from smtp_gateway.config.model import ClientCertificates


@contextlib.asynccontextmanager
async def followed(folder: Path, clients: ClientCertificates | None = None) -> AsyncIterator[Certificate]:
    """Follow the pairs in *folder*, and what is said of *clients*, looking often."""
    certificate = await asyncio.to_thread(lambda: Certificate(folder, clients=clients))
    following = asyncio.create_task(certificate.follow(0.01))
    yield certificate
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
