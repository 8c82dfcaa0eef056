"""The rights that the chart gives the operator are those that it uses: no fewer, and no more."""

from __future__ import annotations

import itertools
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import yaml

from smtp_gateway_operator.cluster.api import (
    CERTIFICATE,
    CHILD_KINDS,
    GATEWAY,
    LEASE,
    POD_MONITOR,
    SECRET,
    STATEFUL_SET,
    WATCHED_KINDS,
    ClusterError,
    ForbiddenError,
    Kind,
    Object,
    Ref,
)
from smtp_gateway_operator.cluster.memory import MemoryCluster
from smtp_gateway_operator.names import OPERATOR, Owner, metadata, pod_labels
from smtp_gateway_operator.startup.lease import Clock, Lease
from smtp_gateway_operator.workqueue import PutOffError
from tests.unit.operator.setting import KEY, LOGINS, Setting, ref, resource, secret

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from smtp_gateway_operator.reconcile import Reconciler

TEMPLATE = Path("charts/smtp-gateway-operator/templates/_helpers.tpl")
RESTS = 5
"""How often the Lease is tried for; it is to be had at once."""
Right = tuple[str, str, str]
"""API group, resource and verb."""


def granted() -> set[Right]:
    """Return every right in the chart's rules, which are plain YAML between the lines of the template."""
    blocks = re.findall(r'define "operator\.(?:rules|leaseRules|nodeRules)" -}}\n(.*?)\{\{- end', TEMPLATE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    rules = [rule for block in blocks for rule in yaml.safe_load(block)]
    return {right for rule in rules for right in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])}


def right(kind: Kind, verb: str) -> Right:
    """Return a call's right: `patch/status` is a patch of the resource's subresource."""
    verb, _, subresource = verb.partition("/")
    return kind.group, f"{kind.plural}/{subresource}" if subresource else kind.plural, verb


class Limited(MemoryCluster):
    """A cluster in which the operator lacks one right."""

    def __init__(self, removed: Right | None) -> None:
        """Give every right but *removed*."""
        super().__init__()
        self.operator_acts = False
        """Whether calls are the operator's; the test's own are always allowed."""
        self._removed = removed

    def _record(self, verb: str, kind: Kind) -> None:
        super()._record(verb, kind)
        if self.operator_acts and right(kind, verb) == self._removed:
            message = f"{verb} of {kind.plural} was taken away"
            raise ForbiddenError(message)

    async def record_event(self, event: Object) -> None:
        """Log a refusal, as the real one does."""
        try:
            await super().record_event(event)
        except ForbiddenError as error:
            structlog.get_logger().warning("event not recorded", error=str(error))


class Watchman:
    """Notes the rights that reconciles use; what the test itself does in between does not count."""

    def __init__(self, removed: Right | None = None) -> None:
        """Start with a gateway that nobody has looked at, and an operator that may do everything but what is *removed*."""
        self.limited = Limited(removed)
        self.setting = Setting(self.limited)
        self.used: set[Right] = set()
        self.told: list[object] = []
        """Every status, and every error of the Lease."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what the operator does meanwhile, and what it says of it."""
        self.setting.cluster.calls.clear()
        self.limited.operator_acts = True
        try:
            yield
        except ClusterError as error:
            self.told.append(error)
        finally:
            self.limited.operator_acts = False
        self.used |= {right(call.kind, call.verb) for call in self.setting.cluster.calls}

    async def reconcile(self, reconcile: Reconciler | None = None) -> None:
        """Reconcile once."""
        with self.watching(), suppress(PutOffError):  # while cert-manager has not issued anything
            await (reconcile or self.setting.reconcile)(KEY)
        found = await self.setting.cluster.get(ref(GATEWAY))
        self.told.append((found or {}).get("status"))

    async def lease(self) -> None:
        """Take the Lease, renew it, and let it go."""
        rests = itertools.count()

        async def sleep(_: float) -> None:
            assert next(rests) < RESTS, "the Lease cannot be had"

        clock = Clock(lambda: 0.0, lambda: self.setting.now, sleep=sleep)
        lease = Lease(self.setting.cluster, Ref(LEASE, KEY.namespace, OPERATOR), "a", clock)
        with self.watching():
            for _ in range(2):
                assert await lease.acquire(), "the Lease cannot be had"
            await lease.release()

    async def children(self) -> list[Any]:
        """Return every child that there is."""
        found = [await self.setting.cluster.list(kind, KEY.namespace) for kind in CHILD_KINDS]
        return [one for page in found for one in page if "ownerReferences" in one["metadata"]]


