"""The port to the Kubernetes API: plain dicts in and out, five kinds of failure.

Two implementations live behind it, `kube` and its twin `memory`; one contract test holds for both. Writes are safe to repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from smtp_gateway_operator.spec import API_VERSION, KIND, PLURAL

if TYPE_CHECKING:
    from collections.abc import Mapping

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object as its JSON says it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of namespaced object, and where the API serves it."""

    api_version: str
    name: str
    plural: str

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]


GATEWAY = Kind(API_VERSION, KIND, PLURAL)
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
SERVICE = Kind("v1", "Service", "services")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
POD = Kind("v1", "Pod", "pods")
VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
EVENT = Kind("v1", "Event", "events")

CHILD_KINDS = (SERVICE_ACCOUNT, SECRET, SERVICE, DISRUPTION_BUDGET, STATEFUL_SET)
"""The kinds that the operator makes."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Which object."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return what a person calls the object."""
        return f"{self.kind.name} {self.name}"


KINDS = {(kind.api_version, kind.name): kind for kind in (GATEWAY, *CHILD_KINDS, POD, VOLUME_CLAIM, EVENT)}


def ref_of(body: Object) -> Ref:
    """Return which object *body* is."""
    return Ref(KINDS[body["apiVersion"], body["kind"]], body["metadata"]["namespace"], body["metadata"]["name"])


class ClusterError(Exception):
    """The API server did not do what was asked; the message is its own, without headers."""


class UnavailableError(ClusterError):
    """Nothing is known about the outcome, or it is too early: connection failures, timeouts, 401, 429, 5yz. Worth trying again."""


class ConflictError(ClusterError):
    """The object exists already, or is not the one that was meant (409). Worth reading again."""


class NotFoundError(ClusterError):
    """There is no such object to change, or no such namespace or kind to create it in (404)."""


class ForbiddenError(ClusterError):
    """The operator may not do this, or a quota or policy speaks against it (403)."""


class RejectedError(ClusterError):
    """The object is not valid (400, 422), or a field of it cannot be changed."""


class Cluster(Protocol):
    """What the operator asks of the Kubernetes API. Every call raises a `ClusterError` when it fails, unless it says otherwise."""

    async def get(self, ref: Ref) -> Object | None:
        """Return the object, or None when there is none."""

    async def list(self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None) -> tuple[Object, ...]:
        """Return the objects of *kind* that carry all *labels*, in *namespace* or, when None, in all of them."""

    async def create(self, body: Object) -> Object:
        """Create the object and return it as stored. Raises `ConflictError` when the name is taken."""

    async def apply(self, body: Object) -> Object:
        """Make the fields of *body* those of an existing object, taking them from whoever set them, and return it as stored.

        Fields that were applied before and are gone from *body* are removed; fields of others stay. *body* names the object's uid;
        raises `ConflictError` when the object is another one by now, or gone. Changes nothing when nothing differs.
        """

    async def patch(self, ref: Ref, body: Object) -> Object:
        """Merge *body* into the object (RFC 7386) and return it. Raises `ConflictError` when *body* names another uid or version."""

    async def delete(self, ref: Ref, uid: str) -> None:
        """Delete the object if it is still the one with *uid*, its dependants in the background; return quietly if it is gone."""

    async def patch_status(self, ref: Ref, status: Object) -> None:
        """Merge *status* into the object's status (RFC 7386)."""

    async def record_event(self, event: Object) -> None:
        """Write down an Event. A failure is logged and never raised: an Event is a courtesy."""
