"""Logins of the resource: what is in their Secrets, and as whom they may send."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway.config.resource import SecretContentError, login_secrets, logins_of, to_config
from tests.support.resources import gateway, refusal, secret

SENDER_SENTENCE = (
    "must be an address such as app@example.com, *@example.com for all of a domain, or *@*.example.com for every domain beneath it"
)


def test_keys_of_a_secret_are_logins() -> None:
    """In an opaque Secret each key is a login and its value the password; its name is the identity."""
    logins = logins_of(secret({"billing": b"one", "shop": "zwei ü".encode()}))

    assert [(one.login, one.password.get_secret_value(), one.identity) for one in logins] == [
        ("billing", "one", "app-logins"),
        ("shop", "zwei ü", "app-logins"),
    ]


def test_a_basic_auth_secret_is_one_login() -> None:
    """In a basic-auth Secret username and password are the login, so that it may look like an address."""
    (login,) = logins_of(secret({"username": b"app@example.com", "password": b"pw"}, "kubernetes.io/basic-auth"))

    assert (login.login, login.password.get_secret_value()) == ("app@example.com", "pw")


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (secret({"app": b"\xff\xfe"}), "Secret app-logins holds a value that is not text in UTF-8"),
        (secret({"app": b""}), "Secret app-logins has 1 login with an empty password"),
        (
            secret({"username": b"app"}, "kubernetes.io/basic-auth"),
            "Secret app-logins is of type kubernetes.io/basic-auth but has no username",
        ),
        (
            secret({"app": b"$argon2id$v=19$m=4194304,t=3,p=4$c2FsdHNhbHRzYWx0$" + b"h" * 43}),
            "Secret app-logins cannot be used: a password is hashed with argon2id and m=4194304: it must be 32 to 65536",
        ),
        (
            secret({"username": b"app", "password": b"$2b$31$" + b"h" * 53}, "kubernetes.io/basic-auth"),
            "Secret app-logins cannot be used: a password is hashed with bcrypt and a cost of 31: it must be 4 to 13",
        ),
        (
            secret({"app": b"$6$salt$" + b"h" * 86}),
            "Secret app-logins cannot be used: a password is hashed in a way that is not supported: use argon2id or bcrypt",
        ),
    ],
)
def test_a_secret_that_is_no_login_is_named(broken: dict[str, Any], sentence: str) -> None:
    """What is wrong with a Secret is told without its contents."""
    with pytest.raises(SecretContentError, match=sentence):
        logins_of(broken)


def test_the_secrets_of_logins_are_named() -> None:
    """In the order of the resource."""
    references = [{"secretRef": {"name": name}} for name in ("b", "a")]

    assert login_secrets(gateway(logins=references)) == ("b", "a")


def test_hashed_passwords_are_taken_as_they_are() -> None:
    """Argon2id and bcrypt."""
    kept = ["$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$" + "h" * 43, "$2y$12$" + "h" * 53]
    logins = logins_of(secret({f"app{number}": value.encode() for number, value in enumerate(kept)}))

    assert [one.password.get_secret_value() for one in logins] == kept


def test_senders_are_rules_of_the_secret_that_they_stand_beside() -> None:
    """Logins of a Secret without any may send as anybody."""
    sources = [{"secretRef": {"name": "a"}, "allowedSenders": ["x@example.com", "*@*.example.com"]}, {"secretRef": {"name": "b"}}]
    config = to_config(gateway(logins=sources), ())

    assert [(each.identity, each.allowed) for each in config.senders] == [("a", ("x@example.com", "*@*.example.com"))]


@pytest.mark.parametrize(
    "pattern",
    [
        "app@example.com",
        "*@example.com",
        "*@*.example.com",
        "o'neil+x@example.com",
        "m\u00fcller@example.com",
        "a@localhost",
        "a.b@xn--bcher-kva.example",
    ],
)
def test_what_is_a_pattern_of_senders(pattern: str) -> None:
    """Addresses, domains and what is beneath them."""
    assert gateway(logins=[{"secretRef": {"name": "a"}, "allowedSenders": [pattern]}]).spec.logins[0].allowed_senders == (pattern,)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "@example.com",
        "example.com",
        "app-*@example.com",
        "a@*",
        "a@*.*.example.com",
        "a@b@example.com",
        "A <a@example.com>",
        "a b@example.com",
        "a@example.com\r\nRSET",
        "a@-example.com",
        "a@example..com",
        '"a b"@example.com',
        "a\\b@example.com",
        "a@[192.0.2.1]",
        "x" * 65 + "@example.com",
    ],
)
def test_what_is_no_pattern_of_senders(pattern: str) -> None:
    """Stars within a word, display names and what could end a line are refused with a sentence."""
    assert (
        refusal(logins=[{"secretRef": {"name": "a"}, "allowedSenders": [pattern]}])
        == f"spec.logins[0].allowedSenders[0]: {SENDER_SENTENCE}"
    )


def test_passwords_do_not_show() -> None:
    """Printing a configuration shows no password."""
    config = to_config(gateway(), logins_of(secret({"app": b"hunter2"})))

    assert "hunter2" not in repr(config) + str(config) + config.model_dump_json()
