"""One idempotent reconcile: whatever happened, look at the gateway, bring about what it asks for, and say how it stands.

Nothing is remembered but what saves work. Every failure ends in one of two ways: what a person has to know becomes a condition, and
what is the API server's mood of the moment is tried again later. Children stay as they are while the resource is not valid or a
Secret that it names is missing: a smaller configuration would lock applications out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError

from smtp_gateway_operator import desired, issuing, names
from smtp_gateway_operator.cluster import references
from smtp_gateway_operator.cluster.api import (
    GATEWAY,
    POD,
    SECRET,
    STATEFUL_SET,
    ClusterError,
    ForbiddenError,
    Ref,
    RejectedError,
    UnavailableError,
    ref_of,
)
from smtp_gateway_operator.cluster.children import Children, OwnershipError, PredecessorError, controls
from smtp_gateway_operator.names import Key, Owner
from smtp_gateway_operator.spec import ConfigTooLargeError, SmtpGateway, login_secrets, sentence_of, to_config
from smtp_gateway_operator.status.conditions import CONFIG_VALID, PROGRESSING, REFERENCES_RESOLVED, Findings, Problem, status_of
from smtp_gateway_operator.status.rollout import Rollout, rollout_of
from smtp_gateway_operator.status.transitions import NORMAL, Transition, event_of, transitions
from smtp_gateway_operator.workqueue import PutOffError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from smtp_gateway_operator.cluster.api import Cluster, Object
    from smtp_gateway_operator.cluster.children import Live
    from smtp_gateway_operator.desired import Images
    from smtp_gateway_operator.metrics import Metrics

PAUSED = "Paused"


class PausedError(Exception):
    """The resource says that nothing is to be changed for now."""


_CAUSES: dict[type[Exception], tuple[str, str]] = {
    ValidationError: (CONFIG_VALID, "Invalid"),
    ConfigTooLargeError: (CONFIG_VALID, "TooLarge"),
    references.UnresolvedError: (REFERENCES_RESOLVED, "Unresolved"),
    issuing.AuthorityDamagedError: (PROGRESSING, "AuthorityDamaged"),
    OwnershipError: (PROGRESSING, "OwnershipConflict"),
    PausedError: (PROGRESSING, PAUSED),
    PredecessorError: (PROGRESSING, "WaitingForDeletion"),
    ForbiddenError: (PROGRESSING, "Forbidden"),
    RejectedError: (PROGRESSING, "Rejected"),
}
"""What a person has to know: the condition that each error makes untrue, and the reason. Any other error is tried again later."""


class Reconciler:
    """Reconciles gateways, one key at a call."""

    def __init__(self, cluster: Cluster, images: Images, metrics: Metrics, now: Callable[[], datetime]) -> None:
        """Use *cluster*; *now* tells the time, aware."""
        self._cluster = cluster
        self._images = images
        self._metrics = metrics
        self._now = now
        self._children = Children(cluster, self._made_anew)
        self._log = structlog.get_logger()

    async def __call__(self, key: Key) -> bool:
        """Reconcile the gateway. Returns whether to try again later; raises `PutOffError` when the API server said how much later."""
        try:
            with self._metrics.timed():
                return await self._reconcile(key)
        except ClusterError as error:
            self._log.warning("reconcile put off", gateway=str(key), error=f"{type(error).__name__}: {error}")
            if isinstance(error, UnavailableError) and error.retry_after:
                raise PutOffError(error.retry_after) from error
            return True

    async def _reconcile(self, key: Key) -> bool:
        body = await self._cluster.get(Ref(GATEWAY, key.namespace, key.name))
        if body is None or body["metadata"].get("deletionTimestamp"):
            return self._forget(key)
        owner = Owner(key.namespace, key.name, body["metadata"]["uid"])
        live = await self._children.live(owner)
        gateway, problem = await self._brought_about(body, owner, live)
        rollout = await self._rollout(owner, gateway, live)
        found = Findings(body["metadata"]["generation"], rollout, problem)
        listeners = gateway.spec.listeners if gateway else None
        await self._publish(body, status_of(key, listeners, found, body.get("status") or {}, self._now()))
        self._metrics.observed(key, Counter(ref.kind.name for ref in live), ready=problem is None and rollout.settled)
        return problem is not None and problem.condition != CONFIG_VALID and problem.reason != PAUSED

    async def _brought_about(self, body: Object, owner: Owner, live: Live) -> tuple[SmtpGateway | None, Problem | None]:
        """Bring about what the resource asks for, as far as possible; return it as understood, and what was in the way."""
        gateway = None
        try:
            gateway = SmtpGateway.model_validate(body)
            _check_paused(gateway)
            config = to_config(gateway, await references.logins(self._cluster, gateway))
            children = desired.children(gateway, config, self._images)
            wanted = [*await self._certificates(gateway, owner, live), *children]
            for one in wanted:
                live[ref_of(one)] = await self._children.bring_about(owner, one, live)
            await self._children.prune(live, wanted, _kept(gateway))
        except tuple(_CAUSES) as error:
            return gateway, problem_of(error)
        return gateway, None

    async def _certificates(self, gateway: SmtpGateway, owner: Owner, live: Live) -> tuple[Object, ...]:
        """Return the Secrets of the authority and of the listeners' certificate; none when the user brings one."""
        if gateway.spec.tls:
            return ()
        now = self._now()
        authority = issuing.authority(owner, await self._own_secret(owner, names.authority_secret(owner.name), live), now)
        present = await self._own_secret(owner, names.leaf_secret(owner.name), live)
        return authority, issuing.leaf(owner, gateway.spec.hostname, (authority, present), now)

    async def _own_secret(self, owner: Owner, name: str, live: Live) -> Object | None:
        """Return a Secret of the gateway's own, asking by name when the labels did not find it: it must not be made anew for that."""
        ref = Ref(SECRET, owner.namespace, name)
        present = live.get(ref) or await self._cluster.get(ref)
        return present if present is not None and controls(owner, present) else None

    async def _rollout(self, owner: Owner, gateway: SmtpGateway | None, live: Live) -> Rollout:
        """Return how far the pods are; they are only asked themselves when something is missing."""
        workload = live.get(Ref(STATEFUL_SET, owner.namespace, owner.name))
        wanted = gateway.spec.replicas if gateway else _replicas(workload)
        rollout = rollout_of(wanted, workload, ())
        if rollout.settled or workload is None:
            return rollout
        return rollout_of(wanted, workload, await self._cluster.list(POD, owner.namespace, names.children_selector(owner.name)))

    async def _made_anew(self, owner: Owner, message: str) -> None:
        body = await self._cluster.get(Ref(GATEWAY, owner.namespace, owner.name))
        if body is not None:
            await self._cluster.record_event(event_of(body, Transition(NORMAL, "MadeAnew", message), self._now()))

    async def _publish(self, body: Object, status: Object) -> None:
        """Write the status if it says anything new, and tell what changed."""
        previous = body.get("status") or {}
        if all(previous.get(field) == value for field, value in status.items()):
            return
        await self._cluster.patch_status(ref_of(body), status)
        for transition in transitions(previous, status):
            self._log.info("transition", gateway=f"{body['metadata']['namespace']}/{body['metadata']['name']}", reason=transition.reason)
            await self._cluster.record_event(event_of(body, transition, self._now()))

    def _forget(self, key: Key) -> bool:
        """Drop what is remembered of a gateway that is gone; the garbage collector takes its children."""
        self._children.forget(key)
        self._metrics.gone(key)
        return False


def problem_of(error: Exception) -> Problem:
    """Return what a person has to know of *error*, which is one of those that become conditions."""
    condition, reason = next(cause for kind, cause in _CAUSES.items() if isinstance(error, kind))
    message = sentence_of(error) if isinstance(error, ValidationError) else str(error)
    if isinstance(error, references.UnresolvedError):
        reason = error.reason
    return Problem(condition, reason, message, passing=isinstance(error, PredecessorError))


def _check_paused(gateway: SmtpGateway) -> None:
    if gateway.spec.paused:
        message = "spec.paused is true: nothing is changed, and no certificate renewed"
        raise PausedError(message)


def _kept(gateway: SmtpGateway) -> set[str]:
    """Return the names of Secrets that are never pruned: the user's, and the authority, which clients were told to trust."""
    certificate = {gateway.spec.tls.secret_name} if gateway.spec.tls else set()
    return {names.authority_secret(gateway.metadata.name), *login_secrets(gateway)} | certificate


def _replicas(workload: Any) -> int:
    return int(workload["spec"].get("replicas", 1)) if workload else 0
