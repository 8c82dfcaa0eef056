"""Bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class DamagedBodyError(Exception):
    """x."""


class StoredBody(Protocol):
    """x."""

    @property
    def size(self) -> int:
        """X."""

    @property
    def headers(self) -> bytes:
        """X."""

    def blocks(self) -> AsyncIterator[bytes]:
        """X."""


Body = bytes | StoredBody


def size_of(body: Body) -> int:
    return len(body) if isinstance(body, bytes) else body.size


def beginning(body: Body) -> bytes:
    return body if isinstance(body, bytes) else body.headers
