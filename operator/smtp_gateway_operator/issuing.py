"""Certificates: a small authority per gateway; signed by it the pods' admin certificate, and the listeners' when the user brings none.

The authority is made once and never overwritten, because clients were told to trust it. What it signed is renewed after two thirds of
its life, when its names change, and when the authority is another one. The decision is pure; only the keys are random.

What can go wrong: an authority that cannot be read any more is reported (`AuthorityDamagedError`) and left alone. Deleting its
Secret makes a new one, and clients must then trust that.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from smtp_gateway.config.certificate import Pair, issue, names_of, new_authority, renewal_due
from smtp_gateway_operator import names
from smtp_gateway_operator.names import TLS_CERTIFICATE, TLS_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from smtp_gateway_operator.names import Owner

AUTHORITY = "ca.crt"
"""Where clients of the namespace find what to trust; the key's name is the one that cert-manager uses."""


class AuthorityDamagedError(Exception):
    """The Secret of the gateway's authority holds no usable certificate and key; the message names it."""


def authority(owner: Owner, live: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
    """Return the Secret of the gateway's authority: with what *live* holds, or a new one when there is none.

    Raises `AuthorityDamagedError`.
    """
    if live is None:
        pair = new_authority(f"{owner.name}.{owner.namespace} SMTP gateway", now)
        return _secret(owner, names.authority_secret(owner.name), _files(pair))
    return _secret(owner, names.authority_secret(owner.name), _files(pair_of(live)))


def leaf(owner: Owner, hostname: str, secrets: tuple[Mapping[str, Any], Mapping[str, Any] | None], now: datetime) -> dict[str, Any]:
    """Return the Secret of the listeners' certificate, given the *secrets* of the authority and of the present one, if any.

    Raises `AuthorityDamagedError` when a new certificate is due and the authority cannot sign it.
    """
    return _secret(owner, names.leaf_secret(owner.name), _current(server_names(owner, hostname), secrets, now))


def admin(owner: Owner, secrets: tuple[Mapping[str, Any], Mapping[str, Any] | None], now: datetime) -> dict[str, Any]:
    """Return the Secret of the pods' admin certificate, good for each pod's own name; like `leaf` otherwise."""
    return _secret(owner, names.admin_secret(owner.name), _current((names.pod_address(owner, "*"),), secrets, now))


def server_names(owner: Owner, hostname: str) -> tuple[str, ...]:
    """Return every name under which a client of the cluster, or of *hostname*, may reach the gateway or one of its pods."""
    service, pods = f"{owner.name}.{owner.namespace}", f"{names.pods_service(owner.name)}.{owner.namespace}"
    forms = (hostname, owner.name, service, f"{service}.svc", f"{service}.svc.cluster.local")
    return tuple(dict.fromkeys((*forms, f"*.{pods}.svc", f"*.{pods}.svc.cluster.local")))


def pair_of(secret: Mapping[str, Any]) -> Pair:
    """Return the certificate and key in *secret*. Raises `AuthorityDamagedError` when one is missing or not base64."""
    data = secret.get("data") or {}
    try:
        return Pair(base64.b64decode(data[TLS_CERTIFICATE], validate=True), base64.b64decode(data[TLS_KEY], validate=True))
    except (KeyError, binascii.Error) as error:
        message = f"Secret {secret['metadata']['name']} does not hold {TLS_CERTIFICATE} and {TLS_KEY}"
        raise AuthorityDamagedError(message) from error


def _current(wanted: tuple[str, ...], secrets: tuple[Mapping[str, Any], Mapping[str, Any] | None], now: datetime) -> dict[str, bytes]:
    """Return the files of a certificate for the names *wanted*: the present one, or a new one when that is due."""
    signer, live = secrets
    trusted = pair_of(signer)
    keep = live is not None and not _due(live, trusted, wanted, now)
    pair = pair_of(live) if live is not None and keep else _issued(trusted, wanted, now, signer)
    return _files(pair) | {AUTHORITY: trusted.certificate}


def _due(live: Mapping[str, Any], trusted: Pair, wanted: tuple[str, ...], now: datetime) -> bool:
    data = live.get("data") or {}
    if data.get(AUTHORITY) != base64.b64encode(trusted.certificate).decode():
        return True
    try:
        pair = pair_of(live)
    except AuthorityDamagedError:
        return True
    return renewal_due(pair, now) or names_of(pair) != wanted


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
