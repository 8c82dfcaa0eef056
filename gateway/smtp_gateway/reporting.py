"""What a gateway tells about itself: the operator by a report, Prometheus by gauges. Both are read from the sources when they are asked for.

Reading costs some look-ups in the spool's indexes and nothing that grows with the queue.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway import __version__
from smtp_gateway.config.report import CertificateReport, PodReport, QueueReport, RouteReport
from smtp_gateway.qshape import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from smtp_gateway.config.model import Config
    from smtp_gateway.pacing import Standing
    from smtp_gateway.probing.upstreams import Upstreams
    from smtp_gateway.qshape import Waiting
    from smtp_gateway.spool.api import Spool, UnderWay
    from smtp_gateway.telemetry.prometheus import Reading
    from smtp_gateway.telemetry.recent import RecentOutcomes
    from smtp_gateway.tls import Certificate


@dataclass(frozen=True, slots=True)
class State:
    """How a gateway stands at one moment."""

    config: Config
    """What is in force."""
    config_hash: str
    config_problem: str
    """Why a newer configuration could not be loaded; empty when there is none."""
    not_ready: str | None
    """Why mail cannot be taken; None when it can."""
    draining: bool
    sessions: int = 0
    """How many are open."""
    port_25_blocked: bool = False
    """Whether no mail exchanger answers."""

    @property
    def blocked(self) -> bool:
        """Whether mail cannot leave for that: where every route has smarthosts, none of it goes to exchangers."""
        return self.port_25_blocked and any(not route.smarthosts for route in self.config.routes)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the truth comes from."""

    state: Callable[[], State]
    spool: Spool
    on_time: UnderWay
    """Tells of a message that is due whether it is not late for that."""
    paces: Callable[[], Mapping[str, Standing]]
    upstreams: Upstreams
    outcomes: RecentOutcomes
    certificate: Certificate
    """The listeners'."""
    shape: Callable[[], Mapping[str, Waiting] | None]
    """Tells what waits by route; None while that is not known."""
    clock: Callable[[], float] = time.time
    """Seconds since the epoch."""


def report(pod: str, sources: Sources) -> PodReport:
    """Return what the operator is told about the pod called *pod*.

    Once nothing waits any more, attempts that were put off before are over: they are neither told nor remembered.
    """
    state, queue, paces = sources.state(), _queue(sources), sources.paces()
    if queue.messages == queue.held:
        sources.outcomes.keep(frozenset())
    return PodReport(
        pod=pod,
        version=__version__,
        config_hash=state.config_hash,
        config_problem=state.config_problem,
        accepting=state.not_ready is None,
        draining=state.draining,
        sessions=state.sessions,
        port_25_blocked=state.blocked,
        spool_problem=sources.spool.healthy() or "",
        queue=queue,
        routes=tuple(_route(route.name, sources, paces.get(route.name)) for route in state.config.routes),
        upstreams=tuple(upstream.report for upstream in sources.upstreams),
        certificate=CertificateReport(not_after=sources.certificate.not_after, problem=sources.certificate.problem),
    )


def _queue(sources: Sources) -> QueueReport:
    arrears, depth = sources.spool.arrears(sources.clock(), sources.on_time), sources.spool.depth()
    return QueueReport(messages=depth.messages, held=arrears.held, oldest=arrears.oldest, lateness=arrears.lateness, damaged=depth.damaged)


def _route(name: str, sources: Sources, pace: Standing | None) -> RouteReport:
    outcomes = sources.outcomes.of(name)
    paced, seconds = (pace.waiting, pace.seconds) if pace else (0, 0.0)
    return RouteReport(name=name, attempted=outcomes.attempted, deferred=outcomes.deferred, paced=paced, paced_seconds=seconds)


def gauges(sources: Sources) -> Iterator[Reading]:
    """Yield what `smtp_gateway.telemetry.table.READ_AT_SCRAPE` names."""
    state, now, depth = sources.state(), sources.clock(), sources.spool.depth()
    arrears = sources.spool.arrears(now, sources.on_time)
    yield "queue_messages", (), depth.messages
    yield "queue_oldest_seconds", (), 0.0 if depth.oldest is None else max(0.0, now - depth.oldest)
    yield "queue_held_messages", (), arrears.held
    yield "queue_lateness_seconds", (), arrears.lateness
    if space := sources.spool.space():
        yield "spool_volume_bytes", (), space.size
        yield "spool_free_bytes", (), space.free
        yield "spool_used_bytes", (), space.used
    yield "draining", (), state.draining
    yield "port_25_blocked", (), state.blocked
    yield "config_info", (state.config_hash,), 1
    yield "config_last_load_successful", (), not state.config_problem
    if sources.certificate.not_after is not None:
        yield "certificate_expiration_timestamp_seconds", (), sources.certificate.not_after
    yield from _route_gauges(sources, state.config, now)
    yield from _pace_gauges(state.config, sources.paces())
    yield from _upstream_gauges(sources.upstreams)


def _route_gauges(sources: Sources, config: Config, now: float) -> Iterator[Reading]:
    """Yield what waits for each route, as far as it is known; of an empty queue it is."""
    found = sources.shape() if sources.spool.depth().messages else {}
    if found is None:
        return
    for route in config.routes:
        one = found.get(route.name, NOTHING)
        yield "route_queue_messages", (route.name,), one.messages
        yield "route_queue_oldest_seconds", (route.name,), 0.0 if one.oldest is None else max(0.0, now - one.oldest)


def _pace_gauges(config: Config, paces: Mapping[str, Standing]) -> Iterator[Reading]:
    for route in (route.name for route in config.routes):
        standing = paces.get(route)
        yield "paced_messages", (route,), standing.waiting if standing else 0
        yield "throttled_destinations", (route,), standing.throttled if standing else 0
        if standing and standing.rate < math.inf:
            yield "pace_messages_per_second", (route,), standing.rate


def _upstream_gauges(upstreams: Upstreams) -> Iterator[Reading]:
    for upstream in upstreams:
        labels = (upstream.route, upstream.smarthost.host, str(upstream.smarthost.port), upstream.smarthost.identity)
        if upstream.standing.reachable is not None:
            yield "upstream_up", labels, upstream.standing.reachable
        if upstream.report.cause:
            yield "upstream_failure", (*labels, upstream.report.cause), 1
        if upstream.standing.reached_at is not None:
            yield "upstream_last_success_timestamp_seconds", labels, upstream.standing.reached_at
