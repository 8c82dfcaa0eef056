"""Why a scale-in waits: what each pod that goes still has, and what keeps it from getting rid of it.

Only what is said just now counts. One that does not answer may hold mail, and is waited for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from smtp_gateway_operator.status.told import named

if TYPE_CHECKING:
    from smtp_gateway_operator.spec import PodReport
    from smtp_gateway_operator.status.rollout import Rollout
    from smtp_gateway_operator.status.told import Told


def sentence(rollout: Rollout, told: Told) -> str:
    """Say for which pods a scale-in waits, the first to go first."""
    waited_for = [f"{pod} {_state(pod, told)}" for pod in rollout.draining]
    size = rollout.wanted + len(rollout.draining)
    return f"scaling in from {size} to {rollout.wanted}, each pod goes when it is empty: {named(waited_for)}"


def _state(pod: str, told: Told) -> str:
    report = told.fresh.get(pod)
    if report is None:
        return _silence(told.silent_since.get(pod), told.unanswered.get(pod, "it is not running"))
    if report.config_hash != told.config_hash:
        return f"has not yet loaded that it is to drain{': ' if report.config_problem else ''}{report.config_problem}"
    if report.queue.messages:
        return "; ".join([_queue(report), *_troubles(report)])
    if report.sessions:
        return f"is empty and waits for its sessions to end: {report.sessions} open"
    return "is empty"


def _silence(since: datetime | None, why: str) -> str:
    """Say that nobody knows what the pod has. Since when does not change, as a duration would with every look."""
    silence = "does not answer" if since is None else f"has not answered since {since:%Y-%m-%dT%H:%M:%SZ}"
    return f"may hold mail, and {silence}: {why}"


def _queue(report: PodReport) -> str:
    queue = report.queue
    held = f", {queue.held} of them held until somebody releases or removes them" if queue.held else ""
    since = f", the oldest since {datetime.fromtimestamp(queue.oldest, UTC):%Y-%m-%dT%H:%M:%SZ}" if queue.oldest is not None else ""
    return f"has {queue.messages} in its queue{held}{since}"


def _troubles(report: PodReport) -> list[str]:
    """Return which next hops the pod cannot reach."""
    bad = [probe for probe in report.upstreams if probe.reachable is False]
    return [f"route {probe.route}, {probe.host}:{probe.port}: {probe.reply or probe.cause}" for probe in bad[:1]]
