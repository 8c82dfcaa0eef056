"""A Lease that this process holds while it works: two operators would undo each other's work, so the second one waits.

As client-go elects leaders: a Lease is free when its holder has not renewed it for as long as it promised, counted on the own clock from
the moment at which the last renewal was seen, because clocks of two machines differ. A holder that could not renew gives up before
others may think so.

What can go wrong: a process that was suspended may write once more before it notices. Every write is one of a state that another
operator would bring about as well, or names the version that it is about. A namespace that is gone, or closed to this process, has no
Lease to be had: waiting for it would wait for ever, so that is told apart from a Lease that somebody else holds.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from smtp_gateway_operator.cluster.api import (
    ClusterError,
    ConflictError,
    ForbiddenError,
    NamespaceTerminatingError,
    NotFoundError,
    Ref,
    ref_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from smtp_gateway_operator.cluster.api import Cluster, Object

REFUSALS = 3
"""In a row, after which a Lease is not to be had: rights that were given a moment ago may not be known to every API server yet."""
_CLOSED = (ForbiddenError, NamespaceTerminatingError, NotFoundError)
"""How an API server answers where this process may not have a Lease, where none can be made any more, and where there is no namespace."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a Lease lasts, in seconds."""

    duration: float = 30.0
    """What the holder promises to others, who wait as long after its last renewal."""
    renew: float = 10.0
    """Between two renewals."""
    give_up: float = 20.0
    """After the last renewal that worked: well before `duration`, because the others' clocks started when they saw it."""
    retry: float = 2.0
    """Before the next attempt at a Lease that others hold, or after a failure."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as a Lease needs it, and how much of it."""

    time: Callable[[], float]
    """Seconds that never jump."""
    now: Callable[[], datetime]
    """The time of day, aware."""
    terms: Terms = Terms()
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep


class Lease:
    """One Lease, seen by one process that wants it."""

    def __init__(self, cluster: Cluster, ref: Ref, identity: str, clock: Clock) -> None:
        """Want the Lease *ref* as *identity*, which no other process has."""
        self._cluster = cluster
        self.ref = ref
        self._identity = identity
        self._clock = clock
        self._terms = clock.terms
        self._seen: tuple[str, float] = ("", -math.inf)
        """The version that was seen last, and when it was seen first."""
        self._stored: Object | None = None
        self._renewed = -math.inf
        self._trouble = ""
        """Why the last attempt failed; empty when it did not."""
        self._closed = False
        """Whether that was because there is no Lease to be had."""
        self._log = structlog.get_logger().bind(lease=f"{ref.namespace}/{ref.name}")
        self.holder = ""
        """Who holds it, as far as is known; empty when nobody does."""

    async def acquire(self) -> bool:
        """Return True when the Lease is ours, False when there is none to be had. Says once for each holder who it is that holds it."""
        told, refusals = "", 0
        while not await self._attempt():
            refusals = refusals + 1 if self._closed else 0
            if refusals >= REFUSALS:
                return False
            if self.holder and self.holder != told:
                self._log.warning("another operator holds the Lease; waiting", holder=self.holder)
                told = self.holder
            await self._clock.sleep(self._terms.retry)
        self._log.info("holding the Lease", identity=self._identity)
        return True

    async def hold(self) -> None:
        """Renew the Lease, which must be ours; return when it is lost."""
        while await self._renew():
            pass
        self._log.error("lost the Lease", holder=self.holder, trouble=self._trouble)

    async def release(self) -> None:
        """Let others have the Lease at once, if it is ours."""
        if self._stored is None or self.holder != self._identity:
            return
        try:
            await self._write(self._stored, {"holderIdentity": None, "leaseDurationSeconds": 1})
        except ClusterError as error:
            self._log.warning("the Lease was not released", error=f"{type(error).__name__}: {error}")

    async def _renew(self) -> bool:
        """Return whether the Lease is still ours when the next renewal is due; a failure is tried again for as long as it surely is."""
        await self._clock.sleep(self._terms.renew)
        while not await self._attempt():
            if self.holder not in ("", self._identity) or self._left() <= 0:
                return False
            await self._clock.sleep(self._terms.retry)
        return True

    def _left(self) -> float:
        return self._renewed + self._terms.give_up - self._clock.time()

    async def _attempt(self) -> bool:
        """Take or renew the Lease. Returns whether it is ours now; a failure means that it is not known to be."""
        begun = self._clock.time()
        self._closed = False
        try:
            async with asyncio.timeout(self._terms.give_up / 2):
                taken = await self._taken()
        except ConflictError:
            self._stored = None  # somebody else wrote it; the next attempt looks who
            return False
        except (ClusterError, TimeoutError) as error:
            self._failed(error)
            return False
        self._trouble = ""
        if taken:
            self._renewed, self.holder = begun, self._identity
        return taken

    def _failed(self, error: Exception) -> None:
        """Remember why an attempt failed, and say it unless that was done."""
        self._closed = isinstance(error, _CLOSED)
        if isinstance(error, NotFoundError):
            self._stored = None  # deleted; the next attempt makes another one, where that is possible
        told, self._trouble = self._trouble, f"{type(error).__name__}: {error}"
        if self._trouble != told:
            self._log.warning("the Lease could not be taken or renewed", error=self._trouble)

    async def _taken(self) -> bool:
        present = self._stored or await self._cluster.get(self.ref)
        if present is None:
            self._stored = await self._cluster.create(self._named() | {"spec": self._claim(0)})
            return True
        if not self._is_free(present):
            return False
        spec = present.get("spec") or {}
        moves = spec.get("holderIdentity") != self._identity
        self._stored = await self._write(present, self._claim(spec.get("leaseTransitions", 0) + moves, acquired=moves))
        return True

    def _is_free(self, present: Object) -> bool:
        """Tell whether the Lease may be taken: it is ours, nobody's, or of a holder that has let it run out before our eyes."""
        spec = present.get("spec") or {}
        self.holder = spec.get("holderIdentity") or ""
        version = present["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._clock.time())
        ran_out = self._clock.time() - self._seen[1] > spec.get("leaseDurationSeconds", self._terms.duration)
        return self.holder in ("", self._identity) or ran_out

    def _claim(self, transitions: int, *, acquired: bool = True) -> Object:
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        claim = {"holderIdentity": self._identity, "leaseDurationSeconds": int(self._terms.duration), "renewTime": now}
        return claim | ({"acquireTime": now, "leaseTransitions": transitions} if acquired else {})

    async def _write(self, present: Object, spec: Object) -> Object:
        seen = {field: present["metadata"][field] for field in ("uid", "resourceVersion")}
        return await self._cluster.patch(ref_of(present), {"metadata": seen, "spec": spec})

    def _named(self) -> Object:
        kind = self.ref.kind
        metadata = {"name": self.ref.name, "namespace": self.ref.namespace}
        return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
