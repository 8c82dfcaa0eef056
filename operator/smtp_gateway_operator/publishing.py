"""Writing the status of gateways, and telling what changed: no more often than anybody can read it.

A change of a condition, a count of pods or the configuration is written at once. Counts of the queue, and messages that changed between
two events, wait until a minute has passed since the last write: they move with every mail, and each write costs all who watch.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from smtp_gateway_operator.cluster.api import ref_of
from smtp_gateway_operator.status.catalogue import NOT_READY
from smtp_gateway_operator.status.queues import moved
from smtp_gateway_operator.status.reasons import READY
from smtp_gateway_operator.status.transitions import Transition, event_of, transitions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from smtp_gateway_operator.cluster.api import Cluster, Object
    from smtp_gateway_operator.names import Key

SELDOM = timedelta(seconds=60)
"""Between two writes of what moves all the time."""


class Publishing:
    """The writer of every gateway's status."""

    def __init__(self, cluster: Cluster, now: Callable[[], datetime]) -> None:
        """Write to *cluster*; *now* tells the time, aware."""
        self._cluster = cluster
        self._now = now
        self._written: dict[Key, datetime] = {}
        self._readiness: dict[Key, str] = {}
        """What Events said last: Ready or NotReady."""
        self._log = structlog.get_logger()

    async def publish(self, key: Key, body: Object, status: Object, *, at_once: bool) -> Object:
        """Bring the status of *body* to *status* as far as it is time for it; return the status that stands now.

        *at_once*: messages may not wait, because something happened.
        """
        previous, now = body.get("status") or {}, self._now()
        recently = now - self._written.get(key, now - SELDOM) < SELDOM
        worth = worthwhile(previous, status, now, recently=recently, at_once=at_once)
        if worth is None:
            return dict(previous)
        await self._cluster.patch_status(ref_of(body), _patch(previous, worth))
        self._written[key] = now
        for transition in transitions(previous, worth):
            if self._repeats(key, transition):
                continue
            self._log.info("transition", gateway=str(key), reason=transition.reason, message=transition.message)
            await self._cluster.record_event(event_of(body, transition, now))
        return worth

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a gateway that is gone."""
        self._written.pop(key, None)
        self._readiness.pop(key, None)

    def _repeats(self, key: Key, transition: Transition) -> bool:
        """Tell whether Events said so last: Ready is Unknown for a second with each change of the configuration, which is no news."""
        if transition.reason not in {READY, NOT_READY}:
            return False
        before, self._readiness[key] = self._readiness.get(key), transition.reason
        return before == transition.reason


def worthwhile(previous: Mapping[str, Any], status: Object, now: datetime, *, recently: bool, at_once: bool) -> Object | None:
    """Return what of *status* is worth a write now, as a whole status; None when nothing is."""
    shown = {field: previous.get(field) for field in status}
    if _essence(shown) != _essence(status):
        return status
    if "queue" in status and (recently or not moved(previous.get("queue"), status["queue"], now)):
        status = {**status, "queue": previous.get("queue")}
    if shown == status or (recently and not at_once):
        return None
    return {field: value for field, value in status.items() if value is not None}


def _essence(status: Mapping[str, Any]) -> Object:
    """Return what is written at once: everything but the queue's counts and the conditions' messages."""
    conditions = [{**condition, "message": ""} for condition in status.get("conditions") or []]
    return {**status, "queue": None, "conditions": conditions}


def _patch(previous: Mapping[str, Any], status: Object) -> Object:
    """Return the merge patch that makes *previous* into *status*: what is gone from the queue has to be named."""
    gone = set(previous.get("queue") or {}) - set(status.get("queue") or {})
    return {**status, "queue": {**dict.fromkeys(gone), **status["queue"]}} if gone and "queue" in status else status
