"""The metrics, in Prometheus' exposition: the only module that knows `prometheus_client`.

Each metric is created from its row of `smtp_gateway.telemetry.table`, so one that is not in the table does not exist. The registry is this
observer's own: what a library adds to the global one is not exported.

What a message causes is counted by series that are looked up once and kept, those that are counted together behind one look-up: the library's
own look-up takes longer than the counting.
"""

from __future__ import annotations

import asyncio
import time
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from smtp_gateway import __version__
from smtp_gateway.telemetry.bounds import NOTICES, OTHER, PAIRS, Leaving, Pairs
from smtp_gateway.telemetry.expected import Words
from smtp_gateway.telemetry.table import COUNTED, PREFIX, READ_AT_SCRAPE, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from smtp_gateway.mail.encryption import Encryption
    from smtp_gateway.mail.envelope import Peer
    from smtp_gateway.mail.reply import Reply
    from smtp_gateway.telemetry.bounds import Labels
    from smtp_gateway.telemetry.expected import Names
    from smtp_gateway.telemetry.table import Metric

    Reading = tuple[str, tuple[str, ...], float]
    """A gauge's name without the prefix, its labels' values in their order, and what it stands at."""
    Counting = Callable[[float], None]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of the text exposition."""

# A second time series beside each counter and histogram, for when it was created, would double what is stored and answers nothing here.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's only unannotated function here

_ARRIVALS = ("accepted_messages_total", "accepted_recipients_total", "accepted_bytes_total")
_DEPARTURES = ("delivered_recipients_total", "deferred_recipients_total", "bounced_recipients_total")
_RESULTS = {True: "succeeded", False: "failed"}
_TRUTH = {True: "true", False: "false"}
_LABELS = {metric.name.removeprefix(PREFIX): metric.labels for metric in COUNTED}
_ON_ROUTES = ("attempt_seconds", "delivery_age_seconds", "retries_total", "throttles_total")
_GROUPS = (_ARRIVALS, _DEPARTURES, _ON_ROUTES, ("encrypted_recipients_total",))
"""Counted by the same labels: these go together when a route or an identity has left."""


class _Arrivals(NamedTuple):
    """What is counted of one identity at one listener."""

    messages: Counting
    recipients: Counting
    octets: Counting
    seconds: Counting


class _Departures(NamedTuple):
    """What is counted of one identity's recipients on one route."""

    delivered: Counting
    deferred: Counting
    bounced: Counting
    age: Counting


