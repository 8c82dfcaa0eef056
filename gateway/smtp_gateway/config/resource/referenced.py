"""The Secrets that a resource names, and the configuration that it becomes with what they hold.

Whoever reads Secrets, from a cluster or from files, reads those of `referenced_secrets` and hands them to `configured`. A new kind of
reference is a line in both. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from smtp_gateway.config import model
from smtp_gateway.config.resource.granting import CREDENTIAL_KEYS, grants, token_credentials
from smtp_gateway.config.resource.identifying import client_certificate_of
from smtp_gateway.config.resource.signing import key_secrets, to_dkim
from smtp_gateway.config.resource.translation import (
    Held,
    SecretContentError,
    authority_in,
    authority_secret,
    login_secrets,
    logins_of,
    to_config,
    values_of,
)
from smtp_gateway.config.sentences import sentence_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from smtp_gateway.config.resource.gateway import SmtpGateway
    from smtp_gateway.config.resource.routes import Smarthost
    from smtp_gateway.config.resource.words import SecretReference

Object = dict[str, Any]


class SameLoginError(SecretContentError):
    """Two Secrets hold the same login: which password is right would depend on their order. The login itself is not told."""


def referenced_secrets(gateway: SmtpGateway) -> tuple[str, ...]:
    """Return the names of the Secrets whose contents the gateway's configuration is made of, each once."""
    authority = authority_secret(gateway)
    clients = () if authority is None else (authority,)
    hops = _smarthosts(gateway)
    shown = (reference for hop in hops for reference in (hop.credentials_ref, hop.client_certificate_ref, hop.authority_ref))
    return tuple(dict.fromkeys((*login_secrets(gateway), *clients, *_names(shown), *key_secrets(gateway.spec.dkim))))


def configured(gateway: SmtpGateway, secrets: Mapping[str, Object]) -> model.Config:
    """Return what the pods of *gateway* are told, given *secrets* by name: those of `referenced_secrets` at least.

    Raises `SecretContentError`, and pydantic's `ValidationError` when the parts contradict each other.
    """
    logins = _distinct([login for name in login_secrets(gateway) for login in logins_of(secrets[name])])
    authority = authority_secret(gateway)
    hops = _smarthosts(gateway)
    held = Held(
        credentials={name: credentials_of(secrets[name]) for name in _names(hop.credentials_ref for hop in hops)},
        certificates={name: client_certificate_of(secrets[name]) for name in _names(hop.client_certificate_ref for hop in hops)},
        authorities={name: authority_in(secrets[name]) for name in _names(hop.authority_ref for hop in hops)},
        dkim=to_dkim(gateway.spec.dkim, secrets),
    )
    return to_config(gateway, logins, None if authority is None else authority_in(secrets[authority]), held)


def credentials_of(secret: Object) -> model.Credentials:
    """Return what the gateway authenticates by at smarthosts that name *secret*, a Secret object as `logins_of` takes it.

    Raises `SecretContentError` for values that no smarthost could be told.
    """
    name, values = secret["metadata"]["name"], values_of(secret, CREDENTIAL_KEYS)
    try:
        return token_credentials(name, values) if grants(name, values) else _password_credentials(name, values)
    except ValidationError as error:
        message = f"Secret {name} cannot be used for a smarthost: {sentence_of(error)}"
        raise SecretContentError(message) from error


def _password_credentials(name: str, values: Mapping[str, str]) -> model.PasswordCredentials:
    missing = [key for key in ("username", "password") if key not in values]
    if missing:
        message = f"Secret {name} has no {' and no '.join(missing)}, which a smarthost's credentials need"
        raise SecretContentError(message)
    username, password = (SecretStr(values[key]) for key in ("username", "password"))
    return model.PasswordCredentials(identity=name, username=username, password=password)


def _smarthosts(gateway: SmtpGateway) -> list[Smarthost]:
    return [hop for route in gateway.spec.routes for hop in route.smarthosts]


def _names(references: Iterable[SecretReference | None]) -> tuple[str, ...]:
    """Return the names in *references*, each once."""
    return tuple(dict.fromkeys(reference.name for reference in references if reference is not None))


def _distinct(found: Sequence[model.Login]) -> Sequence[model.Login]:
    owners: dict[str, str] = {}
    for login in found:
        other = owners.setdefault(login.login, login.identity)
        if other != login.identity:
            message = f"Secrets {other} and {login.identity} hold the same login"
            raise SameLoginError(message)
    return found
