"""AUTH by an access token: XOAUTH2 as Google and Microsoft document it, and OAUTHBEARER (RFC 7628) where that alone is offered.

A token that a next hop refuses may have been revoked, or have ended early: one other is asked for and shown before that is believed.

Google: https://developers.google.com/workspace/gmail/imap/xoauth2-protocol. Microsoft:
https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.delivery import sasl
from smtp_gateway.delivery.faults import CredentialsRefusedError, SessionError
from smtp_gateway.delivery.sasl import Mechanism

if TYPE_CHECKING:
    from smtp_gateway.config.model import TokenCredentials
    from smtp_gateway.delivery.session import Session
    from smtp_gateway.delivery.settings import Settings


def by_token(username: str, token: str) -> tuple[Mechanism, ...]:
    """Return all ways to show *token* for *username*, first the one that the large providers document.

    In OAUTHBEARER the name is written as a saslname (RFC 5801 section 4); the host and port are left out, which are for signed tokens only
    (RFC 7628 section 3.1). A refusal is told in a challenge, which is answered with nothing, or with a control-A (section 3.2.3).
    """
    name = username.replace("=", "=3D").replace(",", "=2C")
    return (
        Mechanism("XOAUTH2", (f"user={username}\x01auth=Bearer {token}\x01\x01".encode(),), token, acknowledgement=""),
        Mechanism("OAUTHBEARER", (f"n,a={name},\x01auth=Bearer {token}\x01\x01".encode(),), token, acknowledgement="AQ=="),
    )


async def authenticate(session: Session, credentials: TokenCredentials, settings: Settings) -> None:
    """Authenticate in *session*. Raises `CredentialsRefusedError`, and `SessionError`, which `TokenUnavailableError` is."""
    username, tokens = credentials.username.get_secret_value(), settings.tokens
    token = await tokens.token(credentials.grant)
    try:
        await sasl.authenticate(session, by_token(username, token), settings.timeouts.hello)
    except CredentialsRefusedError as refused:
        if not refused.lasting or not tokens.refuse(credentials.grant, token):
            raise
        try:
            token = await tokens.token(credentials.grant)
            await sasl.authenticate(session, by_token(username, token), settings.timeouts.hello)
        except SessionError:
            # There is no other, or the next hop has hung up: what it said of the first is what there is to tell.
            raise refused from None
