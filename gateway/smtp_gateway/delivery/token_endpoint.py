"""One request to a token endpoint over HTTPS: bounded in time and size, followed nowhere else, and every way to fail is a `Refused`.

The endpoint's certificate is verified as a smarthost's is under `Verify`, by its own authority where it has one. Redirections are not followed and no proxy of the environment
is used: a secret goes to the URL that was configured, or nowhere.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import aiohttp

from smtp_gateway.config.model import HopTls
from smtp_gateway.delivery import oauth2
from smtp_gateway.delivery.faults import HandshakeError
from smtp_gateway.delivery.oauth2 import Granted, Refused
from smtp_gateway.delivery.trust import Terms, Trust

if TYPE_CHECKING:
    from smtp_gateway.config.grants import Grant

PATIENCE = 30.0
"""Seconds for a whole request, the connection included; what waits for the token waits no longer."""
LONGEST_ANSWER = 64 * 1024
"""Octets of an answer; Microsoft's and Google's have 2 to 4 KB."""
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "smtp-gateway"}


class TokenEndpoint:
    """Asks token endpoints."""

    def __init__(self, trust: Trust, patience: float = PATIENCE) -> None:
        """Believe certificates by *trust*; wait *patience* seconds for a whole answer."""
        self._trust = trust
        self._patience = patience

    async def __call__(self, grant: Grant, refresh_token: str | None) -> Granted | Refused:
        """Ask for a token by *grant*, with *refresh_token* in place of its own unless it is None."""
        # A context for one request is not kept: there is one an hour.
        trust = self._trust if grant.authority is None else Trust()
        try:
            context = await trust.context(Terms(HopTls.VERIFY, authority=grant.authority))
            return await self._ask(grant, refresh_token, context)
        except TimeoutError:
            return Refused(f"gave no answer within {self._patience:g} s")
        except HandshakeError as fault:
            return Refused(f"was not asked: {fault}")
        except (aiohttp.ClientError, OSError) as fault:
            return Refused(_failure(fault))

    async def _ask(self, grant: Grant, refresh_token: str | None, context: ssl.SSLContext) -> Granted | Refused:
        """Ask. Raises aiohttp's `ClientError`, or `OSError`, which `TimeoutError` is."""
        asked = oauth2.request(grant, refresh_token)
        # A session for each request: there is one an hour, and nothing to keep between two.
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._patience),
                connector=aiohttp.TCPConnector(ssl=context),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            ) as session,
            session.post(grant.token_url, data=asked.form, headers=_HEADERS | asked.headers, allow_redirects=False) as response,
        ):
            body = await _read(response.content)
            if body is None:
                return Refused(f"answered {response.status} with more than {LONGEST_ANSWER} octets")
            told = oauth2.judge(response.status, body, (*grant.secrets, *asked.credentials, *filter(None, [refresh_token])))
            wait = oauth2.retry_after(response.headers.get("Retry-After"))
            return Refused(told.reason, told.error, wait) if isinstance(told, Refused) else told


async def _read(content: aiohttp.StreamReader) -> bytes | None:
    """Return a whole answer; None when it is too long, of which no more is read than tells so."""
    body = bytearray()
    async for block in content.iter_any():
        body += block
        if len(body) > LONGEST_ANSWER:
            return None
    return bytes(body)


def _failure(fault: aiohttp.ClientError | OSError) -> str:
    """Return in words why no answer came; aiohttp's own texts show its insides."""
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):
        found = fault.certificate_error
        return (
            f"has a certificate that is not trusted: {found.verify_message if isinstance(found, ssl.SSLCertVerificationError) else found}"
        )
    if isinstance(fault, aiohttp.ClientConnectorDNSError):
        return f"has no address: {fault.os_error.strerror}"
    if isinstance(fault, aiohttp.ClientConnectorError):
        # Not its own text: the event loop writes another one into it.
        return f"could not be connected to: {os.strerror(fault.os_error.errno) if fault.os_error.errno else fault.os_error}"
    if isinstance(fault, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return "does not speak HTTP"
    return "closed the connection before it had answered"
