"""Access tokens for smarthosts: asked for once, kept until shortly before their end, and renewed behind the sessions that use them.

Two rules of this file. Of each grant one request is under way at a time, however many sessions wait for it; and an endpoint is asked no
more often than its answers warrant: not again at once after a failure, nor for a token that is refused as soon as it is there.

A token is renewed while the one before is still good, so that an endpoint that is away for some minutes delays no mail. A refresh token
that takes another's place (RFC 6749 section 6) is used from then on, and kept in memory alone: a pod that starts begins with that of the
configuration. Microsoft's and Google's endpoints leave the older one in force.

What can go wrong is `TokenUnavailableError`: one sentence, in which the endpoint's own words stand and no secret does.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.delivery.faults import TokenUnavailableError
from smtp_gateway.delivery.oauth2 import INVALID_GRANT, Granted, Refused
from smtp_gateway.delivery.token_endpoint import TokenEndpoint
from smtp_gateway.delivery.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from smtp_gateway.config.grants import Grant

EARLY = 300.0
"""Seconds before its end from which on a token is renewed, or a tenth of its life where that is less; Microsoft's own library (MSAL) takes
five minutes too."""
LATE = 10.0
"""Seconds before its end at which a token is not shown any more: it has to be good when it arrives."""
FRESH = 60.0
"""Seconds within which a token that is refused is not replaced: another one would be refused as well, for what the account may not do."""
FIRST_REST, LONGEST_REST = 5.0, 60.0
"""Seconds for which an endpoint is left alone after a failure, doubled with each further one; a repair is seen within the minute. Nothing
happens when a rest ends: the next session asks, so pods do not ask together."""
LONGEST_ASKED_REST = 600.0
"""Seconds for which it is left alone at most because it asked for it (Retry-After)."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token in force; times by the clock of its `Tokens`."""

    value: str = field(repr=False)
    asked_at: float
    renew_at: float
    ends_at: float


@dataclass(slots=True, eq=False)
class _Account:
    """What is known of one grant."""

    token: AccessToken | None = None
    refresh_token: str | None = field(default=None, repr=False)
    """The newest that the endpoint gave."""
    refused: Refused | None = None
    """Why the last request came to nothing; None when it did not."""
    failures: int = 0
    """Requests in a row that came to nothing."""
    rests_until: float = 0.0
    request: asyncio.Task[None] | None = None
    """The one that is under way."""


def accepted(granted: Granted, asked_at: float) -> AccessToken:
    """Return what *granted* is good for, which was asked for at *asked_at*."""
    ends_at = asked_at + granted.life
    return AccessToken(granted.access_token, asked_at, ends_at - min(EARLY, granted.life / 10), ends_at - min(LATE, granted.life / 10))


def rest(failures: int, asked: float) -> float:
    """Return the seconds to leave an endpoint alone after so many *failures* in a row, the last of which asked for *asked* seconds."""
    own = min(FIRST_REST * 2.0 ** min(failures - 1, 10), LONGEST_REST)
    return max(own, min(asked, LONGEST_ASKED_REST))


class Tokens:
    """The access tokens of one process."""

    def __init__(
        self,
        ask: Callable[[Grant, str | None], Awaitable[Granted | Refused]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask endpoints by *ask*, or, when it is None, those whose certificates the system's authorities vouch for."""
        self._ask = ask or TokenEndpoint(Trust())
        self._clock = clock
        self._accounts: dict[Grant, _Account] = {}
        self._requests: set[asyncio.Task[None]] = set()

    async def token(self, grant: Grant) -> str:
        """Return a token by *grant* that is good now. Raises `TokenUnavailableError`."""
        account = self._accounts.setdefault(grant, _Account())
        kept, now = account.token, self._clock()
        if kept is not None and now < kept.ends_at:
            if now >= kept.renew_at:
                self._begin(grant, account)
            return kept.value
        if request := self._begin(grant, account):
            # Whoever stops waiting leaves the request to the others.
            await asyncio.wait((request,))
        kept = account.token
        if kept is None or self._clock() >= kept.ends_at:
            reason = account.refused.reason if account.refused else "was not asked to the end"
            message = f"No access token: {grant.host} {reason}"
            raise TokenUnavailableError(message)
        return kept.value

    def refuse(self, grant: Grant, token: str) -> bool:
        """Take note that a server refused *token*; tell whether another one may be better, which `token` then returns."""
        account = self._accounts.get(grant)
        if account is None or account.token is None or account.token.value != token:
            return True
        if self._clock() < account.token.asked_at + FRESH:
            return False
        account.token = None
        return True

    def keep(self, grants: Collection[Grant]) -> None:
        """Forget what is known of all but *grants*."""
        for grant in self._accounts.keys() - set(grants):
            del self._accounts[grant]

    async def close(self) -> None:
        """End the requests that are under way."""
        for request in self._requests:
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)

    def _begin(self, grant: Grant, account: _Account) -> asyncio.Task[None] | None:
        """Return the request that is under way, a new one if need be; None while the endpoint is left alone."""
        if account.request is None and self._clock() >= account.rests_until:
            account.request = asyncio.create_task(self._renew(grant, account))
            self._requests.add(account.request)
            account.request.add_done_callback(self._requests.discard)
        return account.request

    async def _renew(self, grant: Grant, account: _Account) -> None:
        """Ask for a token and note what comes of it."""
        asked_at = self._clock()
        try:
            answer = await self._ask(grant, account.refresh_token)
        except Exception:  # noqa: BLE001 whoever waits is told that there is no token, and the cause is in the log
            _log.exception("access token request failed", endpoint=grant.host)
            answer = Refused("could not be asked")
        finally:
            account.request = None
        if isinstance(answer, Granted):
            _log.info("access token obtained", endpoint=grant.host, good_for=answer.life)
            account.token, account.refused, account.failures = accepted(answer, asked_at), None, 0
            account.refresh_token = answer.refresh_token or account.refresh_token
        else:
            self._note(grant, account, answer)

    def _note(self, grant: Grant, account: _Account, refused: Refused) -> None:
        """Take note of a request that came to nothing, and tell the log when it is for another reason than the last one."""
        if account.refused is None or account.refused.reason != refused.reason:
            _log.warning("access token unavailable", endpoint=grant.host, reason=refused.reason)
        account.refused = refused
        account.failures += 1
        account.rests_until = self._clock() + rest(account.failures, refused.retry_after)
        if refused.error == INVALID_GRANT:
            account.refresh_token = None  # that of the configuration may be good still, or again
