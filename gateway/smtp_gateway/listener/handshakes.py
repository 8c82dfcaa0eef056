"""TLS handshakes that fail: why, as one of a few words, counted and told without filling the log.

Anybody who can connect can make them fail, a port scanner by the thousand. So the metric's label is one of `Failure`, and the log has one
line a minute for each listener and reason, which says how many it stands for.
"""

from __future__ import annotations

import ssl
import time
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.listener.connection import Front

SAY_EVERY = 60.0
"""Seconds between two lines about the same."""

_log = structlog.get_logger()


class Failure(StrEnum):
    """Why a handshake failed."""

    NO_SHARED_VERSION = "no_shared_version"
    """The client knows nothing newer than TLS 1.1."""
    NO_SHARED_CIPHER = "no_shared_cipher"
    """The client has no cipher, group or signature that the gateway has for its certificate."""
    UNKNOWN_CA = "unknown_ca"
    """The client does not know who signed the gateway's certificate."""
    BAD_CERTIFICATE = "bad_certificate"
    """The client refused the gateway's certificate for another reason: expired, say, or for another name."""
    BAD_CLIENT_CERTIFICATE = "bad_client_certificate"
    """The certificate that the client showed is not good: not signed by the authority of clients, expired, or for another use."""
    NO_CLIENT_CERTIFICATE = "no_client_certificate"
    """The client showed none where one is required."""
    PLAIN_TEXT = "plain_text"
    """What came is no TLS."""
    CLOSED = "closed"
    """The client left before the end, as clients do that do not like a certificate and do not say so."""
    TIMEOUT = "timeout"
    """The client did not get to the end in time."""
    OTHER = "other"


_REASONS = {
    Failure.NO_SHARED_VERSION: ("UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "TLSV1_ALERT_PROTOCOL_VERSION"),
    Failure.NO_SHARED_CIPHER: (
        "NO_SHARED_CIPHER",
        "NO_SUITABLE_KEY_SHARE",
        "NO_SHARED_GROUPS",
        "NO_SHARED_SIGNATURE_ALGORITHMS",
        "NO_SUITABLE_SIGNATURE_ALGORITHM",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV1_ALERT_INSUFFICIENT_SECURITY",
    ),
    Failure.UNKNOWN_CA: ("TLSV1_ALERT_UNKNOWN_CA",),
    Failure.BAD_CERTIFICATE: (
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    ),
    Failure.BAD_CLIENT_CERTIFICATE: ("CERTIFICATE_VERIFY_FAILED",),
    Failure.NO_CLIENT_CERTIFICATE: ("PEER_DID_NOT_RETURN_A_CERTIFICATE",),
    Failure.PLAIN_TEXT: ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"),
}
"""OpenSSL's names of errors (openssl/sslerr.h), as Python has them in `SSLError.reason`; an alert is what the client said."""
_BY_REASON = {reason: failure for failure, reasons in _REASONS.items() for reason in reasons}


def failure_of(error: BaseException | None) -> Failure:
    """Return why a handshake failed that ended with *error*, or without one because the connection did."""
    if isinstance(error, ssl.SSLEOFError):
        return Failure.CLOSED
    if isinstance(error, ssl.SSLError):
        return _BY_REASON.get(error.reason or "", Failure.OTHER)
    # The loops' own words: a handshake that takes too long is aborted.
    if isinstance(error, (ConnectionAbortedError, TimeoutError)):
        return Failure.TIMEOUT
    return Failure.CLOSED if error is None or isinstance(error, (ConnectionError, RuntimeError)) else Failure.OTHER


class Sparing:
    """Says when to say something again, of each kind of thing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing said; *clock* tells seconds."""
        self._clock = clock
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def turn(self, kind: str) -> int | None:
        """Return how often *kind* was passed over since it was said last, now that it is to be said; None when it is to be passed over."""
        now = self._clock()
        if now - self._said.get(kind, -SAY_EVERY) < SAY_EVERY:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return None
        self._said[kind] = now
        return self._unsaid.pop(kind, 0)


def failed(front: Front, address: str, error: BaseException | None) -> None:
    """Count a failed handshake of the client at *address*, and tell of it unless that was done a moment ago."""
    reason = failure_of(error)
    front.observer.handshake_failed(front.listener, reason)
    unsaid = front.handshakes.turn(reason)
    if unsaid is not None:
        cause = str(error or "") or "the connection ended"
        _log.info("TLS handshake failed", peer=address, listener=front.listener, reason=reason.value, cause=cause, unsaid=unsaid)
