"""The status of a gateway: conditions and counts, from what one look found. Equal input gives equal status.

The conditions, and what True says:

* `ConfigValid`: the resource can be understood and rendered, and no pod refuses what was rendered.
* `ReferencesResolved`: every Secret that it names exists and holds what it should.
* `Progressing`: objects or pods are being changed. False means settled, or stuck; the reason says which.
* `UpstreamReachable`, `QueueHealthy`, `CertificateValid`: mail can leave, leaves in time, and clients can trust whom they give it to.
* `OpenRelayRisk`: a listener might relay for strangers, and is withheld. The only condition of which True is bad.
* `Ready`: all of the above is well, every pod runs the current version and configuration and is ready.

Three rules of this file. `lastTransitionTime` moves only when a condition's status does. One problem is told at a time, the first.
What is Unknown makes Ready Unknown, and what is False makes it False.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.names import selector
from smtp_gateway_operator.open_relay import Assessment
from smtp_gateway_operator.status import draining, loading
from smtp_gateway_operator.status.certificates import certificates
from smtp_gateway_operator.status.endpoints import endpoints
from smtp_gateway_operator.status.growing import Growth, growing
from smtp_gateway_operator.status.queues import counts, queues
from smtp_gateway_operator.status.reasons import (
    CERTIFICATE_VALID,
    CONFIG_VALID,
    OPEN_RELAY_RISK,
    PROGRESSING,
    QUEUE_HEALTHY,
    READY,
    REFERENCES_RESOLVED,
    UPSTREAM_REACHABLE,
    Judged,
    Reason,
    false,
    true,
    unknown,
)
from smtp_gateway_operator.status.relaying import open_relay_risk
from smtp_gateway_operator.status.told import Told
from smtp_gateway_operator.status.upstreams import upstreams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from smtp_gateway_operator.names import Key
    from smtp_gateway_operator.spec import Listener
    from smtp_gateway_operator.status.rollout import Rollout
    from smtp_gateway_operator.status.signing import Records

COUNTED = (OPEN_RELAY_RISK, CONFIG_VALID, UPSTREAM_REACHABLE, QUEUE_HEALTHY, CERTIFICATE_VALID)
"""The conditions that count for Ready beside the pods, in the order in which one is told there."""
MESSAGE_LENGTH = 1024
"""Characters of a condition's message: the API server's own words on a refusal can be pages."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What kept a reconcile from bringing about what is wanted."""

    condition: str
    """The condition that it makes untrue: `ConfigValid`, `ReferencesResolved` or `Progressing`."""
    reason: Reason
    message: str
    passing: bool = False
    """Whether it ends without anybody's help."""

    @property
    def awaited(self) -> bool:
        """Whether the operator waits for what the resource refers to, which is no failure of its own; that it may not read it is one."""
        return self.condition == REFERENCES_RESOLVED and self.reason != Reason.SECRET_FORBIDDEN


@dataclass(frozen=True, slots=True)
class Findings:
    """What one look found."""

    generation: int
    rollout: Rollout
    problem: Problem | None = None
    told: Told = Told()  # noqa: RUF009 frozen, so that sharing it is safe
    relaying: Assessment | None = Assessment()  # noqa: RUF009 the same
    """Which listeners may relay for strangers; None when the resource cannot be understood."""
    asleep: str = ""
    """How much mail is on volumes without a pod, in a sentence; empty when there is none."""
    growth: Growth = Growth()  # noqa: RUF009 frozen, so that sharing it is safe
    service: Mapping[str, Any] | None = None
    """The Service that clients connect to, as it is now; None when there is none."""
    records: Records | None = None
    """What is to be published of the keys that sign mail; None when the configuration is not in place."""


