"""QueueHealthy: whether mail leaves when it is due; and the counts of the queue that the status shows.

Judged are the lateness of mail that is *due* (not its age: one dead domain waits for days and is not late), and per route the part of
attempts that ended in another wait. Mail that waits for the pace of its route is not late: it leaves as it should, and is told. What is False becomes True only when it is down to half the limit, so that it does not flap.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.status.reasons import Judged, Reason, false, true
from smtp_gateway_operator.status.told import named, unheard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway_operator.status.told import Told

LATE = 300.0
"""Seconds by which due mail may be late. A busy pod is seconds behind; minutes mean that it does not keep up."""
DEFERRED_PERCENT = 50
"""Of a route's attempts in 15 minutes, how many may be put off."""
ATTEMPTS = 20
"""Below so many attempts a percentage says nothing."""
RELIEF = 2
"""What is told already stands until it is down to the limit divided by this."""
MOVED = 0.1
"""By which part a count has to move to be written again."""
STALE = 60.0
"""Seconds by which the age that is shown may be wrong in any case."""


def queues(told: Told, before: Mapping[str, Any]) -> Judged:
    """Judge whether mail leaves in time, given the condition as it was."""
    if broken := [f"{pod}: {report.spool_problem}" for pod, report in sorted(told.reports.items()) if report.spool_problem]:
        return false(Reason.SPOOL_UNUSABLE, named(broken))
    if late := _beyond(_lateness(told), LATE, _relief(before, Reason.OVERDUE)):
        return false(Reason.OVERDUE, f"mail that is due waits for more than {LATE / 60:g} minutes, or did, in {', '.join(late)}")
    relayed = {route.name for route in told.relayed}
    if deferring := _deferring(told, _relief(before, Reason.DEFERRALS_HIGH), relayed, among=True):
        return false(Reason.DEFERRALS_HIGH, _deferred(deferring))
    return unheard(told) or _well(told, before, relayed)


def _well(told: Told, before: Mapping[str, Any], relayed: set[str]) -> Judged:
    """Return the judgement that nothing is wrong, with what is worth knowing all the same."""
    if deferring := _deferring(told, _relief(before, Reason.DEFERRALS_TO_MX), relayed, among=False):
        return true(Reason.DEFERRALS_TO_MX, f"{_deferred(deferring)}, on the way to recipients' MX, which is not counted")
    if paced := _beyond(_paced(told), LATE, _relief(before, Reason.PACED)):
        waiting = f"mail waits for the pace of its route, or for a next hop that asked for less, on route {', '.join(paced)}"
        return true(Reason.PACED, f"{waiting}; it is not late, and leaves as fast as that allows")
    held = sum(report.queue.held for report in told.reports.values())
    return true(Reason.ON_TIME, "mail leaves when it is due" + (f"; held until somebody releases it: {held}" if held else ""))


def _relief(before: Mapping[str, Any], reason: Reason) -> int:
    """Return by what limits are divided: what is told already has to be better than what would be news."""
    return RELIEF if before.get("reason") == reason else 1


def _beyond(measures: Mapping[str, float], limit: float, relief: int) -> list[str]:
    """Return, if anything is beyond the relieved *limit*, what is beyond half of it: the message must not change with the verdict."""
    if not any(measure > limit / relief for measure in measures.values()):
        return []
    return sorted(name for name, measure in measures.items() if measure > limit / RELIEF)


def _lateness(told: Told) -> dict[str, float]:
    return {pod: report.queue.lateness for pod, report in told.reports.items()}


def _paced(told: Told) -> dict[str, float]:
    """Return for how long mail has waited for its pace, by route."""
    seconds: dict[str, float] = {}
    for report in told.reports.values():
        for route in report.routes:
            seconds[route.name] = max(seconds.get(route.name, 0.0), route.paced_seconds)
    return seconds


def _deferring(told: Told, relief: int, relayed: set[str], *, among: bool) -> list[str]:
    """Return the routes that put off too much, those with smarthosts or the others."""
    attempted: Counter[str] = Counter()
    deferred: Counter[str] = Counter()
    for report in told.reports.values():
        for route in report.routes:
            attempted[route.name] += route.attempted
            deferred[route.name] += route.deferred
    judged = {name: attempts for name, attempts in attempted.items() if (name in relayed) == among}
    enough = {name for name, attempts in judged.items() if attempts * relief >= ATTEMPTS}
    if not any(deferred[name] * 100 * relief > judged[name] * DEFERRED_PERCENT for name in enough):
        return []
    worth_naming = {name for name, attempts in judged.items() if attempts * RELIEF >= ATTEMPTS}
    return sorted(name for name in worth_naming if deferred[name] * 100 * RELIEF > judged[name] * DEFERRED_PERCENT)


def _deferred(routes: list[str]) -> str:
    return f"more than {DEFERRED_PERCENT} % of the attempts of the last 15 minutes were put off on route {', '.join(routes)}"


def counts(told: Told) -> dict[str, Any] | None:
    """Return the queue as the status shows it; None while not every pod's is known."""
    if not told.complete:
        return None
    oldest = [report.queue.oldest for report in told.reports.values() if report.queue.oldest is not None]
    shown: dict[str, Any] = {"messages": sum(report.queue.messages for report in told.reports.values())}
    return shown | ({"oldestMessageTime": datetime.fromtimestamp(min(oldest), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")} if oldest else {})


def moved(before: Mapping[str, Any] | None, after: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether *after* differs so much from what the status shows that it is worth a write."""
    if before is None or ("oldestMessageTime" in before) != ("oldestMessageTime" in after):
        return True
    shown, true_age = _age(before, now), _age(after, now)
    older = abs(shown - true_age)
    return _apart(before["messages"], after["messages"]) or (older > STALE and older > MOVED * max(shown, true_age))


def _apart(before: int, after: int) -> bool:
    return abs(after - before) > MOVED * before


def _age(queue: Mapping[str, Any], now: datetime) -> float:
    stamp = queue.get("oldestMessageTime")
    return (now - datetime.fromisoformat(stamp)).total_seconds() if stamp else 0.0
