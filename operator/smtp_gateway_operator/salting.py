"""The salt of a gateway's configuration: random, made once, and kept where the passwords are.

The hash of the configuration is in the status, in logs and in metrics, so that everybody can see which one is in force. It covers the
passwords, or a changed one would not be seen to arrive. Without a salt, whoever can read the resource could try passwords against it.

The first of the configuration's Secrets keeps it. When that is gone the configuration gets another salt, and so another hash: it is
written and loaded once more, and nothing restarts.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from smtp_gateway_operator.spec import new_salt, salt_in

if TYPE_CHECKING:
    from smtp_gateway_operator.cluster.api import Object
    from smtp_gateway_operator.spec import Config


def salted(config: Config, present: Object | None) -> Config:
    """Return *config* with the salt that *present*, the first of its Secrets as it is now, keeps; with a new one when there is none."""
    return config.model_copy(update={"salt": salt_in(_files(present)) or new_salt()})


def _files(secret: Object | None) -> dict[str, bytes]:
    """Return what is in the Secret; nothing when that is damaged."""
    try:
        return {name: base64.b64decode(value) for name, value in ((secret or {}).get("data") or {}).items()}
    except binascii.Error:
        return {}
