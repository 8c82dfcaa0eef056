"""Bodies as they are read again: small ones whole, large ones in blocks. Vocabulary; who stores them implements it (`smtp_gateway.spool`)."""

from __future__ import annotations

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
        """Read it in order, 256 KiB at a time, without blocking the event loop.

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
