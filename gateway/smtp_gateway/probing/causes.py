"""From what went wrong with a probe to one word about it, and to a sentence: pure functions.

The innermost exception that is known decides: outer ones only say in which step it happened.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from smtp_gateway.config.report import REPLY_LENGTH, Cause
from smtp_gateway.delivery.faults import (
    NO_WAY,
    ConnectionLostError,
    CredentialsRefusedError,
    ForeignProtocolError,
    HandshakeError,
    HopUnusableError,
    NoConnectionError,
    NoMechanismError,
    NotEncryptedError,
    TlsUnusableError,
    TokenUnavailableError,
)
from smtp_gateway.resolver import LookupFailedError, NoSuchNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smtp_gateway.mail.reply import Reply

_WANTS_CREDENTIALS = frozenset({530, 534, 535, 538})
"""Replies about authentication, whatever they answer (RFC 4954 section 6)."""

_BY_TYPE: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Cause], ...] = (
    ((NoSuchNameError, LookupFailedError), Cause.NAME_NOT_FOUND),
    (TokenUnavailableError, Cause.TOKEN_UNAVAILABLE),
    (ssl.SSLCertVerificationError, Cause.CERTIFICATE_INVALID),
    # Under TLS 1.3 a server that wants another certificate of ours, or one at all, says so after the handshake (RFC 8446 section 4.4.2.4).
    ((ssl.SSLError, HandshakeError, NotEncryptedError), Cause.TLS_FAILED),
    (TimeoutError, Cause.TIMEOUT),
    ((NoConnectionError, ConnectionLostError), Cause.REFUSED),
    (ForeignProtocolError, Cause.REJECTED),
    ((CredentialsRefusedError, NoMechanismError), Cause.AUTHENTICATION_REJECTED),
    (TlsUnusableError, Cause.TLS_FAILED),
    (HopUnusableError, Cause.REJECTED),
)
"""Looked at from the innermost exception to the outermost, each by the first row that it fits."""


def cause_of(fault: BaseException) -> Cause:
    """Return the one word for *fault*, which ended a probe."""
    for one in reversed(tuple(_chain(fault))):
        if isinstance(one, HopUnusableError) and one.outcome.reply.code in _WANTS_CREDENTIALS:
            return Cause.AUTHENTICATION_REJECTED
        if isinstance(one, OSError) and one.errno in NO_WAY:
            return Cause.TIMEOUT
        for types, cause in _BY_TYPE:
            if isinstance(one, types):
                return cause
    return Cause.REJECTED


def _chain(fault: BaseException) -> Iterator[BaseException]:
    """Yield *fault* and what caused it, from the outside in."""
    current: BaseException | None = fault
    while current is not None:
        yield current
        current = current.__cause__


def sentence_of(reply: Reply, *, local: bool) -> str:
    """Return what people are told of *reply*: as it was said, or, where it is *local*, the sentence that stands in its place."""
    return clipped(" ".join(reply.text.split()) if local else str(reply))


def clipped(text: str) -> str:
    """Return *text*, or as much of it as is reported."""
    return text if len(text) <= REPLY_LENGTH else f"{text[: REPLY_LENGTH - 1]}…"
