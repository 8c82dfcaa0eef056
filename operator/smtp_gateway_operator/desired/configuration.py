"""The configuration's Secrets: one per shard, all mounted into one folder of the pods.

Secrets and not ConfigMaps, because logins are in them.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names
from smtp_gateway_operator.spec import render

if TYPE_CHECKING:
    from smtp_gateway_operator.names import Owner
    from smtp_gateway_operator.spec import Config


def config_secrets(owner: Owner, config: Config) -> tuple[dict[str, Any], ...]:
    """Return the Secrets that hold *config*. Raises `ConfigTooLargeError` when it does not fit."""
    return tuple(_secret(owner, number, files) for number, files in enumerate(render(config)))


def _secret(owner: Owner, number: int, files: dict[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": names.metadata(owner, names.config_secret(owner.name, number)),
        "type": "Opaque",
        "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
    }
