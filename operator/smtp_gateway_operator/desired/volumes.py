"""What pods mount: the configuration's shards in one folder, the certificates, the queue, and room for temporary files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names
from smtp_gateway_operator.spec import MAX_SHARDS

if TYPE_CHECKING:
    from smtp_gateway_operator.names import Owner
    from smtp_gateway_operator.spec import Spec

CONFIG_FOLDER = "/etc/smtp-gateway/config"
TLS_FOLDER = "/etc/smtp-gateway/tls"
ADMIN_FOLDER = "/etc/smtp-gateway/admin"
SPOOL_FOLDER = "/var/spool/smtp-gateway"
TEMPORARY = "tmp"
"""The volume for temporary files and the socket of the queue commands; mail is never in it."""
SECRET_MODE = 0o440
"""For the owner root and the pod's group: the user of the container can read secrets, and nobody can write them."""


def mounts() -> list[dict[str, Any]]:
    """Return the container's mounts."""
    return [
        {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
        {"name": "tls", "mountPath": TLS_FOLDER, "readOnly": True},
        {"name": "admin", "mountPath": ADMIN_FOLDER, "readOnly": True},
        {"name": names.CLAIM, "mountPath": SPOOL_FOLDER},
        {"name": TEMPORARY, "mountPath": "/tmp"},  # noqa: S108 a path inside the container, on a volume of its own
    ]


def volumes(owner: Owner, spec: Spec) -> list[dict[str, Any]]:
    """Return the pods' volumes but the queue, which is a claim."""
    return [
        {"name": "config", "projected": {"defaultMode": SECRET_MODE, "sources": _shards(owner)}},
        {"name": "tls", **_certificates(owner, spec)},
        {"name": "admin", "secret": {"secretName": names.admin_secret(owner.name), "defaultMode": SECRET_MODE}},
        {"name": TEMPORARY, "emptyDir": {"sizeLimit": "64Mi"}},
    ]


def _certificates(owner: Owner, spec: Spec) -> dict[str, Any]:
    """Return the source of the listeners' certificates: a Secret, or two in one folder, where the second's files have names of their own."""
    served = names.served_secret(owner.name, spec.tls)
    additional = spec.tls.additional_secret_name if spec.tls else None
    if additional is None:
        return {"secret": {"secretName": served, "defaultMode": SECRET_MODE}}
    items = [{"key": names.TLS_CERTIFICATE, "path": "additional.crt"}, {"key": names.TLS_KEY, "path": "additional.key"}]
    return {
        "projected": {
            "defaultMode": SECRET_MODE,
            "sources": [{"secret": {"name": served}}, {"secret": {"name": additional, "items": items}}],
        }
    }


def _shards(owner: Owner) -> list[dict[str, Any]]:
    """Name every shard that may ever exist, so that a growing configuration does not change the pod template."""
    return [
        {"secret": {"name": names.config_secret(owner.name, number)} | ({"optional": True} if number else {})}
        for number in range(MAX_SHARDS)
    ]


def claim_template(owner: Owner, spec: Spec) -> dict[str, Any]:
    """Return the claim of each pod's queue: one pod at a time, on any node, may hold it."""
    volume = spec.spool.volume
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": volume.size}},
        "volumeMode": "Filesystem",
    }
    if volume.storage_class_name is not None:
        claim["storageClassName"] = volume.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": names.CLAIM, "labels": names.pod_labels(owner.name)},
        "spec": claim,
    }
