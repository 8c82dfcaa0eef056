from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.mail import reply
from smtp_gateway.mail.envelope import Peer
from smtp_gateway.policy.checks import NOT_INTERNATIONAL, recipient, sender, transaction
from smtp_gateway.policy.relaying import CLIENT_NOT_ALLOWED, WITH_LOGIN, Terms

if TYPE_CHECKING:
    from smtp_gateway.mail.reply import Reply


@pytest.mark.parametrize(
    ("terms", "tls", "login", "refused"),
    [
        (WITH_LOGIN, None, None, reply.TLS_REQUIRED),
        (WITH_LOGIN, None, "app", reply.TLS_REQUIRED),
        (WITH_LOGIN, "TLSv1.3", None, reply.AUTHENTICATION_REQUIRED),
        (WITH_LOGIN, "TLSv1.3", "app", None),
        (Terms(refusal=None), None, None, reply.TLS_REQUIRED),
        (Terms(refusal=None), "TLSv1.3", None, None),
        (Terms(encrypted=False, refusal=None), None, None, None),
        (Terms(encrypted=False, refusal=CLIENT_NOT_ALLOWED), None, None, CLIENT_NOT_ALLOWED),
        (Terms(encrypted=False, refusal=CLIENT_NOT_ALLOWED), "TLSv1.3", "app", None),
    ],
)
def test_a_transaction_needs_tls_and_then_a_login(terms: Terms, tls: str | None, login: str | None, refused: Reply | None) -> None:
    """Without TLS a client is told about TLS first, so that it does not try a password in the clear; a login is always enough."""
    assert transaction(Peer("192.0.2.1", "submission", tls_version=tls, login=login), terms) == refused


@pytest.mark.parametrize(
    ("address", "smtputf8", "refused"),
    [
        ("a@example.com", False, None),
        ("", False, None),
        ("postmaster", False, reply.BAD_ADDRESS),
        ("ü@example.com", False, NOT_INTERNATIONAL),
        ("ü@example.com", True, None),
    ],
)
def test_senders(address: str, smtputf8: bool, refused: Reply | None) -> None:  # noqa: FBT001 a table's column
    """The null sender is one; an international one must have been declared; bounces need a domain to go to."""
    assert sender(address, smtputf8=smtputf8) == refused


@pytest.mark.parametrize(
    ("address", "already", "smtputf8", "refused"),
    [
        ("a@example.com", 0, False, None),
        ("a@example.com", 99, False, None),
        ("a@example.com", 100, False, reply.TOO_MANY_RECIPIENTS),
        ("", 0, False, reply.BAD_ADDRESS),
        ("ü@example.com", 0, False, NOT_INTERNATIONAL),
        ("ü@example.com", 0, True, None),
    ],
)
def test_recipients(address: str, already: int, smtputf8: bool, refused: Reply | None) -> None:  # noqa: FBT001 a table's column
    """The null path is no recipient, and a transaction has room for so many."""
    assert recipient(address, already, 100, smtputf8=smtputf8) == refused
