"""What is sent: one row of the table each."""

from __future__ import annotations

from dataclasses import dataclass

SESSIONS = 20
"""Clients at a time."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of load."""

    name: str
    meaning: str
    octets: int
    messages: int
    reused: bool = False
    """Whether a connection carries many messages."""
    recipients: int = 1
    """Of each message, all in one domain."""
    secured: bool = False
    """Whether clients encrypt and authenticate, and the relay takes mail from no others."""
    implicit: bool = False
    """Whether TLS begins with the connection, and not after STARTTLS: the gateway alone is set up for it."""
    sessions: int = SESSIONS
    accept_only: bool = False
    """Whether the next hop is off, so that nothing but taking mail is measured."""


ROWS = (
    Row("A", "4 KB, a connection each", 4096, 3000),
    Row("B", "4 KB, connections reused", 4096, 6000, reused=True),
    Row("C", "50 KB, connections reused", 50 * 1024, 2000, reused=True),
    Row("D", "1 MB, connections reused", 1024 * 1024, 200, reused=True),
    Row("E", "4 KB, 20 recipients, connections reused", 4096, 2000, reused=True, recipients=20),
    Row("F", "4 KB, a connection each with STARTTLS and AUTH PLAIN", 4096, 2000, secured=True),
    Row("G", "4 KB, a connection each, next hop off", 4096, 6000, accept_only=True),
    Row("H", "4 KB, connections reused, next hop off", 4096, 12000, reused=True, accept_only=True),
    Row("I", "50 KB, connections reused, next hop off", 50 * 1024, 4000, reused=True, accept_only=True),
    Row("J", "1 MB, connections reused, next hop off", 1024 * 1024, 400, reused=True, accept_only=True),
    Row("K", "4 KB, a connection each with STARTTLS and AUTH PLAIN, next hop off", 4096, 3000, secured=True, accept_only=True),
)
