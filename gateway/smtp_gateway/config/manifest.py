"""A gateway from a manifest, without a cluster: the `SmtpGateway` of a YAML file, with Secrets beside it or in a folder.

The folder holds one sub-folder per Secret and in it one file per key, as a Secret is seen when it is mounted.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from smtp_gateway.config.certificate import Pair
from smtp_gateway.config.rendered import new_salt
from smtp_gateway.config.resource import (
    KIND,
    SecretContentError,
    SmtpGateway,
    configured,
    referenced_secrets,
)
from smtp_gateway.config.sentences import sentence_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from smtp_gateway.config.model import Config

Object = dict[str, Any]


class ManifestError(Exception):
    """The manifest is not a gateway that can start; the message says what is wrong, and where."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a manifest asks for."""

    config: Config
    certificate: Pair | None
    """The pair of `spec.tls.secretName`; None when the manifest names none."""
    additional: Pair | None = None
    """The pair of `spec.tls.additionalSecretName`, as above."""


def load(path: Path, secrets: Path | None = None) -> Loaded:
    """Return the gateway that the file *path* describes, with Secrets from the same file, else from the folder *secrets*.

    Raises `ManifestError`.
    """
    objects = _objects(path)
    gateways = [one for one in objects if one.get("kind") == KIND]
    if len(gateways) != 1:
        message = f"{path} must hold exactly one {KIND}; it holds {len(gateways)}"
        raise ManifestError(message)
    known = (_folder_secrets(secrets) if secrets else {}) | _by_name(objects)
    try:
        gateway = SmtpGateway.model_validate(gateways[0])
        config = configured(gateway, {name: _named(name, known) for name in referenced_secrets(gateway)})
        tls = gateway.spec.tls
        # There is no cert-manager without a cluster.
        brought = (tls.secret_name, tls.additional_secret_name) if tls else (None, None)
        return Loaded(config.model_copy(update={"salt": new_salt()}), *(_pair(name, known) for name in brought))
    except ValidationError as error:
        message = f"{path}: {sentence_of(error)}"
        raise ManifestError(message) from error
    except SecretContentError as error:
        message = f"{path}: {error}"
        raise ManifestError(message) from error


def _objects(path: Path) -> list[Object]:
    try:
        with path.open("rb") as file:
            documents = list(yaml.safe_load_all(file))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise ManifestError(message) from error
    except yaml.YAMLError as error:
        message = f"{path} is not YAML: {' '.join(str(error).split())}"
        raise ManifestError(message) from error
    return [one for one in documents if isinstance(one, dict)]


def _by_name(objects: Iterable[Object]) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects if one.get("kind") == "Secret"}


def _folder_secrets(folder: Path) -> dict[str, Object]:
    """Read a folder as Secrets; names that begin with a dot are the kubelet's own."""
    if not folder.is_dir():
        message = f"{folder} is not a folder of Secrets"
        raise ManifestError(message)
    return {
        each.name: {
            "metadata": {"name": each.name},
            "data": {key.name: base64.b64encode(key.read_bytes()).decode() for key in sorted(each.iterdir()) if _is_key(key)},
        }
        for each in sorted(folder.iterdir())
        if each.is_dir() and not each.name.startswith(".")
    }


def _is_key(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _named(name: str, known: Mapping[str, Object]) -> Object:
    if name not in known:
        message = f"Secret {name} is missing: put it into the manifest, or name a folder that holds it with --secrets"
        raise ManifestError(message)
    return known[name]


def _pair(name: str | None, known: Mapping[str, Object]) -> Pair | None:
    if name is None:
        return None
    secret = _named(name, known)
    plain = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
    plain |= {key: value.encode() for key, value in (secret.get("stringData") or {}).items()}
    if not plain.get("tls.crt") or not plain.get("tls.key"):
        message = f"Secret {name} has no tls.crt or no tls.key"
        raise ManifestError(message)
    return Pair(plain["tls.crt"], plain["tls.key"])
