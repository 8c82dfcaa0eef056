"""A large body on its way in: what arrives is written to its file by a thread, block after block, while the rest is still to come.

One piece of work at a time, in the order of the calls; whatever gathers meanwhile is the next piece. The first fault is kept, ends the
writing, and is what finishing the draft reports.
"""

from __future__ import annotations

import asyncio
import errno
import os
from functools import partial
from typing import TYPE_CHECKING

from smtp_gateway.spool.bodies import Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.room import Room


class FileDraft:
    """A `smtp_gateway.spool.api.Draft` in a file. Belongs to the event loop; the file belongs to the thread that works."""

    def __init__(self, folder: Path, message_id: MessageId, threads: Executor, room: Room) -> None:
        """Prepare the body of *message_id* in *folder*; nothing is written that *room* does not have."""
        self.message_id = message_id
        self.size = 0
        self.backlog = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the file is finished or removed."""
        self._file = Unfinished(folder, message_id)
        self._threads = threads
        self._room = room
        self._gathered: list[bytes] = []
        self._fault: BaseException | None = None
        self._resume: list[Callable[[], None]] = []
        self._then: Callable[[BaseException | None], None] | None = None
        self._ended = False
        self._working = False

    @property
    def checksum(self) -> int:
        """The checksum of the whole, once it is finished."""
        return self._file.checksum

    def write(self, octets: bytes) -> None:
        """See `Draft.write`."""
        self.size += len(octets)
        if self._fault is not None or self._ended:
            return
        if len(octets) <= self._room.free:
            self._room.promise(len(octets))
            self.backlog += len(octets)
            self._gathered.append(octets)
            self._go_on()
        else:
            self._fault = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def when_written(self, resume: Callable[[], None]) -> None:
        """See `Draft.when_written`."""
        if self.backlog:
            self._resume.append(resume)
        else:
            asyncio.get_running_loop().call_soon(resume)

    def discard(self) -> None:
        """See `Draft.discard`."""
        if not self._ended:
            self._ended = True
            self._gathered.clear()
            self._go_on()

    def finish(self, then: Callable[[BaseException | None], None]) -> None:
        """Make the body durable under its message's name, and call *then* with None, or with what went wrong; no file is left then."""
        if self._ended:
            message = f"the draft of {self.message_id} was put or discarded already"
            raise ValueError(message)
        self._ended = True
        self._then = then
        self._go_on()

    def _go_on(self) -> None:
        """Let a thread do what is next, unless one works already."""
        if self._working or self.over.done():
            return
        blocks, self._gathered = self._gathered, []
        if self._ended:
            self._begin(partial(self._close, blocks), self._closed)
        elif blocks and self._fault is None:
            self._begin(partial(self._file.write, blocks), self._written)

    def _begin(self, work: Callable[[], None], after: Callable[[asyncio.Future[None]], None]) -> None:
        self._working = True
        asyncio.get_running_loop().run_in_executor(self._threads, work).add_done_callback(after)

    def _written(self, working: asyncio.Future[None]) -> None:
        self._working = False
        self._fault = self._fault or working.exception()
        if self._fault is not None:
            self._gathered.clear()
        self._note_backlog()
        self._go_on()

    def _note_backlog(self) -> None:
        before, self.backlog = self.backlog, sum(map(len, self._gathered))
        self._room.release(before - self.backlog, written=before - self.backlog)
        if not self.backlog:
            waiting, self._resume = self._resume, []
            for resume in waiting:
                resume()

    def _close(self, blocks: list[bytes]) -> None:
        """Write the last *blocks* and finish, in one piece of work; or leave nothing."""
        if self._then is None or self._fault is not None:
            self._file.remove()
            return
        try:
            self._file.write(blocks)
        except OSError:
            self._file.remove()
            raise
        self._file.finish()

    def _closed(self, working: asyncio.Future[None]) -> None:
        self._working = False
        fault = self._fault or working.exception()
        self._note_backlog()
        if self._then is not None:
            self._then(fault)
        self.over.set_result(None)
