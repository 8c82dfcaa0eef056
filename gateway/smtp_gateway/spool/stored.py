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
        reading = _Reading(self.path, self.size)
        try:
            while True:
                work = self.threads.submit(reading.next_block)
                block = await asyncio.wrap_future(work)
                if not block or reading.read >= self.size:
                    break
                yield block
            await self.verify(reading.read, reading.checksum)
            yield block
        except FileNotFoundError:
            await self.verify(0, 0)
            raise
        finally:
            # At once, unless nobody waits any more for a block that a thread is still reading: then by that thread.
            work.add_done_callback(lambda _: reading.close())


class _Reading:
    """A file that is read once, from its beginning. Opened with the first block, which is one piece of work for a thread then."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._descriptor = -1
        self.read = 0
        self.checksum = 0

    def next_block(self) -> bytes:
        """Return the next octets; none at the end. Raises `OSError`."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        # One octet more than there should be, so that a file which grew is found out as well.
        block = os.pread(self._descriptor, min(BLOCK, self._size + 1 - self.read), self.read)
        self.read += len(block)
        self.checksum = checksum(block, self.checksum)
        return block

    def close(self) -> None:
        """Let go of the file, if it was opened."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
