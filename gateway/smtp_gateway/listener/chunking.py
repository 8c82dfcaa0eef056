"""What follows BDAT on one connection (RFC 3030): a chunk of a message, and what becomes of it.

    COMMAND --BDAT--> SLOW --> CHUNK --its last octet--> COMMAND, or WAIT behind the last chunk

A chunk is always taken to its last octet, also where it is refused, so that no octet of it is taken for a command. It is then answered;
with a refusal the whole message has failed, its transaction is over, and what is pipelined behind it is refused in its turn. In the
memory and on the disk a message in chunks is one in DATA (`smtp_gateway.listener.data`). Whoever sends a BDAT that tells no number is
left, because nobody knows where the commands go on.

BINARYMIME, the other half of RFC 3030, is not offered: what has no lines has no wire form, and few next hops could be given it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from smtp_gateway.listener import replies
from smtp_gateway.listener.chunked import ChunkedBody
from smtp_gateway.listener.connection import State
from smtp_gateway.listener.data import DataPhase
from smtp_gateway.listener.said import Said
from smtp_gateway.mail.reply import Reply
from smtp_gateway.policy import checks
from smtp_gateway.spool.bodies import LARGE

if TYPE_CHECKING:
    from smtp_gateway.listener.connection import Front

# Eighteen digits are more than any limit, and a number that is worth counting down.
_ARGUMENT = re.compile(r"(?P<size>[0-9]{1,18})(?P<last> +LAST)?", re.IGNORECASE)

# The names of the methods that answer commands are aiosmtpd's way.
# ruff: noqa: N802 see above


class ChunkPhase(DataPhase):
    """The chunks of one client's messages."""

    def __init__(self, front: Front) -> None:
        """Begin with none."""
        super().__init__(front)
        self._chunks: ChunkedBody | None = None
        """The message whose chunks arrive: from its first to its last, also while commands are taken between them."""
        self._size = self._left = 0
        """Octets of the chunk, and those of them that are still to come."""
        self._last = False
        self._unwelcome: Reply | None = None
        """Why the chunk is only swallowed."""

    def connection_lost(self, error: Exception | None) -> None:
        """End, and leave nothing of a message that was not whole."""
        if self._chunks is not None and self._state is not State.WAIT:
            self._abandon()
        super().connection_lost(error)

    def _forget_transaction(self) -> None:
        if self._chunks is not None:
            self._chunks = None
            self._abandon()
        self.envelope = Said()

    async def smtp_BDAT(self, arg: str | None) -> None:
        """Let a chunk come (RFC 3030 section 2)."""
        found = _ARGUMENT.fullmatch(arg or "")
        if found is None:
            self._answer(replies.NO_CHUNK)
            self._end()
        else:
            self._begin_chunk(int(found["size"]), last=found["last"] is not None)

    def _begin_chunk(self, size: int, *, last: bool) -> None:
        self._size = self._left = size
        self._last = last
        self._unwelcome = self._refused_chunk()
        if self._unwelcome is None and self._chunks is None:
            self._body = self._chunks = ChunkedBody(self.data_size_limit or 0, self._front.intake.room)
            self._silent = 0
        self._state = State.CHUNK
        if not size:
            self._end_chunk()

    def _refused_chunk(self) -> Reply | None:
        """Return why no chunk may come now, in the order of the refusals of DATA."""
        if not self.session.host_name:
            return replies.HELLO_FIRST
        return checks.transaction(self._peer, self._terms) or (None if self.envelope.rcpt_tos else replies.RECIPIENTS_FIRST)

    def _receive_chunk(self) -> bool:
        """Take what has arrived of the chunk; tell whether it is over and there may be commands behind it."""
        octets = self._inbox.take()
        chunk = octets[: self._left]
        self._left -= len(chunk)
        if self._unwelcome is None:
            self._take_chunk(chunk)
        if self._left:
            return False
        self._inbox.add(octets[len(chunk) :])
        self._end_chunk()
        return True

    def _take_chunk(self, octets: bytes) -> None:
        assert self._chunks is not None  # noqa: S101 a welcome chunk has its message
        self._chunks.feed_chunk(octets)
        self._note_progress(len(octets))
        if self._chunks.refusal is not None:
            self._discard()
        elif self._draft is not None or self._chunks.held > LARGE:
            self._store()

    def _end_chunk(self) -> None:
        """Answer the chunk, and hand the message on behind the last one."""
        if self._unwelcome is not None or self._chunks is None:
            self._state = State.COMMAND
            self._answer(self._unwelcome or replies.RECIPIENTS_FIRST)
            return
        if self._last and self._chunks.refusal is None:
            self._chunks.finish()
        if self._last or self._chunks.refusal is not None:
            self._complete()
        else:
            self._state = State.COMMAND
            self._answer(Reply(250, "2.0.0", f"{self._size} octets received"))
