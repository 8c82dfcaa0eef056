"""Credentials by OAuth 2.0 from a Secret: which of its keys make them, and what is wrong where they do not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from smtp_gateway.config import model
from smtp_gateway.config.certificate import certificates_in
from smtp_gateway.config.grants import Grant
from smtp_gateway.config.resource.translation import AUTHORITY_KEY, SecretContentError

if TYPE_CHECKING:
    from collections.abc import Mapping

GRANT_KEYS = ("tokenUrl", "clientId", "clientSecret", "refreshToken", "scope", "clientAuthentication")
"""Keys that a Secret of credentials by OAuth 2.0 has, beside `username`; each is a field of `Grant`. `ca.crt` may be there too."""
CREDENTIAL_KEYS = ("username", "password", *GRANT_KEYS, AUTHORITY_KEY)
"""All that is read of a Secret of credentials, of whichever kind."""
_NEEDED = ("username", "tokenUrl", "clientId")


def grants(secret: str, values: Mapping[str, str]) -> bool:
    """Tell whether the Secret called *secret* with *values* is about OAuth 2.0: any key of that decides.

    Raises `SecretContentError` when it holds a password as well: which of the two is meant would be a guess.
    """
    found = [key for key in GRANT_KEYS if key in values]
    if found and "password" in values:
        message = f"Secret {secret} has a password and {', '.join(found)}: a smarthost's credentials are one or the other"
        raise SecretContentError(message)
    return bool(found)


def token_credentials(secret: str, values: Mapping[str, str]) -> model.TokenCredentials:
    """Return what *values* of the Secret called *secret* make. Raises `SecretContentError`, and pydantic's `ValidationError`."""
    missing = [key for key in _NEEDED if key not in values]
    if missing:
        message = f"Secret {secret} has no {' and no '.join(missing)}, which credentials by OAuth 2.0 need"
        raise SecretContentError(message)
    fields = {key: values[key] for key in GRANT_KEYS if key in values}
    grant = Grant.model_validate(fields | {"authority": _authority(secret, values)})
    return model.TokenCredentials(identity=secret, username=SecretStr(values["username"]), grant=grant)


def _authority(secret: str, values: Mapping[str, str]) -> str | None:
    """Return the certificates of those who sign the endpoint's, if *values* have any. Raises `SecretContentError` for what is none."""
    if AUTHORITY_KEY not in values:
        return None
    found = certificates_in(values[AUTHORITY_KEY].encode()).decode("ascii")
    if not found:
        message = f"Secret {secret} has no certificate under {AUTHORITY_KEY}"
        raise SecretContentError(message)
    return found
