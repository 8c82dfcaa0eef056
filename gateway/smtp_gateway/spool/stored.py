"""A large body on its way out: read from its file in blocks, in a thread, and never believed before its checksum was found right."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.spool.bodies import BLOCK
from smtp_gateway.spool.checksum import checksum

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from concurrent.futures import Executor
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A `smtp_gateway.mail.body.StoredBody` in a file."""

    path: Path
    size: int
    headers: bytes
    threads: Executor
    verify: Callable[[int, int], Awaitable[None]]
    """Given how many octets there are and their checksum, raises when they are not those of the body that was put."""

    async def blocks(self) -> AsyncIterator[bytes]:
        """See `StoredBody.blocks`."""
        loop = asyncio.get_running_loop()
        try:
            descriptor = await loop.run_in_executor(self.threads, os.open, self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            await self.verify(0, 0)
            raise
        try:
            found = read = 0
            while True:
                # One octet more than there should be, so that a file which grew is found out as well.
                wanted = min(BLOCK, self.size + 1 - read)
                block, found = await loop.run_in_executor(self.threads, _read, descriptor, wanted, read, found)
                read += len(block)
                if not block or read >= self.size:
                    break
                yield block
            await self.verify(read, found)
            yield block
        finally:
            os.close(descriptor)


def _read(descriptor: int, octets: int, offset: int, so_far: int) -> tuple[bytes, int]:
    """Return the next *octets*, and the checksum of all up to them."""
    block = os.pread(descriptor, octets, offset)
    return block, checksum(block, so_far)
