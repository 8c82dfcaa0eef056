"""The Certificate that cert-manager is asked for, as its API (cert-manager.io/v1) has it.

cert-manager writes what was issued into a Secret of its own, which pods mount as they mount a user's: a renewed certificate needs
neither the operator nor a restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names

if TYPE_CHECKING:
    from smtp_gateway_operator.names import Owner
    from smtp_gateway_operator.spec import Spec


def requested_certificates(owner: Owner, spec: Spec) -> tuple[dict[str, Any], ...]:
    """Return the Certificate when cert-manager is to issue the listeners'; nothing otherwise."""
    if spec.tls is None or spec.tls.cert_manager is None:
        return ()
    wanted = spec.tls.cert_manager
    certificate = {
        "secretName": names.requested_secret(owner.name),
        "dnsNames": list(dict.fromkeys((spec.hostname, *wanted.extra_dns_names))),
        "issuerRef": {"name": wanted.issuer_ref.name, "kind": wanted.issuer_ref.kind, "group": wanted.issuer_ref.group},
        # The handshake dominates a short session, and P-256 halves it; a new key with each renewal, as the operator's own have.
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "usages": ["digital signature", "server auth"],
    }
    return (
        {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": names.metadata(owner, owner.name), "spec": certificate},
    )
