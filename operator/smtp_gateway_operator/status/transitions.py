"""Which changes of the status are worth an Event: when something begins to be wrong, becomes wrong in another way, or is right again.

Nothing is said about what stays the same, so Events do not repeat with every reconcile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.names import OPERATOR
from smtp_gateway_operator.status.catalogue import NORMAL, NOT_READY, WARNING, event_type
from smtp_gateway_operator.status.reasons import READY, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


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
    if after["type"] == READY:
        return _readiness(before, after)
    if before is not None and (before["status"], before["reason"]) == (after["status"], after["reason"]):
        return None
    if told := event_type(after["type"], after["reason"]):
        return Transition(told, after["reason"], after["message"])
    recovered = before is not None and event_type(before["type"], before["reason"]) == WARNING and after["status"] != "Unknown"
    return Transition(NORMAL, after["reason"], after["message"]) if recovered and after["reason"] != Reason.WAITING else None


def _readiness(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Transition | None:
    """Tell when Ready becomes True or False. That it is unknown for some seconds is not worth a word."""
    if after["status"] == (before or {}).get("status") or after["status"] == "Unknown":
        return None
    return Transition(NORMAL, READY, after["message"]) if after["status"] == "True" else _not_ready(before, after)


def _not_ready(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Transition | None:
    """Return the Warning; none for a gateway that is only being made, which never was ready."""
    return Transition(WARNING, NOT_READY, after["message"]) if before is not None else None
