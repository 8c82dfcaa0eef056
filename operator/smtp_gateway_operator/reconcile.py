"""One idempotent reconcile: whatever happened, look at the gateway, bring about what it asks for, ask its pods, and say how it stands.

Nothing is remembered but what saves work. Every failure ends in one of two ways: what a person has to know becomes a condition, and
what is the API server's mood of the moment is tried again later. Listeners that may relay for strangers are left out. Children stay as they are while the resource is not valid or a
Secret that it names is missing: a smaller configuration would lock applications out. Certificates of a gateway that is there are renewed
first, because those would expire over it.

A fleet shrinks only upon what its pods said just before: a look that finds that it may shrink reconciles once more, with what it heard.

Between two reconciles, when nothing happened, the pods alone are asked: that costs the API server nothing unless the answer is news.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from smtp_gateway_operator import desired, issuing, names, open_relay
from smtp_gateway_operator.asking import Asking, Question
from smtp_gateway_operator.cluster import references
from smtp_gateway_operator.cluster.api import (
    GATEWAY,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    ClusterError,
    ForbiddenError,
    NamespaceTerminatingError,
    NotFoundError,
    Ref,
    RejectedError,
    UnavailableError,
    ref_of,
)
from smtp_gateway_operator.cluster.children import Children, OwnershipError, PredecessorError, controls
from smtp_gateway_operator.cluster.nodes import Nodes
from smtp_gateway_operator.names import Key, Owner
from smtp_gateway_operator.publishing import Publishing
from smtp_gateway_operator.salting import salted
from smtp_gateway_operator.spec import ConfigTooLargeError, SmtpGateway, config_hash, referenced_secrets, sentence_of
from smtp_gateway_operator.status.catalogue import MADE_ANEW, NORMAL
from smtp_gateway_operator.status.conditions import Findings, Problem, is_ready, status_of
from smtp_gateway_operator.status.growing import Growth
from smtp_gateway_operator.status.reasons import CONFIG_VALID, PROGRESSING, REFERENCES_RESOLVED, Reason
from smtp_gateway_operator.status.rollout import Rollout, rollout_of
from smtp_gateway_operator.status.signing import records
from smtp_gateway_operator.status.transitions import Transition, event_of
from smtp_gateway_operator.stepping import Stepping, There
from smtp_gateway_operator.steps.growing import extents
from smtp_gateway_operator.workqueue import AwaitedError, Occasion, PutOffError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from smtp_gateway_operator.cluster.api import Cluster, Object
    from smtp_gateway_operator.cluster.children import Live
    from smtp_gateway_operator.desired import Images
    from smtp_gateway_operator.fleet.api import Fleet
    from smtp_gateway_operator.metrics import Metrics
    from smtp_gateway_operator.open_relay import Assessment
    from smtp_gateway_operator.status.signing import Records
    from smtp_gateway_operator.status.told import Told


class PausedError(Exception):
    """The resource says that nothing is to be changed for now."""


_CAUSES: dict[type[Exception], tuple[str, Reason]] = {
    ValidationError: (CONFIG_VALID, Reason.INVALID),
    ConfigTooLargeError: (CONFIG_VALID, Reason.TOO_LARGE),
    issuing.AuthorityDamagedError: (PROGRESSING, Reason.AUTHORITY_DAMAGED),
    OwnershipError: (PROGRESSING, Reason.OWNERSHIP_CONFLICT),
    PausedError: (PROGRESSING, Reason.PAUSED),
    PredecessorError: (PROGRESSING, Reason.WAITING_FOR_DELETION),
    ForbiddenError: (PROGRESSING, Reason.FORBIDDEN),
    RejectedError: (PROGRESSING, Reason.REJECTED),
}
"""What a person has to know: the condition that each error makes untrue, and the reason. An `UnresolvedError` has its own reason; any
other error is tried again later."""
_TOLD: tuple[type[Exception], ...] = (*_CAUSES, references.UnresolvedError)

AT_ONCE = 4
"""Gateways brought about at a time: each is some 30 ms of waiting for the API server, and somebody else wants to be served too."""
POLL = 15.0
"""Seconds between two looks at pods to which nothing happened."""
SOON = 1.0
"""Seconds before the first look after something happened; doubled with each further one, up to `POLL`."""
DRAINING = 3.0
"""The most while pods are to go when they are empty: nothing else tells when they are, and the fleet's next step waits for it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a reconciler works with."""

    cluster: Cluster
    fleet: Fleet
    now: Callable[[], datetime]
    """Tells the time, aware."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How far a gateway was brought about."""

    gateway: SmtpGateway | None
    """The resource as understood, without the listeners that are withheld."""
    relaying: Assessment | None
    """Which those are, and why; None when the resource is not understood."""
    config_hash: str = ""
    """Of its configuration, once that is in place."""
    problem: Problem | None = None
    """What was in the way."""
    records: Records | None = None
    """What is to be published of its keys; None when the configuration is not in place."""


