"""How a session with a next hop was encrypted: what logs and metrics say of a delivery."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Encryption:
    """TLS as it was agreed on."""

    version: str
    """`TLSv1.2` or `TLSv1.3`."""
    cipher: str
    """The cipher suite, as OpenSSL names it."""
    verified: bool
    """Whether the next hop's certificate was valid for its name; False also when that was not asked for."""
