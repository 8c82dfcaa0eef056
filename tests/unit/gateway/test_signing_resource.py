"""Keys and rewriting rules of the resource: what is accepted, what is refused with which sentence, and what pods are told."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr, ValidationError

from smtp_gateway.config import outgoing, rendered
from smtp_gateway.config.resource import SecretContentError, configured, referenced_secrets, to_config
from smtp_gateway.config.resource.translation import Held
from tests.support.resources import gateway, refusal, secret
from tests.support.signing import dkim_key, key

KEY = {"domain": "example.com", "selector": "k1", "keyRef": {"name": "app-logins"}}
OTHER_KIND = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@pytest.mark.parametrize("name", ["tls.key", "private.key"])
def test_keys_arrive_in_the_configuration(name: str) -> None:
    """Each from the one Secret that it names, which several may."""
    asked = gateway(dkim=[KEY, KEY | {"domain": "example.org"}])

    assert referenced_secrets(asked) == ("app-logins",)
    found = configured(asked, {"app-logins": secret({name: key("ed25519")})}).dkim
    assert found == tuple(dkim_key(domain, "k1", "ed25519") for domain in ("example.com", "example.org"))


def test_a_key_may_be_plain_in_a_manifest() -> None:
    """As `stringData` has it."""
    plain = {"metadata": {"name": "app-logins"}, "stringData": {"private.key": key("ed25519").decode()}}

    (found,) = configured(gateway(dkim=[KEY]), {"app-logins": plain}).dkim
    assert found.private_key.get_secret_value() == key("ed25519").decode()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (secret({}), "Secret app-logins has neither tls.key nor private.key"),
        (secret({"private.key": b""}), "Secret app-logins has neither tls.key nor private.key"),
        (secret({"tls.key": key("ed25519"), "private.key": key("ed25519")}), "Secret app-logins has both tls.key and private.key"),
        (secret({"tls.key": b"-----BEGIN RSA"}), "Secret app-logins cannot be used: the key under tls.key is not a private key in PEM"),
        (secret({"tls.key": b"\xff\xfe"}), "Secret app-logins cannot be used: the key under tls.key is not a private key in PEM"),
        (secret({"tls.key": OTHER_KIND}), "Secret app-logins cannot be used: the key under tls.key is of another kind than DKIM knows"),
        (secret({}) | {"data": {"private.key": "%"}}, "Secret app-logins cannot be used: private.key is not Base64"),
    ],
)
def test_a_secret_without_a_key_that_signs_is_named(broken: dict[str, Any], sentence: str) -> None:
    """What is wrong is told without its contents."""
    with pytest.raises(SecretContentError) as refused:
        configured(gateway(dkim=[KEY]), {"app-logins": broken})
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"domain": "Example.com"}, "must be a domain in lower case such as example.com"),
        ({"domain": "*.example.com"}, "must be a domain in lower case such as example.com"),
        ({"domain": "example.com; l=1"}, "must be a domain in lower case such as example.com"),
        ({"selector": "k1\r\n"}, "must be lower case letters, digits, dashes and dots, such as 2027a"),
        ({"selector": "k 1"}, "must be lower case letters, digits, dashes and dots, such as 2027a"),
        ({"domain": ".".join(["a" * 60] * 4)[:243], "selector": "k"}, "selector and domain are too long together for a DNS name"),
    ],
)
def test_names_that_would_break_the_signature_are_refused(wrong: dict[str, str], sentence: str) -> None:
    """Nothing of them could end a tag or a line."""
    assert sentence in refusal(dkim=[KEY | wrong])


def test_a_selector_is_one_keys() -> None:
    """Which of two the record is of would be unclear."""
    with pytest.raises(ValidationError, match=r"the same DKIM selector is used more than once: k1\._domainkey\.example\.com"):
        to_config(gateway(), (), held=Held(dkim=(dkim_key("example.com"),) * 2))


def test_a_pod_loads_no_key_that_cannot_sign() -> None:
    """Whatever rendered it: it goes on with the configuration before, and says so without the key."""
    with pytest.raises(ValidationError, match="is not a private key in PEM") as refused:
        outgoing.DkimKey(domain="example.com", selector="k1", private_key=SecretStr("wonderland"))
    assert "wonderland" not in str(refused.value)


def test_a_key_is_rendered_and_shown_to_nobody() -> None:
    """A pod needs it, and the hash of the configuration is another with another key."""
    configs = [to_config(gateway(), (), held=Held(dkim=(dkim_key(kind=kind),))) for kind in ("rsa", "ed25519")]

    assert rendered.config_hash(configs[0]) != rendered.config_hash(configs[1])
    assert "PRIVATE" not in repr(configs) + str(configs) + configs[0].model_dump_json()


def test_rules_arrive_in_the_configuration() -> None:
    """In their order; Reply-To is left alone unless it is asked for."""
    rules = [{"match": ["*@internal.local", "*@*.internal.local"], "address": "*@example.com"}, {"address": "noreply@example.com"}]
    routes = [{"name": "default", "rewrite": {"senders": rules, "originalHeader": "X-Original-From", "replyTo": "Original"}}]
    expected = outgoing.Rewrite(
        senders=(
            outgoing.SenderRule(match=("*@internal.local", "*@*.internal.local"), address="*@example.com"),
            outgoing.SenderRule(address="noreply@example.com"),
        ),
        original_header="X-Original-From",
        reply_to=True,
    )

    assert to_config(gateway(routes=routes), ()).routes[0].rewrite == expected
    routes = [{"name": "default", "rewrite": {"senders": rules}}]
    assert to_config(gateway(routes=routes), ()).routes[0].rewrite == outgoing.Rewrite(senders=expected.senders)
    assert to_config(gateway(), ()).routes[0].rewrite is None


@pytest.mark.parametrize(
    ("rewrite", "sentence"),
    [
        ({"senders": []}, "should have at least 1 item"),
        ({"senders": [{"match": [], "address": "a@example.com"}]}, "should have at least 1 item"),
        ({"senders": [{"address": "a@example.com"}, {"address": "b@example.com"}]}, "only the last rule may be without a match"),
        (
            {"senders": [{"match": ["example.com"], "address": "a@example.com"}]},
            "must be an address such as app@example.com, *@example.com",
        ),
        *(
            ({"senders": [{"address": address}]}, "must be an address such as noreply@example.com, or *@example.com")
            for address in (
                "",
                "a",
                "@x",
                "*",
                "a@",
                "a b@x",
                "a@x\n",
                "a@x\r\nBcc: b@x",
                "a@x>",
                "a,b@x",
                "o'neil@x",
                '"a"@x',
                "a..b@x",
                "*@*.x",
                "*a@x",
            )
        ),
        *(
            ({"senders": [{"address": "a@x"}], "originalHeader": name}, "must be the name of a header that begins with X-")
            for name in ("Bcc", "X-", "X-A:", "X-A b", "X-A\r\nB", "x-a")
        ),
    ],
)
def test_rules_that_could_break_a_message_are_refused(rewrite: dict[str, Any], sentence: str) -> None:
    """Nothing of them could end a line, an address or a field."""
    assert sentence in refusal(routes=[{"name": "default", "rewrite": rewrite}])
