"""The status of a gateway: conditions and counts, from what one reconcile found. Equal input gives equal status.

The conditions, and what True says:

* `ConfigValid`: the resource can be understood and rendered.
* `ReferencesResolved`: every Secret that it names exists and holds what it should.
* `Progressing`: objects or pods are being changed. False means settled, or stuck; the reason says which.
* `Ready`: all of the above is well, and every pod runs the current version and is ready.

Two rules of this file. `lastTransitionTime` moves only when a condition's status does. One problem is told at a time, the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.names import selector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from smtp_gateway_operator.names import Key
    from smtp_gateway_operator.spec import Listener
    from smtp_gateway_operator.status.rollout import Rollout

READY = "Ready"
PROGRESSING = "Progressing"
CONFIG_VALID = "ConfigValid"
REFERENCES_RESOLVED = "ReferencesResolved"

MESSAGE_LENGTH = 1024
"""Characters of a condition's message: the API server's own words on a refusal can be pages."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What kept a reconcile from bringing about what is wanted."""

    condition: str
    """The condition that it makes untrue: `ConfigValid`, `ReferencesResolved` or `Progressing`."""
    reason: str
    message: str
    passing: bool = False
    """Whether it ends without anybody's help."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What one reconcile found."""

    generation: int
    rollout: Rollout
    problem: Problem | None = None


def status_of(
    key: Key, listeners: Sequence[Listener] | None, found: Findings, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return the status after *found*, given the *previous* one. *listeners* is None when the resource cannot be understood."""
    return {
        "observedGeneration": found.generation,
        "replicas": found.rollout.pods,
        "readyReplicas": found.rollout.ready,
        "selector": ",".join(f"{label}={value}" for label, value in sorted(selector(key.name).items())),
        "endpoints": list(previous.get("endpoints") or []) if listeners is None else _endpoints(key, listeners),
        "conditions": _stamped(_judged(found), found.generation, previous.get("conditions") or [], now),
    }


def _endpoints(key: Key, listeners: Sequence[Listener]) -> list[dict[str, Any]]:
    return [{"name": listener.name, "address": f"{key.name}.{key.namespace}.svc", "port": listener.port} for listener in listeners]


def _judged(found: Findings) -> list[tuple[str, str, str, str]]:
    """Return type, status, reason and message of each condition, in the order in which they are shown."""
    return [
        (READY, *_ready(found)),
        (PROGRESSING, *_progressing(found)),
        (CONFIG_VALID, *_valid(found.problem)),
        (REFERENCES_RESOLVED, *_resolved(found.problem)),
    ]


def _ready(found: Findings) -> tuple[str, str, str]:
    rollout, problem = found.rollout, found.problem
    if problem is not None:
        return "False", problem.reason, f"{problem.message}; {rollout.sentence}"
    if not rollout.settled:
        return "False", "PodsNotReady", rollout.sentence
    if rollout.wanted == 0:
        return "True", "ScaledToZero", "as wanted there are no pods: no mail is accepted or delivered, and the volumes are kept"
    return "True", "PodsReady", rollout.sentence


def _progressing(found: Findings) -> tuple[str, str, str]:
    problem = found.problem
    if problem is None and found.rollout.settled:
        return "False", "Complete", "every object and every pod is as wanted"
    if problem is None:
        return "True", "RollingOut", found.rollout.sentence
    if problem.condition == PROGRESSING:
        return str(problem.passing), problem.reason, problem.message
    return "False", "Waiting", f"nothing is changed until {problem.condition} is True"


def _valid(problem: Problem | None) -> tuple[str, str, str]:
    if problem is not None and problem.condition == CONFIG_VALID:
        return "False", problem.reason, problem.message
    return "True", "Valid", "the resource can be rendered"


def _resolved(problem: Problem | None) -> tuple[str, str, str]:
    if problem is None or problem.condition == PROGRESSING:
        return "True", "Resolved", "every Secret that the resource names was found"
    if problem.condition == REFERENCES_RESOLVED:
        return "False", problem.reason, problem.message
    return "Unknown", "ConfigInvalid", "not looked at before the resource is valid"


def _stamped(
    judged: Sequence[tuple[str, str, str, str]], generation: int, previous: Sequence[Mapping[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    before = {condition["type"]: condition for condition in previous}
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = []
    for name, status, reason, message in judged:
        same = before.get(name, {}).get("status") == status
        conditions.append(
            {
                "type": name,
                "status": status,
                "reason": reason,
                "message": message[:MESSAGE_LENGTH],
                "observedGeneration": generation,
                "lastTransitionTime": before[name]["lastTransitionTime"] if same else stamp,
            }
        )
    return conditions
