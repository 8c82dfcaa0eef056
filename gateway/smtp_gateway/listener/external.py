"""AUTH EXTERNAL (RFC 4422 appendix A): a client that showed a certificate in the handshake need not send a password.

Who a certificate is issued for stands in its subject alternative names: a DNS name, a mail address or a URI (SPIFFE identities are URIs).
The common name is not looked at, as RFC 9525 section 2 has it. TLS has verified the certificate before: one that is not good ends the handshake.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING, Any, cast

from aiosmtpd.smtp import MISSING, AuthResult

from smtp_gateway.listener import replies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiosmtpd.smtp import SMTP

    from smtp_gateway.listener.session import Session

EXTERNAL = "EXTERNAL"
_KINDS = frozenset({"DNS", "email", "URI"})
"""The alternative names that say who somebody is, as Python's `getpeercert` calls them."""


def names_in(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return whom a client's verified *certificate*, in the form of Python's `getpeercert`, is issued for; nobody without one."""
    return tuple(value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind in _KINDS)


async def authenticate(session: SMTP, arguments: Sequence[str]) -> AuthResult:
    """Let the client in as whom its certificate says; *arguments* are the mechanism and the initial response, if it gave one.

    The response is an identity to act as. It may be empty, and has to be one of the certificate's names otherwise.
    """
    ours = cast("Session", session)
    wanted = await _response(ours, arguments)
    return ours.unfinished(EXTERNAL) if wanted is None else await ours.certified(wanted)


async def _response(session: Session, arguments: Sequence[str]) -> str | None:
    """Return the client's response; None when it gave none that can be read, and was told so."""
    if len(arguments) == 1:
        answer = await session.challenge_auth("")
        return None if answer is MISSING else answer.decode("utf-8", "surrogateescape")
    given = arguments[1]
    try:
        # A response of no length is written as an equals sign (RFC 4954 section 4).
        return "" if given == "=" else b64decode(given, validate=True).decode("utf-8", "surrogateescape")
    except binascii.Error:
        await session.push(str(replies.AUTH_NOT_BASE64))
        return None
