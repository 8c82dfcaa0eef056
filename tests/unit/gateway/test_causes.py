"""From what went wrong with a probe to one word: the table is the specification."""

from __future__ import annotations

import errno
import ssl
from itertools import pairwise

import pytest

from smtp_gateway.config.report import REPLY_LENGTH, Cause
from smtp_gateway.delivery.faults import (
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
from smtp_gateway.mail.outcome import UNEXPECTED, Phase, judge
from smtp_gateway.mail.reply import Reply
from smtp_gateway.probing.causes import cause_of, sentence_of
from smtp_gateway.resolver import LookupFailedError, NoSuchNameError


def chain(*faults: BaseException) -> BaseException:
    """Return the outermost of *faults*, which are given from the outside in."""
    for outer, inner in pairwise(faults):
        outer.__cause__ = inner
    return faults[0]


def unusable(*inner: BaseException) -> BaseException:
    """Return what a session ends with that did not come about."""
    return chain(HopUnusableError(UNEXPECTED), *inner)


def refusing(phase: Phase, code: int, kind: type[HopUnusableError] = HopUnusableError) -> HopUnusableError:
    """Return what a reply of *code* in *phase* ends a session with."""
    return kind(judge(phase, Reply(code, "", "no")))


TABLE = {
    "refused": (unusable(NoConnectionError(), ConnectionRefusedError(errno.ECONNREFUSED, "")), Cause.REFUSED),
    "reset": (unusable(NoConnectionError(), ConnectionResetError(errno.ECONNRESET, "")), Cause.REFUSED),
    "closed without a greeting": (unusable(ConnectionLostError()), Cause.REFUSED),
    "connection timed out": (unusable(NoConnectionError(), TimeoutError()), Cause.TIMEOUT),
    "the kernel gave up": (unusable(NoConnectionError(), TimeoutError(errno.ETIMEDOUT, "")), Cause.TIMEOUT),
    "no route to host": (unusable(NoConnectionError(), OSError(errno.EHOSTUNREACH, "")), Cause.TIMEOUT),
    "no route to network": (unusable(NoConnectionError(), OSError(errno.ENETUNREACH, "")), Cause.TIMEOUT),
    "all of it took too long": (TimeoutError(), Cause.TIMEOUT),
    "no such name": (NoSuchNameError(), Cause.NAME_NOT_FOUND),
    "no answer from the DNS": (LookupFailedError(), Cause.NAME_NOT_FOUND),
    "STARTTLS is not offered": (unusable(NotEncryptedError()), Cause.TLS_FAILED),
    "STARTTLS is refused": (
        chain(TlsUnusableError(UNEXPECTED), refusing(Phase.STARTTLS, 454, TlsUnusableError)),
        Cause.TLS_FAILED,
    ),
    "another protocol": (chain(TlsUnusableError(UNEXPECTED), HandshakeError(), ssl.SSLError()), Cause.TLS_FAILED),
    "lost in the handshake": (chain(TlsUnusableError(UNEXPECTED), HandshakeError(), ConnectionResetError()), Cause.TLS_FAILED),
    "a certificate of nobody": (
        chain(TlsUnusableError(UNEXPECTED), HandshakeError(), ssl.SSLCertVerificationError()),
        Cause.CERTIFICATE_INVALID,
    ),
    "a certificate of ours is wanted": (chain(TlsUnusableError(UNEXPECTED), ConnectionLostError(), ssl.SSLError()), Cause.TLS_FAILED),
    "a greeting that refuses": (refusing(Phase.CONNECT, 554), Cause.REJECTED),
    "EHLO refused": (refusing(Phase.HELLO, 550), Cause.REJECTED),
    "EHLO refused under TLS": (chain(TlsUnusableError(UNEXPECTED), refusing(Phase.HELLO, 550)), Cause.REJECTED),
    "not SMTP": (unusable(ForeignProtocolError()), Cause.REJECTED),
    "authentication required": (refusing(Phase.HELLO, 530), Cause.AUTHENTICATION_REJECTED),
    "a wrong password": (refusing(Phase.AUTH, 535, CredentialsRefusedError), Cause.AUTHENTICATION_REJECTED),
    "an authentication server that is away": (refusing(Phase.AUTH, 454, CredentialsRefusedError), Cause.AUTHENTICATION_REJECTED),
    "no mechanism in common": (unusable(NoMechanismError()), Cause.AUTHENTICATION_REJECTED),
    "no access token": (unusable(TokenUnavailableError()), Cause.TOKEN_UNAVAILABLE),
    "lost in AUTH": (unusable(ConnectionLostError()), Cause.REFUSED),
}


@pytest.mark.parametrize(("fault", "cause"), TABLE.values(), ids=TABLE)
def test_every_way_to_fail_has_its_word(fault: BaseException, cause: Cause) -> None:
    """The innermost exception decides."""
    assert cause_of(fault) is cause


def test_a_reply_is_told_as_it_was_said() -> None:
    """On one line, with its codes, and cut where it is long; a sentence of ours has no code."""
    assert sentence_of(Reply(554, "5.7.1", "go\naway"), local=False) == "554 5.7.1 go away"
    assert sentence_of(Reply(451, "4.4.1", "Connection refused"), local=True) == "Connection refused"
    cut = sentence_of(Reply(554, "", "x" * 4096), local=False)
    assert (len(cut), cut[:6], cut[-1]) == (REPLY_LENGTH, "554 xx", "…")
