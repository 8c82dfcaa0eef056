"""Which changes of the status are worth an Event: when something begins to be wrong, becomes wrong in another way, or is right again.

Nothing is said about what stays the same, so Events do not repeat with every reconcile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.names import OPERATOR
from smtp_gateway_operator.status.conditions import CONFIG_VALID, PROGRESSING, READY, REFERENCES_RESOLVED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

NORMAL = "Normal"
WARNING = "Warning"

_STUCK = ("Complete", "Waiting")
"""Reasons of Progressing=False that are no trouble of their own: all is done, or another condition tells the trouble."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One change worth telling."""

    type: str
    """Normal or Warning, as Kubernetes has it."""
    reason: str
    message: str


def transitions(previous: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[Transition, ...]:
    """Return what is worth telling about the step from one status to the next."""
    before = {condition["type"]: condition for condition in previous.get("conditions") or []}
    found = (_transition(before.get(condition["type"]), condition) for condition in status["conditions"])
    return tuple(transition for transition in found if transition is not None)


def event_of(gateway: Mapping[str, Any], transition: Transition, now: datetime) -> dict[str, Any]:
    """Return *transition* of *gateway* as an Event object, in the form that `kubectl describe` shows."""
    metadata = gateway["metadata"]
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": gateway["apiVersion"],
            "kind": gateway["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": transition.type,
        "reason": transition.reason,
        "message": transition.message,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
        "source": {"component": OPERATOR},
        "reportingComponent": OPERATOR,
        "reportingInstance": OPERATOR,
    }


def _transition(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Transition | None:
    old = _trouble(before) if before else None
    new = _trouble(after)
    if new and new != old:
        return Transition(WARNING, after["reason"], after["message"])
    if after["type"] == READY:
        return _readiness(before, after)
    if old and not new:
        return Transition(NORMAL, after["reason"], after["message"])
    return None


def _trouble(condition: Mapping[str, Any]) -> str | None:
    """Return the reason of a condition that tells of trouble by itself. Ready is not among them: it follows from the others."""
    stuck = condition["type"] == PROGRESSING and condition["reason"] not in _STUCK
    judges = condition["type"] in (CONFIG_VALID, REFERENCES_RESOLVED) or stuck
    return str(condition["reason"]) if judges and condition["status"] == "False" else None


def _readiness(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Transition | None:
    was, now = (before or {}).get("status") == "True", after["status"] == "True"
    if was == now:
        return None
    return Transition(NORMAL, READY, after["message"]) if now else Transition(WARNING, "NotReady", after["message"])
