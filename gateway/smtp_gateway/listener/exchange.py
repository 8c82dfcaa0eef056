"""The exchanges of AUTH by mechanism: what the client is asked, and what its answers say. aiosmtpd's own compare in the event loop.

An initial response of `=` is one of no octets (RFC 4954 section 4). Of PLAIN (RFC 4616) the identity to act as may be empty or the login
itself; no login may act as another. LOGIN has no standard; its initial response is the login.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING

from aiosmtpd.smtp import MISSING, AuthResult

from smtp_gateway.listener import replies
from smtp_gateway.policy.auth import Credentials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.listener.session import Session

OVER = AuthResult(success=False, handled=True)
"""An exchange whose client has its reply."""
_PARTS = 3
"""Of a message of PLAIN: the identity to act as, the login, the password."""


async def plain(session: Session, arguments: Sequence[str]) -> AuthResult:
    """Authenticate by PLAIN."""
    message = await _response(session, arguments, "")
    if message is None:
        return session.unfinished("PLAIN")
    parts = message.split(b"\0")
    if len(parts) != _PARTS:
        await session.push(str(replies.AUTH_MALFORMED))
        return session.unfinished("PLAIN")
    act_as, login, password = parts
    return await session.admit("PLAIN", Credentials(login, password) if act_as in {b"", login} else None)


async def login(session: Session, arguments: Sequence[str]) -> AuthResult:
    """Authenticate by LOGIN."""
    name = await _response(session, arguments, session.AuthLoginUsernameChallenge)
    password = None if name is None else await _response(session, (), session.AuthLoginPasswordChallenge)
    if name is None or password is None:
        return session.unfinished("LOGIN")
    return await session.admit("LOGIN", Credentials(name, password))


async def _response(session: Session, arguments: Sequence[str], challenge: str) -> bytes | None:
    """Return the initial response behind the mechanism in *arguments*, or the answer to *challenge*; None when the client was refused."""
    if len(arguments) <= 1:
        answer = await session.challenge_auth(challenge)
        return None if answer is MISSING else answer
    if arguments[1] == "=":
        return b""
    try:
        return b64decode(arguments[1].encode("utf-8", "surrogateescape"), validate=True)
    except binascii.Error:
        await session.push(str(replies.AUTH_NOT_BASE64))
        return None