@dataclass(slots=True)
class _Known:
    """What the last reconcile found: enough to ask the pods again."""

    body: Object
    gateway: SmtpGateway | None
    there: There
    rollout: Rollout
    problem: Problem | None
    question: Question
    relaying: Assessment | None
    records: Records | None
    looks: int = 0
    """How often the pods were asked since."""


class Reconciler:
    """Reconciles gateways, one key at a call."""

    def __init__(self, surroundings: Surroundings, images: Images, metrics: Metrics) -> None:
        """Work in *surroundings*, with pods of *images*. Call within a running event loop."""
        self._cluster = surroundings.cluster
        self._images = images
        self._metrics = metrics
        self._now = surroundings.now
        self._children = Children(self._cluster, self._made_anew)
        self._asking = Asking(surroundings.fleet, self._cluster, self._now)
        self._publishing = Publishing(self._cluster, self._now)
        self._stepping = Stepping(self._cluster, self._now)
        self._nodes = Nodes(self._cluster, self._now)
        self._known: dict[Key, _Known] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._log = structlog.get_logger()

    async def __call__(self, key: Key, occasion: Occasion = Occasion.NEWS) -> float | None:
        """Bring the gateway about, or on a mere look ask its pods. Returns the seconds until the next look; None when it has no pods.

        Raises `PutOffError` when it has to be tried again, having said why. In a namespace that is being deleted nothing is.
        """
        known = self._known.get(key)
        try:
            if occasion is Occasion.LOOK and known is not None:
                return await self._look(key, known, at_once=False)
            with self._metrics.timed((AwaitedError, NamespaceTerminatingError)):
                return await self._reconcile(key)
        except NamespaceTerminatingError:
            self._log.info("namespace is being deleted", gateway=str(key))
            return None
        except ClusterError as error:
            self._log.warning("reconcile put off", gateway=str(key), error=f"{type(error).__name__}: {error}")
            raise PutOffError(error.retry_after if isinstance(error, UnavailableError) else 0.0) from error

    async def _reconcile(self, key: Key, told: Told | None = None) -> float | None:
        """Bring the gateway about, given what its pods *told* if they were asked just before."""
        async with self._turns:
            known = await self._found(key, told)
        if known is None:
            return None
        following = await self._look(key, known, at_once=True, may_step=told is None)
        if known.problem is not None and known.problem.condition != CONFIG_VALID and known.problem.reason != Reason.PAUSED:
            raise AwaitedError if known.problem.awaited else PutOffError
        return following

    async def _found(self, key: Key, told: Told | None) -> _Known | None:
        """Bring the gateway about, and return what is to be asked of its pods; None when it is gone."""
        body = await self._cluster.get(Ref(GATEWAY, key.namespace, key.name))
        if body is None or body["metadata"].get("deletionTimestamp"):
            self._forget(key)
            return None
        owner = Owner(key.namespace, key.name, body["metadata"]["uid"])
        live = await self._children.live(owner)
        workload = await self._own(owner, Ref(STATEFUL_SET, owner.namespace, owner.name), live)
        there = await self._stepping.there(owner, live, workload, told)
        outcome = await self._brought_about(body, owner, there)
        gateway, problem = outcome.gateway, outcome.problem
        claims = there.claims or await self._stepping.claims(owner)
        rollout = rollout_of(gateway.spec.replicas if gateway else there.size, there.workload, there.pods, claims.values())
        self._metrics.observed(key, Counter(ref.kind.name for ref in live), ready=is_ready(body.get("status") or {}))
        if outcome.config_hash:
            self._metrics.configured(key, body["metadata"]["generation"], outcome.config_hash)
        question = _question(gateway, there, outcome.config_hash)
        known = _Known(body, gateway, there, rollout, problem, question, outcome.relaying, outcome.records)
        self._known[key] = known
        return known

    async def _look(self, key: Key, known: _Known, *, at_once: bool, may_step: bool = True) -> float | None:
        """Ask the pods, and say how the gateway stands, or reconcile if it *may_step* and can. Returns the seconds until the next look."""
        told = await self._asking.ask(known.question)
        wanted = known.gateway.spec.replicas if may_step and known.gateway and known.problem is None else None
        if await self._stepping.heard(known.there, told, wanted):
            return await self._reconcile(key, told)
        await self._say(key, known, told, at_once=at_once)
        known.looks += 1
        longest = DRAINING if known.rollout.draining else POLL
        return min(SOON * 2 ** min(known.looks - 1, 10), longest) if known.question.pods else None

    async def _say(self, key: Key, known: _Known, told: Told, *, at_once: bool) -> None:
        found = _findings(known, told, known.there.live.get(Ref(SERVICE, key.namespace, key.name)))
        listeners = known.gateway.spec.listeners if known.gateway else None
        previous = known.body.get("status") or {}
        status = status_of(key, listeners, found, previous, self._now())
        known.body["status"] = await self._publishing.publish(key, known.body, status, at_once=at_once)
        self._metrics.stands(key, ready=is_ready(known.body["status"]))

    async def _brought_about(self, body: Object, owner: Owner, there: There) -> _Outcome:
        """Bring about what the resource asks for, as far as possible."""
        gateway, relaying, live = None, None, there.live
        try:
            gateway = SmtpGateway.model_validate(body)
            relaying = await self._relaying(gateway)
            gateway = open_relay.exposed(gateway, relaying)
            _check_paused(gateway)
            replicas = gateway.spec.replicas
            if there.workload is not None:
                await self._renew(gateway, owner, live)
            requested = await self._requested(gateway, owner, live)
            config = await references.config(self._cluster, gateway, *requested)
            config = salted(config, await self._own_secret(owner, names.config_secret(owner.name, 0), live))
            config = await self._stepping.configured(config, replicas, there)
            children = desired.children(gateway, config, self._images, await self._stepping.step(config, replicas, there))
            wanted = [*await self._certificates(gateway, owner, live, gateway.spec.hostname), *children]
            for one in wanted:
                live[ref_of(one)] = await self._children.bring_about(owner, one, live)
            there.workload = live[Ref(STATEFUL_SET, owner.namespace, owner.name)]
            await self._stepping.grown(there, gateway.spec.spool.volume.size)
            monitors = desired.pod_monitors(owner, gateway.spec)
            for one in monitors:
                await self._children.offer(owner, one, live)
            await self._children.prune(live, [*requested, *wanted, *monitors], _kept(gateway))
        except _TOLD as error:
            return _Outcome(gateway, relaying, problem=problem_of(error))
        return _Outcome(gateway, relaying, config_hash(config), records=records(config.dkim))

    async def _relaying(self, gateway: SmtpGateway) -> Assessment:
        places = await self._nodes.places() if open_relay.asks_for_nodes(gateway.spec) else ()
        return open_relay.assess(gateway.spec, places)

    async def _requested(self, gateway: SmtpGateway, owner: Owner, live: Live) -> tuple[Object, ...]:
        """Return the Certificate that cert-manager is asked for, as stored, if it is to be asked. Raises `UnresolvedError`."""
        try:
            wanted = desired.requested_certificates(owner, gateway.spec)
            stored = [await self._children.bring_about(owner, one, live) for one in wanted]
        except NotFoundError as error:
            raise references.unknown_kind() from error
        return tuple(stored)

    async def _renew(self, gateway: SmtpGateway, owner: Owner, live: Live) -> None:
        """Renew what is due of the certificates, for the hostname that they have: another one comes with the configuration that says it."""
        present = await self._own_secret(owner, names.leaf_secret(owner.name), live)
        hostname = issuing.hostname_in(present) or gateway.spec.hostname
        for one in await self._certificates(gateway, owner, live, hostname):
            live[ref_of(one)] = await self._children.bring_about(owner, one, live)

    async def _certificates(self, gateway: SmtpGateway, owner: Owner, live: Live, hostname: str) -> tuple[Object, ...]:
        """Return the authority, the admin port's certificate, and unless the user brings one the listeners', with what clients are to trust."""
        now = self._now()
        authority = issuing.authority(owner, await self._own_secret(owner, names.authority_secret(owner.name), live), now)
        admin = issuing.admin(owner, (authority, await self._own_secret(owner, names.admin_secret(owner.name), live)), now)
        if not gateway.spec.certificate_issued:
            return authority, admin
        present = await self._own_secret(owner, names.leaf_secret(owner.name), live)
        bundle = desired.trust_bundle(owner, issuing.authority_of(authority).bundle)
        return authority, admin, bundle, issuing.leaf(owner, hostname, (authority, present), now)

    async def _own_secret(self, owner: Owner, name: str, live: Live) -> Object | None:
        """Return a Secret of the gateway's own, asking by name when the labels did not find it: it must not be made anew for that."""
        return await self._own(owner, Ref(SECRET, owner.namespace, name), live)

    async def _own(self, owner: Owner, ref: Ref, live: Live) -> Object | None:
        present = live.get(ref) or await self._cluster.get(ref)
        return present if present is not None and controls(owner, present) else None

    async def _made_anew(self, owner: Owner, message: str) -> None:
        body = await self._cluster.get(Ref(GATEWAY, owner.namespace, owner.name))
        if body is not None:
            await self._cluster.record_event(event_of(body, Transition(NORMAL, MADE_ANEW, message), self._now()))

    def _forget(self, key: Key) -> None:
        """Drop what is remembered of a gateway that is gone; the garbage collector takes its children."""
        self._known.pop(key, None)
        for one in (self._children, self._asking, self._publishing, self._stepping):
            one.forget(key)
        self._metrics.gone(key)


