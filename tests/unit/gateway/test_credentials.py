"""Credentials of smarthosts: from their Secret into the configuration, and nowhere else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from smtp_gateway.config import model
from smtp_gateway.config.rendered import RenderedConfigError, config_hash, load, render
from smtp_gateway.config.resource import SameLoginError, SecretContentError, configured, credentials_of, referenced_secrets
from tests.support.gateway import write_config
from tests.support.resources import gateway, refusal, secret

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "spr!ng-wörd"
SPOKEN = secret({"username": b"apikey", "password": PASSWORD.encode()})
RULE = "spec.routes[0].smarthosts[0]: credentials are sent under TLS only: with credentialsRef, tls must be Verify or Required"


def named(secret: dict[str, Any], name: str) -> dict[str, Any]:
    """Return *secret* under another name."""
    return secret | {"metadata": {"name": name}}


def routed(**hop: Any) -> list[dict[str, Any]]:
    """Return routes of one smarthost with credentials."""
    return [{"name": "default", "smarthosts": [{"host": "smtp.example", "credentialsRef": {"name": "provider"}} | hop]}]


def told(password: str = PASSWORD) -> model.Config:
    """Return the configuration of a gateway whose smarthost wants *password*."""
    holding = named(secret({"username": b"apikey", "password": password.encode()}), "provider")
    return configured(gateway(routes=routed()), {"provider": holding})


@pytest.mark.parametrize("kind", ["Opaque", "kubernetes.io/basic-auth"])
def test_credentials_are_a_username_and_a_password(kind: str) -> None:
    """In a Secret of either type; other keys in it are somebody else's."""
    found = credentials_of(secret({"username": b"apikey", "password": PASSWORD.encode(), "smtp_server": b"smtp.example"}, kind))

    assert isinstance(found, model.PasswordCredentials)
    assert found.username.get_secret_value() == "apikey"
    assert found.password.get_secret_value() == PASSWORD
    assert found.identity == "app-logins"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"username": b"apikey"}, "Secret app-logins has no password, which a smarthost's credentials need"),
        ({}, "Secret app-logins has no username and no password, which a smarthost's credentials need"),
        ({"username": b"", "password": b"x"}, "Secret app-logins cannot be used for a smarthost: username: it is empty"),
        (
            {"username": b"api\r\nkey", "password": b"x"},
            "Secret app-logins cannot be used for a smarthost: username: it holds control characters, such as the end of a line behind it",
        ),
        (
            {"username": b"apikey", "password": b"one\0two"},
            "Secret app-logins cannot be used for a smarthost: password: it holds control characters, such as the end of a line behind it",
        ),
        (
            {"username": b"apikey", "password": "ü".encode() * 2049},
            "Secret app-logins cannot be used for a smarthost: password: it is longer than 4096 octets",
        ),
        ({"username": b"apikey", "password": b"\xff"}, "Secret app-logins holds a value that is not text in UTF-8"),
    ],
)
def test_a_secret_that_holds_no_credentials_is_told_without_its_contents(data: dict[str, bytes], sentence: str) -> None:
    """What cannot be said to a smarthost, and what an editor adds to a password, is refused before mail waits for it."""
    with pytest.raises(SecretContentError) as refused:
        credentials_of(secret(data))

    assert str(refused.value) == sentence


def test_what_else_is_in_the_secret_is_not_read() -> None:
    """Other keys are ignored, whatever they hold: here something that is no text."""
    beside = secret({"username": b"apikey", "password": PASSWORD.encode(), "logo.png": b"\x89PNG\xff"})

    assert credentials_of(beside) == credentials_of(SPOKEN)


@pytest.mark.parametrize("tls", ["None", "Opportunistic"])
def test_credentials_want_tls(tls: str) -> None:
    """Where the connection may be in the clear there are none: in the resource, and in what pods are told."""
    assert refusal(routes=routed(tls=tls)) == RULE
    with pytest.raises(ValidationError, match="credentials are sent under TLS only"):
        model.Smarthost(host="smtp.example", tls=model.HopTls(tls), credentials=credentials_of(SPOKEN))


