"""Certificates: a small authority per gateway; signed by it the pods' admin certificate, and the listeners' when the user brings none.

The authority is made once and never overwritten, because clients were told to trust it; how another one follows it is told in
`smtp_gateway_operator.authority`. What it signed is renewed after two thirds of its life, when its names change, and when another
authority signs. The decision is pure; only the keys are random.

What can go wrong: an authority that cannot be read any more is reported (`AuthorityDamagedError`) and left alone. Deleting its
Secret makes a new one, and clients must then trust that.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from smtp_gateway.config.certificate import Pair, issue, names_of, new_authority, renewal_due, signed_by
from smtp_gateway_operator import names
from smtp_gateway_operator.authority import Authority, authority_in, rotated
from smtp_gateway_operator.names import AUTHORITY, TLS_CERTIFICATE, TLS_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from smtp_gateway_operator.names import Owner


class AuthorityDamagedError(Exception):
    """The Secret of the gateway's authority holds no usable certificate and key; the message names it."""


def authority(owner: Owner, live: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
    """Return the Secret of the gateway's authority: as *live* has it, a step of its succession further, or new when there is none.

    Raises `AuthorityDamagedError`.
    """

    def make() -> Pair:
        return new_authority(f"{owner.name}.{owner.namespace} SMTP gateway", now)

    present = Authority(make()) if live is None else rotated(authority_of(live), now, make)
    return _secret(owner, names.authority_secret(owner.name), present.files)


def leaf(owner: Owner, hostname: str, secrets: tuple[Mapping[str, Any], Mapping[str, Any] | None], now: datetime) -> dict[str, Any]:
    """Return the Secret of the listeners' certificate, given the *secrets* of the authority and of the present one, if any.

    Raises `AuthorityDamagedError` when a new certificate is due and the authority cannot sign it.
    """
    return _secret(owner, names.leaf_secret(owner.name), _current(server_names(owner, hostname), secrets, now))


def admin(owner: Owner, secrets: tuple[Mapping[str, Any], Mapping[str, Any] | None], now: datetime) -> dict[str, Any]:
    """Return the Secret of the pods' admin certificate, good for each pod's own name; like `leaf` otherwise."""
    return _secret(owner, names.admin_secret(owner.name), _current((names.pod_address(owner, "*"),), secrets, now))


def authority_of(secret: Mapping[str, Any]) -> Authority:
    """Return the authority in *secret*. Raises `AuthorityDamagedError` when the one that signs is missing, or anything is not base64."""
    try:
        return authority_in({name: base64.b64decode(value, validate=True) for name, value in (secret.get("data") or {}).items()})
    except (KeyError, binascii.Error) as error:
        raise _damaged(secret) from error


def server_names(owner: Owner, hostname: str) -> tuple[str, ...]:
    """Return every name under which a client of the cluster, or of *hostname*, may reach the gateway or one of its pods."""
    service, pods = f"{owner.name}.{owner.namespace}", f"{names.pods_service(owner.name)}.{owner.namespace}"
    forms = (hostname, owner.name, service, f"{service}.svc", f"{service}.svc.cluster.local")
    return tuple(dict.fromkeys((*forms, f"*.{pods}.svc", f"*.{pods}.svc.cluster.local")))


def hostname_in(secret: Mapping[str, Any] | None) -> str:
    """Return the hostname that the listeners' certificate in *secret* is for; nothing without one that can be read."""
    try:
        return next(iter(names_of(pair_of(secret))), "") if secret is not None else ""
    except AuthorityDamagedError:
        return ""


def pair_of(secret: Mapping[str, Any]) -> Pair:
    """Return the certificate and key in *secret*. Raises `AuthorityDamagedError` when one is missing or not base64."""
    data = secret.get("data") or {}
    try:
        return Pair(base64.b64decode(data[TLS_CERTIFICATE], validate=True), base64.b64decode(data[TLS_KEY], validate=True))
    except (KeyError, binascii.Error) as error:
        raise _damaged(secret) from error


def _damaged(secret: Mapping[str, Any]) -> AuthorityDamagedError:
    return AuthorityDamagedError(f"Secret {secret['metadata']['name']} does not hold {TLS_CERTIFICATE} and {TLS_KEY}")


def _current(wanted: tuple[str, ...], secrets: tuple[Mapping[str, Any], Mapping[str, Any] | None], now: datetime) -> dict[str, bytes]:
    """Return the files of a certificate for the names *wanted*: the present one, or a new one when that is due."""
    signer, live = secrets
    trusted = authority_of(signer)
    keep = live is not None and not _due(live, trusted.signer, wanted, now)
    pair = pair_of(live) if live is not None and keep else _issued(trusted.signer, wanted, now, signer)
    return _files(pair) | {AUTHORITY: trusted.bundle}


def _due(live: Mapping[str, Any], trusted: Pair, wanted: tuple[str, ...], now: datetime) -> bool:
    try:
        pair = pair_of(live)
    except AuthorityDamagedError:
        return True
    return renewal_due(pair, now) or names_of(pair) != wanted or not signed_by(pair.certificate, trusted.certificate)


def _issued(trusted: Pair, wanted: tuple[str, ...], now: datetime, signer: Mapping[str, Any]) -> Pair:
    try:
        return issue(trusted, wanted, now)
    except (ValueError, TypeError) as error:
        message = f"Secret {signer['metadata']['name']} does not hold a usable certificate authority"
        raise AuthorityDamagedError(message) from error


def _files(pair: Pair) -> dict[str, bytes]:
    return {TLS_CERTIFICATE: pair.certificate, TLS_KEY: pair.key}


def _secret(owner: Owner, name: str, files: dict[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": names.metadata(owner, name),
        "type": "kubernetes.io/tls",
        "data": {file: base64.b64encode(content).decode() for file, content in files.items()},
    }
