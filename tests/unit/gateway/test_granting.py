"""Credentials by OAuth 2.0: from their Secret into the configuration."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smtp_gateway.config import model
from smtp_gateway.config.certificate import new_authority
from smtp_gateway.config.grants import ClientAuthentication, Grant
from smtp_gateway.config.manifest import load as load_manifest
from smtp_gateway.config.rendered import config_hash, load
from smtp_gateway.config.resource import SecretContentError, configured, credentials_of
from tests.support.gateway import write_config
from tests.support.resources import gateway, secret

URL = "https://login.example.com/oauth2/token"
CLIENT = {"username": b"app@example.com", "tokenUrl": URL.encode(), "clientId": b"the-app", "clientSecret": b"s3cr3t"}
LINE_END = "must be 1 to 4096 printable characters of ASCII, without an end of line"


def told(data: dict[str, bytes]) -> model.Config:
    """Return the configuration of a gateway whose smarthost has the credentials *data*."""
    routes = [{"name": "default", "smarthosts": [{"host": "smtp.example.com", "credentialsRef": {"name": "provider"}}]}]
    return configured(gateway(routes=routes), {"provider": secret(data) | {"metadata": {"name": "provider"}}})


def test_a_client_s_own_credentials() -> None:
    """What is absent is not asked for."""
    assert credentials_of(secret(CLIENT)) == model.TokenCredentials(
        identity="app-logins", username="app@example.com", grant=Grant(token_url=URL, client_id="the-app", client_secret="s3cr3t")
    )


def test_every_key() -> None:
    """Each is a field of the grant; other keys are somebody else's."""
    authority = new_authority("corp", datetime(2026, 11, 27, tzinfo=UTC)).certificate
    more = {
        "ca.crt": b"# corp\n" + authority,
        "refreshToken": b"r3fr3sh",
        "scope": b"a b",
        "clientAuthentication": b"client_secret_basic",
        "note": b"mine",
    }
    found = credentials_of(secret(CLIENT | more))

    assert isinstance(found, model.TokenCredentials)
    assert found.grant == Grant(
        token_url=URL,
        client_id="the-app",
        client_secret="s3cr3t",
        refresh_token="r3fr3sh",
        scope="a b",
        client_authentication=ClientAuthentication.BASIC,
        authority=authority.decode(),
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            CLIENT | {"password": b"x"},
            "Secret app-logins has a password and tokenUrl, clientId, clientSecret: a smarthost's credentials are one or the other",
        ),
        (
            {"clientSecret": b"s3cr3t"},
            "Secret app-logins has no username and no tokenUrl and no clientId, which credentials by OAuth 2.0 need",
        ),
        ({"username": b"u", "scope": b"mail"}, "Secret app-logins has no tokenUrl and no clientId, which credentials by OAuth 2.0 need"),
        (
            {key: value for key, value in CLIENT.items() if key != "clientSecret"},
            "Secret app-logins cannot be used for a smarthost: a client secret or a refresh token is needed",
        ),
        (CLIENT | {"clientSecret": b"s3cr3t\n"}, f"Secret app-logins cannot be used for a smarthost: clientSecret: {LINE_END}"),
        (CLIENT | {"refreshToken": b""}, f"Secret app-logins cannot be used for a smarthost: refreshToken: {LINE_END}"),
        (
            CLIENT | {"tokenUrl": b"http://login.example.com/token"},
            "Secret app-logins cannot be used for a smarthost: tokenUrl: must be a URL such as https://login.example.com/oauth2/token",
        ),
        (
            CLIENT | {"clientAuthentication": b"basic"},
            "Secret app-logins cannot be used for a smarthost: clientAuthentication: Input should be 'client_secret_post' or 'client_secret_basic'",
        ),
        (CLIENT | {"ca.crt": b"no certificate"}, "Secret app-logins has no certificate under ca.crt"),
        (
            CLIENT | {"username": b"a\x01b"},
            "Secret app-logins cannot be used for a smarthost: username: it holds control characters, such as the end of a line behind it",
        ),
    ],
)
def test_a_secret_that_makes_no_credentials_is_told_without_its_contents(data: dict[str, bytes], sentence: str) -> None:
    """Before mail waits for it."""
    with pytest.raises(SecretContentError) as refused:
        credentials_of(secret(data))

    assert str(refused.value) == sentence


def test_pods_are_told_and_nobody_else_is(tmp_path: Path) -> None:
    """A pod asks for tokens with it; no text of a model shows it, and another secret is another configuration."""
    config = told(CLIENT | {"refreshToken": b"r3fr3sh"})
    write_config(tmp_path, config)

    assert load(tmp_path) == config
    for shown in (repr(config), config.model_dump_json(), json.dumps(config.model_dump(), default=str)):
        assert not [one for one in ("s3cr3t", "r3fr3sh", "app@example.com") if one in shown]
    assert config_hash(config) != config_hash(told(CLIENT | {"refreshToken": b"another"}))


@pytest.mark.parametrize(
    ("example", "host", "endpoint", "refreshed"),
    [
        ("microsoft-365", "smtp.office365.com", "login.microsoftonline.com", False),
        ("google", "smtp.gmail.com", "oauth2.googleapis.com", True),
    ],
)
def test_the_examples_are_whole(example: str, host: str, endpoint: str, refreshed: bool) -> None:  # noqa: FBT001 a column of the table
    """A gateway that can start, with a grant for its smarthost."""
    config = load_manifest(Path("examples") / f"{example}.yaml").config
    (smarthost,) = config.routes[-1].smarthosts
    (grant,) = config.grants

    assert (smarthost.host, smarthost.port, smarthost.tls) == (host, 587, model.HopTls.VERIFY)
    assert (grant.host, grant.port, grant.refresh_token is not None) == (endpoint, 443, refreshed)