@pytest.mark.parametrize(("hop", "tls"), [({}, model.HopTls.VERIFY), ({"tls": "Required"}, model.HopTls.REQUIRED)])
def test_a_smarthost_with_credentials_is_verified_unless_it_says_otherwise(hop: dict[str, str], tls: model.HopTls) -> None:
    """Required has to be written; without it a password goes to nobody who cannot show a certificate for the name."""
    given = gateway(routes=routed(**hop))

    assert referenced_secrets(given) == ("provider",)
    assert configured(given, {"provider": SPOKEN}).routes[0].smarthosts[0] == model.Smarthost(
        host="smtp.example", tls=tls, credentials=credentials_of(SPOKEN)
    )


def test_every_secret_is_named_once() -> None:
    """Logins, the authority of clients' certificates, and credentials, in the order in which they are needed."""
    hops = [
        {"host": host, "credentialsRef": {"name": name}} for host, name in (("a.example", "p"), ("b.example", "app"), ("c.example", "p"))
    ]
    given = gateway(
        logins=[{"secretRef": {"name": "app"}}],
        tls={"clientCertificates": {"authorityRef": {"name": "clients-ca"}}},
        routes=[{"name": "default", "smarthosts": hops}],
    )

    assert referenced_secrets(given) == ("app", "clients-ca", "p")


def test_the_same_login_in_two_secrets_is_refused_without_naming_it() -> None:
    """Which password is right would depend on their order."""
    given = gateway(logins=[{"secretRef": {"name": name}} for name in ("one", "two")])

    with pytest.raises(SameLoginError, match=r"^Secrets one and two hold the same login$"):
        configured(given, {name: named(secret({"alice": b"x"}), name) for name in ("one", "two")})


def test_pods_are_told_the_password_and_everybody_else_is_not(tmp_path: Path) -> None:
    """The rendered configuration holds what a pod has to say; no text of a model does."""
    config = told()
    write_config(tmp_path, config)

    assert load(tmp_path) == config
    for shown in (
        repr(config),
        str(config),
        config.model_dump_json(),
        repr(config.routes[0].smarthosts[0]),
        json.dumps(config.model_dump(), default=str),
    ):
        assert PASSWORD not in shown
        assert "apikey" not in shown


def test_a_configuration_that_is_refused_does_not_show_the_password(tmp_path: Path) -> None:
    """Neither in the sentence nor in what it is made from, whatever is wrong: the password itself, or what stands beside it."""
    config = told()
    smarthost = config.routes[0].smarthosts[0].model_copy(update={"tls": model.HopTls.NONE})
    write_config(tmp_path, config.model_copy(update={"routes": (config.routes[0].model_copy(update={"smarthosts": (smarthost,)}),)}))

    with pytest.raises(RenderedConfigError, match="credentials are sent under TLS only") as refused:
        load(tmp_path)
    with pytest.raises(ValidationError, match="control characters") as unspeakable:
        model.PasswordCredentials.model_validate({"identity": "provider", "username": "apikey", "password": f"{PASSWORD}\n"})

    assert PASSWORD not in f"{refused.value} {refused.value.__cause__} {unspeakable.value}"


def test_another_password_is_another_smarthost_and_another_configuration() -> None:
    """Sessions and probes are kept by smarthost, and pods look at the hash."""
    before, after = told(), told("another")
    one, other = (config.routes[0].smarthosts[0] for config in (before, after))

    assert {one: 1, told().routes[0].smarthosts[0]: 2} == {one: 2}
    assert other not in {one: 1}
    assert config_hash(before) == config_hash(told())
    assert config_hash(before) != config_hash(after)
    assert render(before) != render(after)
