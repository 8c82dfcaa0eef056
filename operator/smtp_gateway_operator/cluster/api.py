"""The port to the Kubernetes API: plain dicts in and out, and failures by what can be done about them.

Two implementations live behind it, `kube` and its twin `memory`; one contract test holds for both, and for `cache` in front of
either. Writes are safe to repeat. What is returned is the caller's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from smtp_gateway_operator.spec import API_VERSION, KIND, PLURAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from smtp_gateway_operator.names import Key

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
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
CERTIFICATE = Kind("cert-manager.io/v1", "Certificate", "certificates")
POD_MONITOR = Kind("monitoring.coreos.com/v1", "PodMonitor", "podmonitors")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
POD = Kind("v1", "Pod", "pods")
VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
EVENT = Kind("v1", "Event", "events")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
NODE = Kind("v1", "Node", "nodes")
"""The only kind without a namespace; listed, and never written."""

CHILD_KINDS = (SERVICE_ACCOUNT, SECRET, CONFIG_MAP, SERVICE, NETWORK_POLICY, DISRUPTION_BUDGET, STATEFUL_SET)
"""The kinds that the operator makes."""
WATCHED_KINDS = (*CHILD_KINDS, POD, VOLUME_CLAIM)
"""Kinds whose changes concern the gateway that their instance label names. Pods and claims are made by others, of a gateway's parts."""
OPTIONAL_KINDS = (CERTIFICATE, POD_MONITOR)
"""Kinds that it makes where the API server knows them. Nothing watches them: a watch of an unknown kind never begins."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Which object."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return what a person calls the object."""
        return f"{self.kind.name} {self.name}"


KINDS = {(kind.api_version, kind.name): kind for kind in (GATEWAY, *CHILD_KINDS, *OPTIONAL_KINDS, POD, VOLUME_CLAIM, EVENT, LEASE, NODE)}


def ref_of(body: Object) -> Ref:
    """Return which object *body* is."""
    return Ref(KINDS[body["apiVersion"], body["kind"]], body["metadata"]["namespace"], body["metadata"]["name"])


def version_of(body: Object) -> int:
    """Return the object's resource version as a number, see `number_of`."""
    return number_of(body["metadata"].get("resourceVersion", ""))


def number_of(version: str) -> int:
    """Return a resource version as a number that grows with every change, so that two can be compared.

    Kubernetes says that they can be (KEP 5504). 0, which is older than any, for a server that has versions of another kind.
    """
    return int(version) if version.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a list told: the objects, and the resource version of the moment at which they were so."""

    version: str
    objects: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class News:
    """What a watch told: an object as it is now, or as it was when it was deleted."""

    body: Object
    deleted: bool = False


class ClusterError(Exception):
    """The API server did not do what was asked; the message is its own, without headers."""


class UnavailableError(ClusterError):
    """Nothing is known about the outcome, or it is too early: connection failures, timeouts, 401, 429, 5yz. Worth trying again."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        """Keep the seconds that the server asked to be left alone (`Retry-After`, RFC 9110 section 10.2.3); 0 when it did not."""
        super().__init__(message)
        self.retry_after = retry_after


class ConflictError(ClusterError):
    """The object exists already, or is not the one that was meant (409). Worth reading again."""


class NotFoundError(ClusterError):
    """There is no such object to change, or no such namespace or kind to create it in (404)."""


class ForbiddenError(ClusterError):
    """The operator may not do this, or a quota or policy speaks against it (403)."""


class NamespaceTerminatingError(ClusterError):
    """The namespace is being deleted, with all that is in it: nothing can be made there any more (403)."""


class RejectedError(ClusterError):
    """The object is not valid (400, 422)."""


class ImmutableError(RejectedError):
    """A field of an existing object cannot be changed (422): only another object could have it so."""


class ExpiredError(UnavailableError):
    """The version to watch from is forgotten (410): the objects have to be listed anew."""


BACKGROUND = "Background"
ORPHAN = "Orphan"
"""What becomes of an object's dependants (`propagationPolicy`)."""


class Cluster(Protocol):
    """What the operator asks of the Kubernetes API. Every call raises a `ClusterError` when it fails, unless it says otherwise."""

    async def get(self, ref: Ref) -> Object | None:
        """Return the object, or None when there is none."""

    async def list(self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None) -> tuple[Object, ...]:
        """Return the objects of *kind* that carry all *labels*, in *namespace* or, when None, in all of them."""

    async def snapshot(self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None) -> Snapshot:
        """Return what `list` does, as the API server has it now and not as anybody remembers it."""

    async def create(self, body: Object) -> Object:
        """Create the object and return it as stored. Raises `ConflictError` when the name is taken."""

    async def apply(self, body: Object) -> Object:
        """Make the fields of *body* those of an existing object, taking them from whoever set them, and return it as stored.

        Fields that were applied before and are gone from *body* are removed; fields of others stay. *body* names the object's uid;
        raises `ConflictError` when the object is another one by now, or gone, and `ImmutableError` when a field cannot be changed.
        Changes nothing when nothing differs.
        """

    async def patch(self, ref: Ref, body: Object) -> Object:
        """Merge *body* into the object (RFC 7386) and return it. Raises `ConflictError` when *body* names another uid or version."""

    async def delete(self, ref: Ref, uid: str, dependants: str = BACKGROUND) -> None:
        """Delete the object if it is still the one with *uid*; return quietly if it is gone.

        Its *dependants* follow in the background, or stay as they are with `ORPHAN`.
        """

    async def patch_status(self, ref: Ref, status: Object) -> Object:
        """Merge *status* into the object's status (RFC 7386) and return the object as stored."""

    def refer(self, gateway: Key, refs: Iterable[Ref]) -> None:
        """Take note that *gateway* refers to these objects, and to no others any more. A cluster that can follows them."""

    async def record_event(self, event: Object) -> None:
        """Write down an Event. A failure is logged and never raised: an Event is a courtesy."""


class Watching(Protocol):
    """What it takes to follow one object. Every call raises a `ClusterError` when it fails."""

    async def snapshot_of(self, ref: Ref) -> Snapshot:
        """Return the object, if there is one, by a list of that name alone."""

    def watch(self, ref: Ref, version: str) -> AsyncIterator[News | str]:
        """Yield what becomes of the object after *version*: news of it, or only a version up to which there is none (a bookmark).

        Ends when the server ends it, which is its usual end. Raises `ExpiredError` when *version* is too old to go on from, and
        `UnavailableError` when nothing was heard for longer than bookmarks take.
        """
