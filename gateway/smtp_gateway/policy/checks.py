"""What MAIL and RCPT must satisfy: each check is a pure function that returns the refusal, or None."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.mail import reply
from smtp_gateway.mail.reply import Reply

if TYPE_CHECKING:
    from smtp_gateway.mail.envelope import Peer
    from smtp_gateway.policy.relaying import Terms

NOT_INTERNATIONAL = Reply(553, "5.6.7", "Address has characters beyond ASCII: MAIL needs the parameter SMTPUTF8")
"""RFC 6531 section 3.5: a non-ASCII address in a transaction that did not declare it."""


def transaction(peer: Peer, terms: Terms) -> Reply | None:
    """Refuse, where *terms* have it so, a transaction in the clear (RFC 3207 section 4), then one without a login (RFC 4954 section 6)."""
    if peer.tls_version is None and terms.encrypted:
        return reply.TLS_REQUIRED
    return terms.refusal if peer.login is None else None


def sender(address: str, *, smtputf8: bool) -> Reply | None:
    """Refuse a reverse-path that needs SMTPUTF8 where it was not declared, or that has no domain to return mail to."""
    if address and "@" not in address:
        return reply.BAD_ADDRESS
    return None if smtputf8 or address.isascii() else NOT_INTERNATIONAL


def recipient(address: str, already: int, limit: int, *, smtputf8: bool) -> Reply | None:
    """Refuse a forward-path that is null or undeclared international, and any beyond *limit* in one transaction.

    The limit is a temporary refusal: the client sends the others in a transaction of their own (RFC 5321 section 4.5.3.1.10).
    """
    if not address:
        return reply.BAD_ADDRESS
    if not smtputf8 and not address.isascii():
        return NOT_INTERNATIONAL
    return reply.TOO_MANY_RECIPIENTS if already >= limit else None
