"""Names: what every object of a gateway is called, the labels it carries, and who owns it.

Selector labels are few and never change, because a StatefulSet's selector cannot. The version is a label of objects but never of
pods or volume claims: pods would restart for it, and claim templates are immutable.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from smtp_gateway import __version__
from smtp_gateway.config.resource import API_VERSION, GROUP, KIND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway.config.resource import Tls

OPERATOR = "smtp-gateway-operator"
"""The value of `managed-by`, the field manager of server-side apply, and the source of Events."""
APPLICATION = "smtp-gateway"

NAME_LABEL = "app.kubernetes.io/name"
INSTANCE_LABEL = "app.kubernetes.io/instance"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
COMPONENT_LABEL = "app.kubernetes.io/component"
VERSION_LABEL = "app.kubernetes.io/version"

REFRESH_ANNOTATION = f"{GROUP}/refresh"
"""On a pod: any new value makes the kubelet look at the pod, and refresh its mounted configuration, at once."""

MESSAGES_ANNOTATION = f"{GROUP}/messages"
"""On a volume claim: how many messages its queue held when that was last known."""
DRAINED_ANNOTATION = f"{GROUP}/drained"
"""On a volume claim: "true" when its pod had nothing left when it went, "unknown" when it may hold mail."""
LET_GO_ANNOTATION = f"{GROUP}/let-go"
"""On a volume claim: "true" when somebody has decided that a scale-in is not to wait for its pod, whatever is on the volume."""
CONTAINER = "gateway"
"""The container of each pod that is ours; others may be injected."""
CLAIM = "spool"
"""The claim template of each pod's queue."""
METRICS_PORT = "http-metrics"
"""The name of the pods' port with metrics and probes."""

TLS_CERTIFICATE = "tls.crt"
TLS_KEY = "tls.key"
"""What a Secret of type kubernetes.io/tls holds."""
AUTHORITY = "ca.crt"
"""What clients find the authority's certificate under, in a Secret or a ConfigMap; the name that cert-manager uses."""


class Key(NamedTuple):
    """Which gateway: what the work queue deals in."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return the usual spelling of a namespaced name."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Owner:
    """The gateway that an object belongs to, as this very object: a namesake that is created later has another uid."""

    namespace: str
    name: str
    uid: str

    @property
    def key(self) -> Key:
        """The gateway's name, whichever object bears it."""
        return Key(self.namespace, self.name)


def pods_service(gateway: str) -> str:
    """Return the name of the headless Service that gives each pod a name."""
    return f"{gateway}-pods"


def config_secret(gateway: str, number: int) -> str:
    """Return the name of the Secret with shard *number* of the configuration."""
    return f"{gateway}-config-{number}"


def authority_secret(gateway: str) -> str:
    """Return the name of the Secret with the gateway's certificate authority, key included."""
    return f"{gateway}-ca"


def leaf_secret(gateway: str) -> str:
    """Return the name of the Secret with the listeners' certificate when the operator issues it."""
    return f"{gateway}-tls"


def admin_secret(gateway: str) -> str:
    """Return the name of the Secret with the certificate of the pods' admin port."""
    return f"{gateway}-admin"


def pod_address(owner: Owner, pod: str) -> str:
    """Return the DNS name of one pod, which its admin certificate is good for."""
    return f"{pod}.{pods_service(owner.name)}.{owner.namespace}.svc"


def requested_secret(gateway: str) -> str:
    """Return the name of the Secret that cert-manager writes the listeners' certificate to when it is asked for one.

    Another one than `leaf_secret`, which the operator owns: two writers of one Secret would undo each other's work.
    """
    return f"{gateway}-certificate"


def served_secret(gateway: str, tls: Tls | None) -> str:
    """Return the name of the Secret whose certificate the listeners show: the user's, cert-manager's, or the operator's own."""
    if tls is None or tls.issued:
        return leaf_secret(gateway)
    return requested_secret(gateway) if tls.secret_name is None else tls.secret_name


def brought_secrets(gateway: str, tls: Tls | None) -> tuple[str, ...]:
    """Return the names of the Secrets with certificates of the listeners that the operator does not make itself."""
    if tls is None:
        return ()
    served = () if tls.issued else (served_secret(gateway, tls),)
    return served if tls.additional_secret_name is None else (*served, tls.additional_secret_name)


def trust_bundle(gateway: str) -> str:
    """Return the name of the ConfigMap with the certificates of the gateway's authority, for clients to trust."""
    return f"{gateway}-ca"


def volume_claim(gateway: str, ordinal: int) -> str:
    """Return the name that the StatefulSet gives to the claim of a pod's queue."""
    return f"{CLAIM}-{gateway}-{ordinal}"


def ordinal(gateway: str, pod: str) -> int | None:
    """Return the number of a pod of the gateway's StatefulSet; None when it is none: one with the labels alone may be anybody's."""
    found = re.fullmatch(rf"{re.escape(gateway)}-([0-9]+)", pod)
    return int(found[1]) if found else None


def volume_ordinal(gateway: str, claim: str) -> int | None:
    """Return the number of the pod whose queue is on the volume of *claim*; None when it is none of the gateway's."""
    return ordinal(f"{CLAIM}-{gateway}", claim)


def selector(gateway: str) -> dict[str, str]:
    """Return the labels that select the gateway's pods."""
    return {INSTANCE_LABEL: gateway, NAME_LABEL: APPLICATION}


def pod_labels(gateway: str) -> dict[str, str]:
    """Return the labels of pods: they stay the same over versions of the operator."""
    return selector(gateway) | {COMPONENT_LABEL: "gateway", MANAGED_BY_LABEL: OPERATOR}


def children_selector(gateway: str) -> dict[str, str]:
    """Return the labels that select every object that the operator made for the gateway."""
    return {INSTANCE_LABEL: gateway, MANAGED_BY_LABEL: OPERATOR}


def metadata(owner: Owner, name: str) -> dict[str, Any]:
    """Return the metadata of a child: labels, and the owner with whose deletion it goes."""
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": pod_labels(owner.name) | {VERSION_LABEL: __version__},
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": owner.name,
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def hash_of(content: Mapping[str, Any]) -> str:
    """Return a hash of a JSON-like value that does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def short_hash(config_hash: str) -> str:
    """Return as much of a configuration's hash as is shown: enough to tell apart what one gateway ever had."""
    return config_hash[:12]
