"""Access tokens by OAuth 2.0 as pure functions: what a token endpoint is sent (RFC 6749 sections 4.4.2 and 6), and what its answer means.

An endpoint may answer with anything, so its words are bounded, made printable, and rid of every secret before people see them.
"""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from smtp_gateway.config.grants import ClientAuthentication

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway.config.grants import Grant

UNTOLD_LIFE = 300.0
"""Seconds that a token is used whose end the endpoint did not tell (RFC 6749 section 5.1 only recommends it)."""
SHORTEST_LIFE, LONGEST_LIFE = 60.0, 86400.0
"""Bounds of what is believed of `expires_in`: nothing that an endpoint says makes it be asked more often than once a minute, and a new
token is fetched each day. Microsoft's live for 60 to 90 minutes, Google's for an hour."""
LONGEST_TOKEN = 8192
"""Characters of a token: with a username of up to 900 it fits into the 12,288 octets of one line in base64 (RFC 4954 section 4)."""
LONGEST_REASON = 400
"""Characters that are told of what an endpoint says: Microsoft's `error_description` explains itself in the first of some 500."""
INVALID_GRANT = "invalid_grant"
"""What an endpoint says to a refresh token that has expired, was revoked or replaced (RFC 6749 section 5.2)."""

_AUTHORIZATION = "Authorization"
_OK = 200
_REDIRECTS = range(300, 400)
_TOKEN = re.compile(r"[!-~]+")
_MASK = "***"
_UNIQUE = re.compile(r"\b(Trace ID|Correlation ID|Timestamp): .*", re.DOTALL)
"""With what Microsoft's endpoint ends each description: it would make each refusal look like another one, in the log and in the status."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an endpoint is sent."""

    form: dict[str, str] = field(repr=False)
    headers: dict[str, str] = field(repr=False)

    @property
    def credentials(self) -> tuple[str, ...]:
        """What of its headers nobody may read: the secret with its name in base64, without the padding, which an echo may lack."""
        return tuple(value.partition(" ")[2].rstrip("=") for name, value in self.headers.items() if name == _AUTHORIZATION)


@dataclass(frozen=True, slots=True)
class Granted:
    """A token was given."""

    access_token: str = field(repr=False)
    life: float
    """Seconds from the request on."""
    refresh_token: str | None = field(default=None, repr=False)
    """What takes the place of the one that was sent (RFC 6749 section 6); None when that stays in force."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No token was given, or none came."""

    reason: str
    """A sentence without its subject, which is the endpoint."""
    error: str = ""
    """The endpoint's own word (RFC 6749 section 5.2), where it has said one."""
    retry_after: float = 0.0
    """Seconds that it asks to be left alone for (RFC 9110 section 10.2.3)."""


def request(grant: Grant, refresh_token: str | None) -> Request:
    """Return what asks for a token by *grant*, with *refresh_token* in place of its own where there is a newer one."""
    refresh_token = refresh_token or (grant.refresh_token.get_secret_value() if grant.refresh_token else None)
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token} if refresh_token else {"grant_type": "client_credentials"}
    if grant.scope:
        form["scope"] = grant.scope
    secret = grant.client_secret.get_secret_value() if grant.client_secret else None
    if secret is not None and grant.client_authentication is ClientAuthentication.BASIC:
        pair = f"{quote_plus(grant.client_id)}:{quote_plus(secret)}"  # encoded twice: RFC 6749 section 2.3.1
        return Request(form, {_AUTHORIZATION: f"Basic {base64.b64encode(pair.encode()).decode()}"})
    form["client_id"] = grant.client_id
    return Request(form if secret is None else form | {"client_secret": secret}, {})


def judge(status: int, body: bytes, secrets: Iterable[str]) -> Granted | Refused:
    """Return what an answer with *status* and *body* to a request that held *secrets* comes to."""
    told = object_in(body)
    if status == _OK:
        return _granted(told)
    error = told.get("error")
    if isinstance(error, str) and error:
        return Refused(f"said {sentence(_explained(error, told), secrets)}", error)
    if status in _REDIRECTS:
        return Refused(f"answered {status}; redirections are not followed")
    return Refused(f"answered {status} without a reason")


def _explained(error: str, told: dict[str, Any]) -> str:
    description = told.get("error_description")
    if not isinstance(description, str):
        return error
    words = _UNIQUE.sub("", description).strip()
    return f"{error}: {words}" if words else error


def _granted(told: dict[str, Any]) -> Granted | Refused:
    """Return the token in an answer that says it holds one (RFC 6749 section 5.1)."""
    token, kind, renewed = told.get("access_token"), told.get("token_type"), told.get("refresh_token")
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        return Refused("answered 200 without a usable access token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return Refused("gave a token that is not a bearer token (RFC 6750)")
    usable = isinstance(renewed, str) and len(renewed) <= LONGEST_TOKEN and _TOKEN.fullmatch(renewed)
    return Granted(token, _life(told.get("expires_in")), renewed if usable else None)


def _life(expires_in: object) -> float:
    """Return for how long a token is used, of an `expires_in` that some endpoints write as a string."""
    try:
        seconds = float(expires_in) if isinstance(expires_in, int | float | str) else UNTOLD_LIFE
    except (ValueError, OverflowError):
        return UNTOLD_LIFE
    return UNTOLD_LIFE if math.isnan(seconds) else min(max(seconds, SHORTEST_LIFE), LONGEST_LIFE)


def retry_after(header: str | None) -> float:
    """Return the seconds of a Retry-After; 0 for none, and for one that is a date."""
    return float(header) if header and re.fullmatch(r"[0-9]{1,6}", header) else 0.0


def sentence(text: str, secrets: Iterable[str] = ()) -> str:
    """Return *text* in one printable line of at most `LONGEST_REASON` characters, without *secrets* however a form would write them."""
    for secret in secrets:
        for written in {secret, quote_plus(secret)}:
            text = text.replace(written, _MASK)
    plain = "".join(one if " " <= one <= "~" else "?" for one in " ".join(text.split()))
    return plain if len(plain) <= LONGEST_REASON else f"{plain[: LONGEST_REASON - 3]}..."


def object_in(body: bytes) -> dict[str, Any]:
    """Return the JSON object that *body* is; an empty one when it is none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
