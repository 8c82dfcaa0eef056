"""UpstreamReachable: whether every pod can reach a smarthost of every route.

Smarthosts of a route are alternatives, so a route is cut off where none of them can be reached; one that fails while another works is
told and makes nothing False. Routes straight to MX are not judged, because their next hops are as many as there are recipients' domains;
that none of all of them answers is told.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from smtp_gateway_operator.spec import Cause
from smtp_gateway_operator.status.reasons import Judged, Reason, false, true, unknown
from smtp_gateway_operator.status.told import named, unheard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smtp_gateway_operator.spec import PodReport, Route, UpstreamReport
    from smtp_gateway_operator.status.told import Told

_Place = tuple[str, str, int, str]
"""Route, host, port and Secret: two accounts at one host are two smarthosts."""

CAUSES: dict[str, Reason] = {
    Cause.REFUSED: Reason.CONNECTION_REFUSED,
    Cause.TIMEOUT: Reason.CONNECTION_TIMED_OUT,
    Cause.NAME_NOT_FOUND: Reason.NAME_NOT_FOUND,
    Cause.TLS_FAILED: Reason.TLS_FAILED,
    Cause.CERTIFICATE_INVALID: Reason.CERTIFICATE_INVALID,
    Cause.AUTHENTICATION_REJECTED: Reason.AUTHENTICATION_REJECTED,
    Cause.TOKEN_UNAVAILABLE: Reason.TOKEN_UNAVAILABLE,
    Cause.REJECTED: Reason.REJECTED_BY_UPSTREAM,
    Cause.PORT_25_BLOCKED: Reason.PORT_25_BLOCKED,
}
"""The reason for each cause that a pod may give; a newer pod's cause is one of the upstream's refusals."""


def upstreams(told: Told) -> Judged:
    """Judge whether mail can leave."""
    if told.routes is None:
        return unknown(Reason.CONFIG_INVALID, "not judged before the resource is valid")
    if not told.relayed:
        return _blocked(told) or true(Reason.NO_SMARTHOSTS, "mail goes straight to the recipients' MX, which is not judged here")
    failing: list[tuple[str, UpstreamReport]] = []
    spared: list[tuple[str, UpstreamReport]] = []
    unprobed = False
    for pod, report in sorted(told.reports.items()):
        for route in told.relayed:
            probes = _probes(route, report)
            bad = [(pod, probe) for probe in probes if probe.reachable is False]
            if any(probe.reachable for probe in probes):
                spared += bad
            elif len(bad) == len(_places(route)):
                failing += bad
            else:
                unprobed = True
    if failing:
        return false(CAUSES.get(failing[0][1].cause, Reason.REJECTED_BY_UPSTREAM), _sentence(failing))
    return _otherwise(told, spared, unprobed=unprobed)


def _otherwise(told: Told, spared: list[tuple[str, UpstreamReport]], *, unprobed: bool) -> Judged:
    if untold := unheard(told):
        return untold
    if unprobed:
        return unknown(Reason.NOT_PROBED, "not every smarthost has been tried yet")
    if blocked := _blocked(told):
        return blocked
    if spared:
        return true(Reason.PARTLY_REACHABLE, f"every route has a smarthost that works, but not all of them do: {_sentence(spared)}")
    if elsewhere := [(pod, probe) for pod, probe in _wanted(told) if probe.alternate_port]:
        return true(
            Reason.ALTERNATE_PORT, f"every pod reaches every smarthost, not all of them on their first port: {_sentence(elsewhere)}"
        )
    return true(Reason.REACHABLE, "every pod reaches every smarthost")


def _places(route: Route) -> tuple[_Place, ...]:
    """Return what *route* has now, each once and in its order."""
    named = ((one, one.credentials_ref) for one in route.smarthosts)
    return tuple(dict.fromkeys((route.name, one.host, one.port, reference.name if reference else "") for one, reference in named))


def _blocked(told: Told) -> Judged | None:
    """Return that mail to MX does not leave; None where it does, or where no route goes there."""
    pods = [pod for pod, report in sorted(told.reports.items()) if report.port_25_blocked]
    if not pods or len(told.relayed) == len(told.routes or ()):
        return None
    return true(
        Reason.PORT_25_BLOCKED_TO_MX,
        "the network seems to block port 25: the mail exchangers of several domains give no answer, and those of no domain do"
        f" (seen by {named(pods)})",
    )


def _wanted(told: Told) -> Iterator[tuple[str, UpstreamReport]]:
    """Yield each pod's probes of the smarthosts that there should be."""
    for pod, report in sorted(told.reports.items()):
        for route in told.relayed:
            yield from ((pod, probe) for probe in _probes(route, report))


def _probes(route: Route, report: PodReport) -> list[UpstreamReport]:
    """Return the pod's probes of the smarthosts that *route* has now, in the route's order."""
    found = {(one.route, one.host, one.port, one.credentials): one for one in report.upstreams}
    return [found[place] for place in _places(route) if place in found]


def _sentence(failing: list[tuple[str, UpstreamReport]]) -> str:
    """Say which upstream gave which reply, and to which pods."""
    pods: dict[str, list[str]] = defaultdict(list)
    for pod, probe in failing:
        credentials = f" with Secret {probe.credentials}" if probe.credentials else ""
        pods[f"route {probe.route}, {probe.host}:{probe.port}{credentials}: {probe.reply or probe.cause}"].append(pod)
    return named([f"{what} (seen by {', '.join(seen)})" for what, seen in pods.items()])
