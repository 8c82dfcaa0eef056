"""Bodies as they are read again: small ones whole, large ones in blocks. Vocabulary; who stores them implements it (`smtp_gateway.spool`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class DamagedBodyError(Exception):
    """A stored body does not have the checksum that was recorded with it; it is moved aside, never dropped."""


class StoredBody(Protocol):
    """A body in wire form that is too large to be held: read in blocks when it is needed, as often as it is needed."""

    @property
    def size(self) -> int:
        """Octets in wire form."""

    @property
    def headers(self) -> bytes:
        """Its beginning: the header section with the empty line that ends it, or 64 KiB where that is longer."""

    def blocks(self) -> AsyncIterator[bytes]:
        """Read it in order, a block at a time, without blocking the event loop.

        The last block is given only after the checksum of the whole was found right; `DamagedBodyError` is raised instead of it
        otherwise, so that a next hop never sees the end of data of a damaged body. Raises `OSError` when it cannot be read.
        """


Body = bytes | StoredBody
"""A body in wire form (see `smtp_gateway.mail.envelope`)."""


def size_of(body: Body) -> int:
    """Return the octets of *body* in wire form."""
    return len(body) if isinstance(body, bytes) else body.size


def beginning(body: Body) -> bytes:
    """Return the beginning of *body*, with its header section or the first 64 KiB of it."""
    return body if isinstance(body, bytes) else body.headers


@dataclass(frozen=True, slots=True)
class Topped:
    """A `StoredBody` that begins otherwise: with *top* in the place of as many of its octets as are *skipped*."""

    top: bytes
    skipped: int
    stored: StoredBody

    @property
    def size(self) -> int:
        """See `StoredBody.size`."""
        return len(self.top) + self.stored.size - self.skipped

    @property
    def headers(self) -> bytes:
        """See `StoredBody.headers`."""
        return self.top + self.stored.headers[self.skipped :]

    async def blocks(self) -> AsyncIterator[bytes]:
        """See `StoredBody.blocks`."""
        yield self.top
        skip = self.skipped
        async for block in self.stored.blocks():
            rest = block[skip:] if skip else block
            skip = max(skip - len(block), 0)
            if rest:
                yield rest


def topped(body: Body, top: bytes, skipped: int) -> Body:
    """Return *body* with *top* in the place of its first octets, as many as are *skipped*."""
    return top + body[skipped:] if isinstance(body, bytes) else Topped(top, skipped, body)
