"""DKIM: which domains' mail is signed, with which keys, and how a key stands in its Secret."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, SecretStr

from smtp_gateway.config import signing_keys
from smtp_gateway.config.habits import Model
from smtp_gateway.config.outgoing import DkimKey
from smtp_gateway.config.resource.translation import SecretContentError
from smtp_gateway.config.resource.words import SecretReference, matching
from smtp_gateway.config.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_NAMES = ("tls.key", "private.key")
"""Under what a Secret holds a private key: Kubernetes' name for one, which cert-manager uses too, and what other signers' guides call it."""
RECORD_NAME_LENGTH = 253
"""Characters of a DNS name without the dot at its end (RFC 1035 section 2.3.4)."""

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
SigningDomain = Annotated[
    str,
    Field(max_length=RECORD_NAME_LENGTH),
    matching(rf"^{_LABEL}(\.{_LABEL})+$", "must be a domain in lower case such as example.com"),
]
Selector = Annotated[
    str,
    Field(max_length=63),
    matching(rf"^{_LABEL}(\.{_LABEL})*$", "must be lower case letters, digits, dashes and dots, such as 2027a"),
]
"""RFC 6376 section 3.1."""


class Dkim(Model):
    """A key that signs the mail of one domain (DKIM, RFC 6376)."""

    domain: SigningDomain = Field(
        description="Mail whose From is in this domain is signed, and in domains beneath it, but for those with a nearer key. Every key of a domain signs."
    )
    selector: Selector = Field(description="Under which name the public key is published: SELECTOR._domainkey.DOMAIN.")
    key_ref: SecretReference = Field(
        description="Secret with the private key under tls.key or private.key, in PEM: RSA of 1024 to 4096 bits (2048 are recommended) or Ed25519."
    )


RECORD_NAME_RULE = Rule(
    f"size(self.domain) + size(self.selector) <= {RECORD_NAME_LENGTH - len('._domainkey.')}",
    "selector and domain are too long together for a DNS name",
    lambda key: len(signing_keys.record_name(key.domain, key.selector)) <= RECORD_NAME_LENGTH,
)


def key_secrets(keys: tuple[Dkim, ...]) -> tuple[str, ...]:
    """Return the names of the Secrets that hold *keys*, each once."""
    return tuple(dict.fromkeys(key.key_ref.name for key in keys))


def signing_key_in(secret: Mapping[str, Any]) -> SecretStr:
    """Return the private key in *secret*, a Secret object with base64 `data` or plain `stringData`.

    Raises `SecretContentError` when there is none, more than one, or one that cannot sign mail.
    """
    name, plain = secret["metadata"]["name"], secret.get("stringData") or {}
    encoded = (secret.get("data") or {}) | {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    found = [key for key in KEY_NAMES if encoded.get(key)]
    if len(found) != 1:
        message = f"Secret {name} has {'neither' if not found else 'both'} {KEY_NAMES[0]} {'nor' if not found else 'and'} {KEY_NAMES[1]}"
        raise SecretContentError(message)
    try:
        pem = base64.b64decode(encoded[found[0]], validate=True)
        signing_keys.read(pem)
    except signing_keys.SigningKeyError as error:
        message = f"Secret {name} cannot be used: the key under {found[0]} {error}"
        raise SecretContentError(message) from error
    except ValueError as error:
        message = f"Secret {name} cannot be used: {found[0]} is not Base64"
        raise SecretContentError(message) from error
    return SecretStr(pem.decode("ascii", "replace"))


def to_dkim(keys: tuple[Dkim, ...], secrets: Mapping[str, Mapping[str, Any]]) -> tuple[DkimKey, ...]:
    """Return what pods are told of *keys*, which are in *secrets* by their names. Raises `SecretContentError`."""
    found = {name: signing_key_in(secrets[name]) for name in key_secrets(keys)}
    return tuple(DkimKey(domain=key.domain, selector=key.selector, private_key=found[key.key_ref.name]) for key in keys)
