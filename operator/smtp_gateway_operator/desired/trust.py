"""What clients are to trust when the operator issues the certificate: a ConfigMap, because there is no secret in it.

Whoever may read ConfigMaps of the namespace, or a tool that copies them to others, gets at it without the right to read Secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names

if TYPE_CHECKING:
    from smtp_gateway_operator.names import Owner


def trust_bundle(owner: Owner, certificates: bytes) -> dict[str, Any]:
    """Return the ConfigMap with the *certificates* (PEM) of the gateway's authorities, the one that signs first."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": names.metadata(owner, names.trust_bundle(owner.name)),
        "data": {names.AUTHORITY: certificates.decode("ascii")},
    }
