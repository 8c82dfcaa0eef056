"""Why a handshake failed, and how often that is told."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import pytest

from smtp_gateway.listener.handshakes import SAY_EVERY, Failure, Sparing, failure_of


def tls_error(reason: str | None) -> ssl.SSLError:
    """Return an error with OpenSSL's *reason*."""
    error = ssl.SSLError(1, "some words")
    error.reason = reason  # type: ignore[assignment]  # Python's own may have none
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (tls_error("UNSUPPORTED_PROTOCOL"), Failure.NO_SHARED_VERSION),
        (tls_error("NO_SHARED_CIPHER"), Failure.NO_SHARED_CIPHER),
        (tls_error("SSLV3_ALERT_CERTIFICATE_EXPIRED"), Failure.BAD_CERTIFICATE),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), Failure.UNKNOWN_CA),
        (tls_error("PEER_DID_NOT_RETURN_A_CERTIFICATE"), Failure.NO_CLIENT_CERTIFICATE),
        (tls_error("A_REASON_OF_TOMORROW"), Failure.OTHER),
        (tls_error(None), Failure.OTHER),
        (ssl.SSLEOFError(8, "EOF"), Failure.CLOSED),
        (ConnectionResetError(), Failure.CLOSED),
        (None, Failure.CLOSED),
        (ConnectionAbortedError("taking longer than 30 seconds"), Failure.TIMEOUT),
        (TimeoutError(), Failure.TIMEOUT),
        (RuntimeError("the transport is closed"), Failure.CLOSED),
        (OSError("anything"), Failure.OTHER),
    ],
)
def test_every_error_has_one_of_a_few_reasons(error: BaseException | None, failure: Failure) -> None:
    """OpenSSL's and the loops' words; what is not known is `other`, so that the metric's labels stay few."""
    assert failure_of(error) is failure


def test_the_documentation_explains_every_reason() -> None:
    """docs/certificates.md has them all, in the order in which they are here, and no others."""
    section = Path("docs/certificates.md").read_text().partition("## When handshakes fail")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [failure.value for failure in Failure]


def test_each_kind_is_told_once_a_minute() -> None:
    """And then with the number of those that were passed over."""
    now = 1000.0
    sparing = Sparing(lambda: now)

    assert [sparing.turn("a"), sparing.turn("a"), sparing.turn("b"), sparing.turn("a")] == [0, None, 0, None]
    now += SAY_EVERY
    assert [sparing.turn("a"), sparing.turn("b"), sparing.turn("a")] == [2, 0, None]