async def whole_life(watchman: Watchman) -> None:
    """Let a gateway be made, damaged, changed, found by a newer operator, and deleted."""
    setting = watchman.setting
    await setting.given(resource(logins=LOGINS, networkPolicy={"enabled": True}), secret("app", alice="wonderland"))
    await watchman.lease()
    await watchman.reconcile()
    claim = {"name": "spool-mail-0", "namespace": KEY.namespace, "labels": pod_labels("mail")}
    await setting.given({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": claim})
    await setting.pods_become_ready()  # which is worth an Event
    await watchman.reconcile()
    for one in await watchman.children():  # somebody takes away the labels by which children are found
        await setting.cluster.patch(ref(_kind(one), one["metadata"]["name"]), {"metadata": {"labels": None}})
    await watchman.reconcile()
    relay = {"name": "relay", "port": 25, "auth": "None", "allowedNetworks": ["192.0.2.0/24"]}  # trusted if it is no node's
    await setting.change(replicas=2, listeners=[relay])
    await watchman.reconcile(setting.restarted())
    owner = Owner(KEY.namespace, KEY.name, (await setting.get(GATEWAY))["metadata"]["uid"])
    for kind in CHILD_KINDS:  # an earlier version made these, under names that are not used any more
        await setting.given({"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata(owner, "mail-old"), "spec": {}})
    await watchman.reconcile()
    assert not await setting.exists(STATEFUL_SET, "mail-old")
    assert not await setting.exists(SECRET, "mail-old")
    await asked_of_others(watchman, CERTIFICATE, {"tls": {"certManager": {"issuerRef": {"name": "internal"}}}})
    await asked_of_others(watchman, POD_MONITOR, {"monitoring": {"podMonitor": {"enabled": True}}})
    await setting.cluster.delete(ref(GATEWAY), owner.uid)
    await watchman.reconcile()


async def asked_of_others(watchman: Watchman, kind: Kind, wanted: dict[str, Any]) -> None:
    """Have an object made that others act upon, take away the labels by which it is found, and give it up."""
    setting = watchman.setting
    await setting.change(**wanted)
    await watchman.reconcile()
    await setting.cluster.patch(ref(kind), {"metadata": {"labels": None}})
    await watchman.reconcile(setting.restarted())
    await setting.change(**dict.fromkeys(wanted))
    await watchman.reconcile()
    assert not await setting.exists(kind, "mail")


async def rights_used() -> set[Right]:
    """Return the rights that are used in a gateway's whole life."""
    watchman = Watchman()
    await whole_life(watchman)
    return watchman.used


def _kind(one: dict[str, Any]) -> Kind:
    return next(kind for kind in CHILD_KINDS if kind.name == one["kind"])


BY_KOPF = {right(kind, verb) for kind in (GATEWAY, *WATCHED_KINDS) for verb in ("list", "watch")}
"""What kopf does with what it watches."""
BY_ADMISSION = {(GATEWAY.group, f"{GATEWAY.plural}/finalizers", "update")}
"""What the API server asks of whoever sets `blockOwnerDeletion` (admission plug-in OwnerReferencesPermissionEnforcement)."""
TOLD_BY_REASON = {("", "nodes", "list"): "NotChecked"}
"""What a namespaced installation lacks as a rule, and then is no fault: a condition says what is not known."""


async def test_every_right_that_is_used_is_granted() -> None:
    """From the first reconcile to the last nothing is asked of the API server that the chart does not allow."""
    needed = await rights_used() | BY_KOPF | BY_ADMISSION

    assert needed - granted() == set()


async def test_every_right_that_is_granted_is_used() -> None:
    """A right that nothing uses is only good for somebody who has taken over the operator."""
    needed = await rights_used() | BY_KOPF | BY_ADMISSION

    assert granted() - needed == set()


@pytest.mark.parametrize("removed", sorted(granted() - BY_ADMISSION), ids=lambda removed: "-".join(part for part in removed if part))
async def test_a_right_that_is_taken_away_is_missed(removed: Right, logged: list[MutableMapping[str, Any]]) -> None:
    """Each in turn: kopf could not watch without it, or the operator is refused something and says so in the status or the log.

    The one on finalizers is missed only by an API server with that plug-in.
    """
    watchman = Watchman(removed)
    with suppress(AssertionError, ClusterError):  # much does not come about without it
        await whole_life(watchman)

    assert removed in BY_KOPF or (TOLD_BY_REASON.get(removed) or "was taken away") in str([watchman.told, logged])


def test_no_rule_grants_everything() -> None:
    """No wildcard, and nothing that would let the operator give rights to others."""
    assert not [one for one in granted() if "*" in one]
    assert not [one for one in granted() if one[0] == "rbac.authorization.k8s.io" or one[2] in {"escalate", "bind", "impersonate"}]