class PrometheusObserver:
    """An observer (`smtp_gateway.telemetry.observer`) that counts, and the page where the counts are read."""

    def __init__(self, words: Words | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Start all counts at nothing; labels will say *words*, and *clock* tells seconds."""
        self._clock = clock
        self._words = words or Words()
        self._names: Names | None = None
        """What is in the configuration; None while nothing is known of it, and then nothing leaves."""
        self._registry = CollectorRegistry()
        self._families = {metric.name.removeprefix(PREFIX): _family(metric, self._registry) for metric in COUNTED}
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self._pairs = {_ARRIVALS: Pairs(), _DEPARTURES: Pairs()}
        self._leaving = {group: Leaving() for group in _GROUPS}
        self._may_leave = False
        """Whether there may be series of what is in the configuration no longer."""
        self._series: dict[tuple[str, ...], Counting] = {}
        """By name and labels."""
        self._arrivals: dict[tuple[str, str], _Arrivals] = {}
        self._departures: dict[tuple[str, str], _Departures] = {}
        self._count("build_info", __version__)
        self._count("start_time_seconds", amount=time.time())
        for name, labels in _of_words(self._words):
            self._child(name, labels)

    def read(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Ask *read* for `READ_AT_SCRAPE` at every scrape: gauges come from their source, so that they cannot drift from it."""
        self._registry.register(_Gauges(read))

    def expect(self, names: Names) -> None:
        """Have the series of *names* from now on, at 0 as long as nothing happens; those of others are dropped when they have idled."""
        self._names = names
        self._may_leave = True
        for name, labels in _of_names(names, self._words):
            self._child(name, labels)
        for group, pairs in ((_ARRIVALS, names.arrivals), (_DEPARTURES, names.departures)):
            own = len(pairs) <= PAIRS
            expected: set[Labels] = {self._pairs[group].labels(*pair) if own else (pair[0], OTHER) for pair in pairs}
            for name, labels in product(group, expected):
                self._child(name, labels)
        self._look_up_anew()

    async def exposition(self) -> bytes:
        """Return all metrics as text. The process' own are asked for in a thread: counting its files takes as long as it has many."""
        return self.page() + await asyncio.to_thread(generate_latest, self._process)

    def page(self) -> bytes:
        """Return all metrics but the process' own as text."""
        if self._may_leave and self._names is not None:
            self._drop(self._names)
        return generate_latest(self._registry)

    # ---- what happens

    def turned_away(self, listener: str, reason: str) -> None:
        """Count a connection that is no session."""
        self._count("refused_connections_total", listener, reason)

    def connected(self, listener: str) -> None:
        """Count a session that began."""
        self._count("sessions_total", listener)
        self._count("open_sessions", listener)

    def disconnected(self, listener: str) -> None:
        """Count a session that ended."""
        self._count("open_sessions", listener, amount=-1)

    def shook_hands(self, listener: str, version: str) -> None:
        """Count a handshake that came to its end."""
        self._count("tls_sessions_total", listener, version)

    def handshake_failed(self, listener: str, reason: str) -> None:
        """Count a handshake that failed."""
        self._count("tls_handshake_failures_total", listener, reason)

    def authenticated(self, mechanism: str, *, succeeded: bool) -> None:
        """Count an AUTH exchange."""
        self._count("authentications_total", mechanism, _RESULTS[succeeded])

    def authentication_failed(self, mechanism: str, reason: str) -> None:
        """Count why an AUTH exchange gave no login."""
        self._count("authentication_failures_total", mechanism, reason)

    def refused(self, listener: str, command: str, reply: Reply) -> None:
        """Count a refusal."""
        self._count("refusals_total", listener, command, str(reply.code))

    def accepted(self, peer: Peer, recipients: int, octets: int, seconds: float) -> None:
        """Count a message that is durable."""
        key = (peer.listener, peer.identity or "")
        count = self._arrivals.get(key) or self._arriving(*key)
        count.messages(1)
        count.recipients(recipients)
        count.octets(octets)
        count.seconds(seconds)

    def postponed(self, peer: Peer, reply: Reply) -> None:
        """Count a message that its client keeps."""
        self._count("postponed_messages_total", peer.listener, str(reply.code))

    def synced(self, messages: int, seconds: float) -> None:
        """Count a commit of the spool."""
        self._count("spool_sync_seconds", amount=seconds)
        self._count("spool_synced_messages_total", amount=messages)

    def attempted(self, route: str, seconds: float, *, again: bool) -> None:
        """Count a delivery attempt."""
        self._count("attempt_seconds", route, amount=seconds)
        if again:
            self._count("retries_total", route)

    def delivered(self, route: str, identity: str, recipients: int, age: float) -> None:
        """Count recipients that arrived."""
        count = self._departures.get((route, identity)) or self._departing(route, identity)
        count.delivered(recipients)
        count.age(age)

    def encrypted(self, route: str, recipients: int, encryption: Encryption) -> None:
        """Count recipients whose message went under TLS."""
        self._count("encrypted_recipients_total", route, encryption.version, _TRUTH[encryption.verified], amount=recipients)

    def deferred(self, route: str, identity: str, recipients: int) -> None:
        """Count recipients that wait."""
        (self._departures.get((route, identity)) or self._departing(route, identity)).deferred(recipients)

    def bounced(self, route: str, identity: str, recipients: int) -> None:
        """Count recipients that failed."""
        (self._departures.get((route, identity)) or self._departing(route, identity)).bounced(recipients)

    def throttled(self, route: str) -> None:
        """Count an answer that asked for less."""
        self._count("throttles_total", route)

    def notified(self, kind: str, fate: str) -> None:
        """Count a notice that was due."""
        self._count("notices_total", kind, fate)

    def removed(self) -> None:
        """Count a message that a person removed."""
        self._count("removed_messages_total")

    # ---- series

    def _count(self, *key: str, amount: float = 1) -> None:
        """Count *amount* in the series with this name and these labels; a histogram observes it."""
        (self._series.get(key) or self._found(key))(amount)

    def _found(self, key: tuple[str, ...]) -> Counting:
        found = self._series[key] = self._child(key[0], key[1:])
        self._may_leave = True
        return found

    def _arriving(self, listener: str, identity: str) -> _Arrivals:
        labels = self._pairs[_ARRIVALS].labels(listener, identity)
        messages, recipients, octets = (self._child(name, labels) for name in _ARRIVALS)
        series = _Arrivals(messages, recipients, octets, self._child("accept_seconds", (listener,)))
        self._arrivals[listener, identity] = series
        self._may_leave = True
        return series

    def _departing(self, route: str, identity: str) -> _Departures:
        labels = self._pairs[_DEPARTURES].labels(route, identity or NOTICES)
        delivered, deferred, bounced = (self._child(name, labels) for name in _DEPARTURES)
        series = _Departures(delivered, deferred, bounced, self._child("delivery_age_seconds", (route,)))
        self._departures[route, identity] = series
        self._may_leave = True
        return series

    def _child(self, name: str, labels: Labels) -> Counting:
        """Return what counts in the series called *name* with *labels*, which is there from now on."""
        family = self._families[name]
        child = family.labels(*labels) if labels else family
        return child.observe if isinstance(child, Histogram) else child.inc

    def _drop(self, names: Names) -> None:
        """Drop the series of what is not among *names*, where nothing was counted for a while."""
        now, dropped = self._clock(), False
        self._may_leave = False
        for group, leaving in self._leaving.items():
            left = {labels: total for labels, total in self._totals(group).items() if not names.have(_LABELS[group[0]], labels)}
            idle = leaving.idle(left, now)
            for name, labels in product(group, idle):
                self._families[name].remove(*labels)
            if group in self._pairs:
                self._pairs[group].forget(idle)
            self._may_leave = self._may_leave or len(idle) < len(left)
            dropped = dropped or bool(idle)
        if dropped:
            self._look_up_anew()

    def _look_up_anew(self) -> None:
        """Forget which series were looked up: some are there no longer, or there is room for others, and names that left are not kept for ever."""
        for kept in (self._series, self._arrivals, self._departures):
            kept.clear()

    def _totals(self, group: tuple[str, ...]) -> dict[Labels, float]:
        """Return what was counted by the metrics of *group*, by their labels."""
        totals: dict[Labels, float] = {}
        for name in group:
            for sample in (sample for family in self._families[name].collect() for sample in family.samples):
                if sample.name.endswith(("_total", "_count")):
                    labels = tuple(sample.labels[label] for label in _LABELS[name])
                    totals[labels] = totals.get(labels, 0) + sample.value
        return totals


def _family(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    if metric.kind is Kind.HISTOGRAM:
        return Histogram(metric.name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets)
    kind = Counter if metric.kind is Kind.COUNTER else Gauge
    return kind(metric.name, metric.meaning, metric.labels, registry=registry)


def _of_words(words: Words) -> Iterator[tuple[str, Labels]]:
    """Yield the series that there are whatever is configured, by name and labels."""
    for mechanism in words.mechanisms:
        yield from (("authentications_total", (mechanism, result)) for result in _RESULTS.values())
        yield from (("authentication_failures_total", (mechanism, reason)) for reason in words.authentications)
    yield from (("notices_total", notice) for notice in words.notices)


def _of_names(names: Names, words: Words) -> Iterator[tuple[str, Labels]]:
    """Yield the series of each listener and of each route."""
    said: tuple[tuple[str, Iterable[Labels]], ...] = (
        ("refused_connections_total", product(words.connections)),
        ("sessions_total", ((),)),
        ("open_sessions", ((),)),
        ("tls_sessions_total", product(words.versions)),
        ("tls_handshake_failures_total", product(words.handshakes)),
        ("refusals_total", words.refusals),
        ("accept_seconds", ((),)),
        ("postponed_messages_total", product(words.postponements)),
    )
    for name, rest in said:
        yield from ((name, (listener, *more)) for listener, more in product(names.listeners, rest))
    for route in names.routes:
        yield from ((name, (route,)) for name in _ON_ROUTES)
        yield from (("encrypted_recipients_total", (route, *how)) for how in product(words.versions, _TRUTH.values()))


class _Gauges(Collector):
    """The gauges that are read when they are asked for."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read all of them at once, so that they belong to the same moment."""
        families = {name: GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels) for name, metric in READ_AT_SCRAPE.items()}
        for name, labels, value in self._read():
            families[name].add_metric(labels, value)
        yield from families.values()