def problem_of(error: Exception) -> Problem:
    """Return what a person has to know of *error*, which is one of those that become conditions."""
    if isinstance(error, references.UnresolvedError):
        return Problem(REFERENCES_RESOLVED, Reason(error.reason), str(error))
    condition, reason = next(cause for kind, cause in _CAUSES.items() if isinstance(error, kind))
    message = sentence_of(error) if isinstance(error, ValidationError) else str(error)
    return Problem(condition, reason, message, passing=isinstance(error, PredecessorError))


def _question(gateway: SmtpGateway | None, there: There, config_hash: str) -> Question:
    """Return what to ask the pods of *gateway*, given what is *there* of it."""
    owner, live, pods = there.owner, there.live, there.pods
    try:
        authority = issuing.authority_of(live[Ref(SECRET, owner.namespace, names.authority_secret(owner.name))]).pair
    except (KeyError, issuing.AuthorityDamagedError):
        authority = None
    if gateway is None:
        return Question(owner, pods, authority, config_hash, None, issued=False)
    return Question(owner, pods, authority, config_hash, gateway.spec.routes, issued=gateway.spec.all_issued)


def _findings(known: _Known, told: Told, service: Object | None) -> Findings:
    """Return what one look found: what is *known*, and what the pods *told*."""
    growth, asleep, generation = _growth(known), known.there.asleep, known.body["metadata"]["generation"]
    return Findings(generation, known.rollout, known.problem, told, known.relaying, asleep, growth, service, known.records)


def _growth(known: _Known) -> Growth:
    """Return what is known of the sizes of the gateway's volumes, once everything else was brought about."""
    if known.gateway is None or known.problem is not None:
        return Growth()
    there = known.there
    return Growth(there.owner.name, known.gateway.spec.spool.volume.size, extents(there.claims, there.size), there.refused)


def _check_paused(gateway: SmtpGateway) -> None:
    if gateway.spec.paused:
        message = "spec.paused is true: nothing is changed, and no certificate renewed"
        raise PausedError(message)


def _kept(gateway: SmtpGateway) -> set[str]:
    """Return the names of Secrets that are never pruned: the user's, and the authority, which clients were told to trust."""
    name = gateway.metadata.name
    return {names.authority_secret(name), *referenced_secrets(gateway), *names.brought_secrets(name, gateway.spec.tls)}