def status_of(
    key: Key, listeners: Sequence[Listener] | None, found: Findings, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return the status after *found*, given the *previous* one. *listeners* is None when the resource cannot be understood."""
    conditions = previous.get("conditions") or []
    signing = list(previous.get("dkim") or []) if found.records is None else list(found.records)
    measured = {"queue": counts(found.told), "configuration": loading.configuration(found.told)}
    return {
        "observedGeneration": found.generation,
        "replicas": found.rollout.pods,
        "readyReplicas": found.rollout.ready,
        "selector": ",".join(f"{label}={value}" for label, value in sorted(selector(key.name).items())),
        "endpoints": list(previous.get("endpoints") or []) if listeners is None else endpoints(key, listeners, found.service),
        **({"dkim": signing} if signing or "dkim" in previous else {}),
        **{field: previous[field] if value is None else value for field, value in measured.items() if value or field in previous},
        "conditions": _stamped(_judged(found, conditions, now), found.generation, conditions, now),
    }


def is_ready(status: Mapping[str, Any]) -> bool:
    """Tell whether Ready is True in *status*."""
    return any(condition["type"] == READY and condition["status"] == "True" for condition in status.get("conditions") or [])


def _judged(found: Findings, previous: Sequence[Mapping[str, Any]], now: datetime) -> dict[str, Judged]:
    """Return the judgement of each condition, in the order in which they are shown."""
    before = {condition["type"]: condition for condition in previous}
    others = {
        PROGRESSING: _progressing(found, now),
        CONFIG_VALID: _valid(found, now),
        REFERENCES_RESOLVED: _resolved(found.problem),
        CERTIFICATE_VALID: certificates(found.told, now),
        UPSTREAM_REACHABLE: upstreams(found.told),
        QUEUE_HEALTHY: queues(found.told, before.get(QUEUE_HEALTHY, {})),
        OPEN_RELAY_RISK: open_relay_risk(found.relaying, in_force=found.problem is None),
    }
    return {READY: _ready(found, others), **others}


def _ready(found: Findings, others: Mapping[str, Judged]) -> Judged:
    rollout, problem = found.rollout, found.problem
    if problem is not None:
        return false(problem.reason, f"{problem.message}; {rollout.sentence}")
    if not rollout.serves:
        return false(Reason.PODS_NOT_READY, rollout.sentence)
    if rollout.wanted == 0 and others[OPEN_RELAY_RISK].status != "True":
        nothing = "as wanted there are no pods: no mail is accepted or delivered, and the volumes are kept"
        return true(Reason.SCALED_TO_ZERO, _with(nothing, found.asleep))
    if (wrong := _wrong(others)) is not None:
        return wrong
    if loading.behind(found.told):
        return _still_loading(_loading(found.told))
    return _untold(others) or true(Reason.PODS_READY, _with(rollout.sentence, found.asleep))


def _with(sentence: str, further: str) -> str:
    return f"{sentence}; {further}" if further else sentence


def _wrong(others: Mapping[str, Judged]) -> Judged | None:
    """Return what the first condition that is not as it should be makes of Ready."""
    bad = {name: "True" if name == OPEN_RELAY_RISK else "False" for name in COUNTED}
    found = (name for name in COUNTED if others[name].status == bad[name])
    return next((false(others[name].reason, f"{name} is {bad[name]}: {others[name].message}") for name in found), None)


def _untold(others: Mapping[str, Judged]) -> Judged | None:
    """Return what the first condition that nobody can tell makes of Ready."""
    found = (name for name in COUNTED if others[name].status == "Unknown")
    return next((unknown(others[name].reason, f"{name} is Unknown: {others[name].message}") for name in found), None)


def _still_loading(progress: Judged) -> Judged:
    """Return Ready while pods run an older configuration: unknown for the seconds that it takes, and then false."""
    return Judged("Unknown" if progress.status == "True" else "False", progress.reason, progress.message)


def _progressing(found: Findings, now: datetime) -> Judged:
    problem = found.problem
    if problem is not None and problem.condition == PROGRESSING:
        return Judged(str(problem.passing), problem.reason, problem.message)
    if problem is not None:
        return false(Reason.WAITING, f"nothing is changed until {problem.condition} is True")
    return _moving(found.rollout, found.told, now) or (not loading.behind(found.told) and growing(found.growth)) or _loading(found.told)


def _moving(rollout: Rollout, told: Told, now: datetime) -> Judged | None:
    """Return what is said while pods come and go, or should; None when they are as wanted."""
    if rollout.is_stuck(now):
        if rollout.stranded:
            return false(Reason.VOLUME_UNREACHABLE, f"a pod cannot run where its volume is; {rollout.sentence}")
        return false(Reason.ROLLOUT_STALLED, f"a pod does not become ready, and no other is renewed before it is; {rollout.sentence}")
    if rollout.draining:
        waiting = draining.sentence(rollout, told)
        return true(Reason.DRAINING, waiting if rollout.serves else f"{waiting}; {rollout.sentence}")
    return None if rollout.settled else true(Reason.ROLLING_OUT, rollout.sentence)


def _loading(told: Told) -> Judged:
    if not loading.behind(told):
        return false(Reason.COMPLETE, "every object and every pod is as wanted")
    if told.waited > loading.OVERDUE:
        return false(Reason.CONFIGURATION_NOT_LOADED, loading.sentence(told))
    return true(Reason.LOADING_CONFIGURATION, loading.sentence(told))


def _valid(found: Findings, now: datetime) -> Judged:
    if found.problem is not None and found.problem.condition == CONFIG_VALID:
        return false(found.problem.reason, found.problem.message)
    # A pod that is about to be replaced need not understand what is rendered for its successor: so it is with each upgrade.
    excused = () if found.rollout.is_stuck(now) else found.rollout.outdated
    if refused := loading.refused(found.told, excused):
        return false(Reason.NOT_LOADABLE, f"pods go on with the configuration before, because they cannot load the new one: {refused}")
    return true(Reason.VALID, "the resource can be rendered")


def _resolved(problem: Problem | None) -> Judged:
    if problem is None or problem.condition == PROGRESSING:
        return true(Reason.RESOLVED, "every Secret that the resource names was found")
    if problem.condition == REFERENCES_RESOLVED:
        return false(problem.reason, problem.message)
    return unknown(Reason.CONFIG_INVALID, "not looked at before the resource is valid")


def _stamped(judged: Mapping[str, Judged], generation: int, previous: Sequence[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    before = {condition["type"]: condition for condition in previous}
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = []
    for name, (status, reason, message) in judged.items():
        same = before.get(name, {}).get("status") == status
        conditions.append(
            {
                "type": name,
                "status": status,
                "reason": str(reason),
                "message": message[:MESSAGE_LENGTH],
                "observedGeneration": generation,
                "lastTransitionTime": before[name]["lastTransitionTime"] if same else stamp,
            }
        )
    return conditions
