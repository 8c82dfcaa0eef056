"""What an access token is asked for with: an authorization grant of OAuth 2.0 (RFC 6749), and the endpoint that takes it.

Beneath `smtp_gateway.config.model`, which puts it into the configuration.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from smtp_gateway.config.habits import Model

HTTPS_PORT = 443
LONGEST = 4096
"""Characters of an identifier or a secret; the longest that are in use, refresh tokens of Microsoft's, have some 1,500."""


class ClientAuthentication(StrEnum):
    """How a client proves to a token endpoint who it is; the names are those of RFC 7591 section 2."""

    POST = "client_secret_post"
    """In the form, as the documentation of Microsoft's and Google's endpoints has it (RFC 6749 section 2.3.1)."""
    BASIC = "client_secret_basic"
    """By HTTP Basic, which every endpoint that gives out secrets has to know (the same section)."""


def _visible(text: str) -> str:
    """Refuse what RFC 6749 has no place for in identifiers and secrets (its VSCHAR): mostly the end of a line that an editor put there."""
    if not 0 < len(text) <= LONGEST or not all(" " <= one <= "~" for one in text):
        message = f"must be 1 to {LONGEST} printable characters of ASCII, without an end of line"
        raise ValueError(message)
    return text


def _visible_secret(secret: SecretStr) -> SecretStr:
    _visible(secret.get_secret_value())
    return secret


def _endpoint(url: str) -> str:
    """Refuse what is no token endpoint: TLS is a must (RFC 6749 section 3.2), and a fragment or credentials have no place in its URL."""
    try:
        parts = urlsplit(_visible(url))
        usable = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "#" in url or " " in url:
        message = "must be a URL such as https://login.example.com/oauth2/token"
        raise ValueError(message)
    return url


Visible = Annotated[str, AfterValidator(_visible)]
VisibleSecret = Annotated[SecretStr, AfterValidator(_visible_secret)]


class Grant(Model):
    """By which access tokens are asked for: a refresh token where there is one, the client's own credentials otherwise."""

    token_url: Annotated[str, AfterValidator(_endpoint)]
    client_id: Visible
    client_secret: VisibleSecret | None = None
    """None for a public client, which has a refresh token alone (RFC 6749 section 2.1)."""
    refresh_token: VisibleSecret | None = None
    scope: Annotated[str, Field(max_length=LONGEST, pattern=r"^([!#-\[\]-~]+( [!#-\[\]-~]+)*)?$")] = ""
    """Separated by spaces (RFC 6749 section 3.3); empty asks for what the endpoint gives unasked."""
    client_authentication: ClientAuthentication = ClientAuthentication.POST
    authority: Annotated[str, Field(min_length=1)] | None = None
    """The certificates of those who sign the endpoint's, PEM; None: the authorities that the system trusts."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Refuse a grant that holds no secret at all."""
        if self.client_secret is None and self.refresh_token is None:
            message = "a client secret or a refresh token is needed"
            raise ValueError(message)
        if self.client_secret is None and self.client_authentication is ClientAuthentication.BASIC:
            message = "client_secret_basic needs a client secret"
            raise ValueError(message)
        return self

    @property
    def host(self) -> str:
        """The endpoint's name, as people are told."""
        return urlsplit(self.token_url).hostname or ""

    @property
    def port(self) -> int:
        """The endpoint's port."""
        return urlsplit(self.token_url).port or HTTPS_PORT

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything of it that nobody may read."""
        return tuple(one.get_secret_value() for one in (self.client_secret, self.refresh_token) if one is not None)
