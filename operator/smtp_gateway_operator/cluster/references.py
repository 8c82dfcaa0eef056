"""What a gateway refers to: Secrets of its own namespace, read by name.

What can go wrong is told as one `UnresolvedError` that names every Secret in question, and never what is in one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from smtp_gateway_operator.cluster.api import CERTIFICATE, SECRET, ForbiddenError, Object, Ref
from smtp_gateway_operator.names import TLS_CERTIFICATE, TLS_KEY, Key, brought_secrets
from smtp_gateway_operator.spec import Login, SecretContentError, SmtpGateway, authority_in, authority_secret, login_secrets, logins_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from smtp_gateway_operator.cluster.api import Cluster


class UnresolvedError(Exception):
    """A Secret is missing, may not be read, or does not hold what it should."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the *reason* in one word beside the *message*."""
        super().__init__(message)
        self.reason = reason


async def logins(cluster: Cluster, gateway: SmtpGateway, requested: Object | None = None) -> tuple[Login, ...]:
    """Return the gateway's logins, and check that its certificates are there. Raises `UnresolvedError`.

    *requested* is the Certificate that cert-manager was asked for, if it was: it says why there is no Secret yet.
    """
    certificates, authority = brought_secrets(gateway.metadata.name, gateway.spec.tls), authority_secret(gateway)
    clients = () if authority is None else (authority,)
    namespace, named = gateway.metadata.namespace, dict.fromkeys((*login_secrets(gateway), *certificates, *clients))
    cluster.refer(Key(namespace, gateway.metadata.name), [Ref(SECRET, namespace, name) for name in named])
    if requested is not None:
        await _check_issued(cluster, requested)
    secrets = await _read(cluster, namespace, named)
    for name in certificates:
        _check_certificate(secrets[name])
    return _distinct([login for name in login_secrets(gateway) for login in _logins_in(secrets[name])])


async def client_authority(cluster: Cluster, gateway: SmtpGateway) -> str | None:
    """Return the authority of clients' certificates, if they are asked for any. Raises `UnresolvedError`.

    Its Secret is one of those that `logins` refers to.
    """
    name = authority_secret(gateway)
    if name is None:
        return None
    secrets = await _read(cluster, gateway.metadata.namespace, {name: None})
    try:
        return authority_in(secrets[name])
    except SecretContentError as error:
        reason = "SecretInvalid"
        raise UnresolvedError(reason, str(error)) from error


async def _read(cluster: Cluster, namespace: str, names: Mapping[str, None]) -> dict[str, Object]:
    try:
        found = await asyncio.gather(*(cluster.get(Ref(SECRET, namespace, name)) for name in names))
    except ForbiddenError as error:
        reason = "SecretForbidden"
        raise UnresolvedError(reason, str(error)) from error
    secrets = dict(zip(names, found, strict=True))
    if missing := [name for name, secret in secrets.items() if secret is None]:
        reason = "SecretNotFound"
        message = f"{'Secret' if len(missing) == 1 else 'Secrets'} {', '.join(missing)} not found in namespace {namespace}"
        raise UnresolvedError(reason, message)
    return {name: secret for name, secret in secrets.items() if secret is not None}


async def _check_issued(cluster: Cluster, requested: Object) -> None:
    """Say what cert-manager says as long as it has written nothing."""
    metadata, name = requested["metadata"], requested["spec"]["secretName"]
    if await cluster.get(Ref(SECRET, metadata["namespace"], name)) is not None:
        return
    conditions = (requested.get("status") or {}).get("conditions") or []
    told = next((one.get("message", "") for one in conditions if one["type"] == "Ready"), "cert-manager has not looked at it yet")
    reason = "CertificatePending"
    message = f"Certificate {metadata['name']} is not issued: {told}"
    raise UnresolvedError(reason, message)


def unknown_kind() -> UnresolvedError:
    """Return what to tell when a Certificate is wanted where nobody issues them."""
    return UnresolvedError(
        "CertManagerAbsent",
        f"spec.tls.certManager needs cert-manager: the API server does not know {CERTIFICATE.name}s of {CERTIFICATE.group}",
    )


def _check_certificate(secret: Object) -> None:
    missing = [file for file in (TLS_CERTIFICATE, TLS_KEY) if not (secret.get("data") or {}).get(file)]
    if missing:
        reason = "SecretInvalid"
        message = f"Secret {secret['metadata']['name']} has no {' and no '.join(missing)}"
        raise UnresolvedError(reason, message)


def _logins_in(secret: Object) -> tuple[Login, ...]:
    try:
        return logins_of(secret)
    except SecretContentError as error:
        reason = "SecretInvalid"
        raise UnresolvedError(reason, str(error)) from error


def _distinct(found: Sequence[Login]) -> tuple[Login, ...]:
    """Refuse a login that two Secrets hold: which password is right would depend on their order. The login itself is not told."""
    owners: dict[str, str] = {}
    for login in found:
        other = owners.setdefault(login.login, login.identity)
        if other != login.identity:
            reason = "LoginsConflict"
            message = f"Secrets {other} and {login.identity} hold the same login"
            raise UnresolvedError(reason, message)
    return tuple(found)
