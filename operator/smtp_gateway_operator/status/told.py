"""What the pods told: the input of every judgement about delivery, and which of a pod's words count.

Two rules keep single mishaps out of the status. A pod that does not answer counts with what it said last, for `STALE`. A next hop that
was reachable counts as it did until two probes in a row failed, or found it at another of its ports, unless the configuration changed in
between. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from smtp_gateway_operator.status.reasons import Judged, Reason, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway_operator.spec import PodReport, Route, UpstreamReport

STALE = timedelta(seconds=60)
"""How long a pod's last report counts when it does not answer: four looks."""
NAMED = 3
"""Findings that a message names; more would bury the first."""

Hop = tuple[str, str, int, str]
"""Route, host, port and Secret of one smarthost: two accounts at one host are two."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What counts of one pod."""

    report: PodReport
    at: datetime
    """When the pod answered last."""
    doubted: Mapping[Hop, float | None] = field(default_factory=dict)
    """Next hops of which the last probe was not what the good one before it was, with the time of that probe."""
    silence: str = ""
    """Why the pod did not answer the last time; empty when it did."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the pods of a gateway told, beside what they should do."""

    reports: Mapping[str, PodReport] = field(default_factory=dict)
    """By pod."""
    silent: Mapping[str, str] = field(default_factory=dict)
    """Pods of which nothing is known, and why."""
    unanswered: Mapping[str, str] = field(default_factory=dict)
    """Pods that did not answer this time, and why; those among `reports` count with what they said before."""
    silent_since: Mapping[str, datetime] = field(default_factory=dict)
    """For pods that are there and gave no answer this time: since when there was none, as far as this process knows."""
    routes: tuple[Route, ...] | None = ()
    """The routes that the resource wants; None when it cannot be understood."""
    issued: bool = False
    """Whether the listeners' certificate is the operator's own, which renews it."""
    config_hash: str = ""
    """The configuration that the pods should run; empty when it is not known."""
    waited: float = 0.0
    """Seconds since that configuration was asked for."""

    @property
    def fresh(self) -> dict[str, PodReport]:
        """What pods said just now, by pod."""
        return {pod: report for pod, report in self.reports.items() if pod not in self.unanswered}

    @property
    def relayed(self) -> tuple[Route, ...]:
        """The routes with smarthosts."""
        return tuple(route for route in self.routes or () if route.smarthosts)

    @property
    def complete(self) -> bool:
        """Whether there are pods, and something is known of each."""
        return bool(self.reports) and not self.silent


def heard(before: Heard | None, answer: PodReport | str, now: datetime) -> Heard | None:
    """Return what counts of a pod after its *answer*; None when nothing is known of it."""
    if isinstance(answer, str):
        if before is None or now - before.at > STALE:
            return None
        return Heard(before.report, before.at, before.doubted, answer)
    if before is None or before.report.config_hash != answer.config_hash:
        return Heard(answer, now)
    known = {_hop(one): one for one in before.report.upstreams}
    doubted: dict[Hop, float | None] = {}
    counted = []
    for probe in answer.upstreams:
        good = known.get(_hop(probe))
        if good and _differs(good, probe) and before.doubted.get(_hop(probe), probe.checked_at) == probe.checked_at:
            doubted[_hop(probe)] = probe.checked_at
            counted.append(good)
        else:
            counted.append(probe)
    return Heard(answer.model_copy(update={"upstreams": tuple(counted)}), now, doubted)


def _differs(good: UpstreamReport, probe: UpstreamReport) -> bool:
    """Tell whether *probe* failed after a *good* one, or came through by another port."""
    if not good.reachable or probe.reachable is None:
        return False
    return not probe.reachable or probe.alternate_port != good.alternate_port


def _hop(probe: UpstreamReport) -> Hop:
    return probe.route, probe.host, probe.port, probe.credentials


def named(findings: list[str]) -> str:
    """Return the first *findings* in one line."""
    return "; ".join([*findings[:NAMED], *(["..."] if len(findings) > NAMED else [])])


def unheard(told: Told) -> Judged | None:
    """Return the judgement that there is nobody to ask, or that somebody does not answer; None when all did."""
    if told.silent:
        return unknown(
            Reason.NO_REPORT, f"not every pod can be asked: {named([f'{pod}: {why}' for pod, why in sorted(told.silent.items())])}"
        )
    if not told.reports:
        return unknown(Reason.NO_PODS, "no pod runs that could be asked")
    return None
