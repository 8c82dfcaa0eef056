"""What a gateway refers to: Secrets of its own namespace, read by name.

What can go wrong is told as one `UnresolvedError` that names every Secret in question, and never what is in one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from smtp_gateway_operator.cluster.api import CERTIFICATE, SECRET, ForbiddenError, Object, Ref
from smtp_gateway_operator.names import TLS_CERTIFICATE, TLS_KEY, Key, brought_secrets
from smtp_gateway_operator.spec import Config, SameLoginError, SecretContentError, SmtpGateway, configured, referenced_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway_operator.cluster.api import Cluster


class UnresolvedError(Exception):
    """A Secret is missing, may not be read, or does not hold what it should."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the *reason* in one word beside the *message*."""
        super().__init__(message)
        self.reason = reason


async def config(cluster: Cluster, gateway: SmtpGateway, requested: Object | None = None) -> Config:
    """Return the gateway's configuration with what its Secrets hold, and check that its certificates are there.

    *requested* is the Certificate that cert-manager was asked for, if it was: it says why there is no Secret yet. Raises `UnresolvedError`,
    and pydantic's `ValidationError` when parts of the resource contradict each other.
    """
    namespace, certificates = gateway.metadata.namespace, brought_secrets(gateway.metadata.name, gateway.spec.tls)
    named = dict.fromkeys((*referenced_secrets(gateway), *certificates))
    cluster.refer(Key(namespace, gateway.metadata.name), [Ref(SECRET, namespace, name) for name in named])
    if requested is not None:
        await _check_issued(cluster, requested)
    secrets = await _read(cluster, namespace, named)
    for name in certificates:
        _check_certificate(secrets[name])
    try:
        return configured(gateway, secrets)
    except SecretContentError as error:
        reason = "LoginsConflict" if isinstance(error, SameLoginError) else "SecretInvalid"
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
