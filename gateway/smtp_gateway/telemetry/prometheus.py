"""The metrics, in Prometheus' exposition: the only module that knows `prometheus_client`.

`METRICS` names every one of them; each is created from its row, so one that is not in the table does not exist, and
`docs/metrics.md` is printed from it (`python -m smtp_gateway.telemetry.prometheus`). The registry is this observer's own: what a
library adds to the global one is not exported. Labels are names that the configuration gives (listeners, routes, smarthosts, Secrets) or
words of the protocol, never anything a client sends.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from smtp_gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from smtp_gateway.mail.encryption import Encryption
    from smtp_gateway.mail.envelope import Peer
    from smtp_gateway.mail.reply import Reply

    Reading = tuple[str, tuple[str, ...], float]
    """A gauge's name without the prefix, its labels' values in their order, and what it stands at."""

_Measured = TypeVar("_Measured", Counter, Gauge, Histogram)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of the text exposition."""

# A second time series beside each counter and histogram, for when it was created, would double what is stored and answers nothing here.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's only unannotated function here

SYNC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Seconds: from a flash disk's sync to one that hangs."""
ATTEMPT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds: from a hop next door to the longest time-out of a phase."""
AGE_BUCKETS = (0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0, 86400.0, 432000.0)
"""Seconds: from "at once" to the five days after which mail is returned."""


class Kind(StrEnum):
    """The types of Prometheus' data model that are used here."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the documentation, and one metric."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


PREFIX = "smtp_gateway_"
"""Where the names of all metrics begin."""
_TOLD = (
    ("build_info", Kind.GAUGE, "version", "Always 1; the label says which version runs.", ()),
    ("start_time_seconds", Kind.GAUGE, "", "When the process started, in seconds since the epoch.", ()),
    ("refused_connections_total", Kind.COUNTER, "listener reason", "Connections closed without a session: see docs/connections.md.", ()),
    ("sessions_total", Kind.COUNTER, "listener", "SMTP sessions that clients opened.", ()),
    ("open_sessions", Kind.GAUGE, "listener", "SMTP sessions open now.", ()),
    (
        "tls_handshake_failures_total",
        Kind.COUNTER,
        "listener reason",
        "TLS handshakes that failed, after STARTTLS or under implicit TLS; docs/certificates.md has the reasons.",
        (),
    ),
    ("authentications_total", Kind.COUNTER, "mechanism result", "AUTH exchanges by result: `succeeded` or `failed`.", ()),
    (
        "authentication_failures_total",
        Kind.COUNTER,
        "mechanism reason",
        "AUTH exchanges without a login by reason: `credentials`, `authorization`, `banned`, `overloaded` or `incomplete`.",
        (),
    ),
    ("refusals_total", Kind.COUNTER, "listener command code", "Commands answered with a 4yz or 5yz code.", ()),
    (
        "accepted_messages_total",
        Kind.COUNTER,
        "listener identity",
        "Messages made durable; `identity` is a Secret's name, or `listener/NAME` without a login.",
        (),
    ),
    ("accepted_recipients_total", Kind.COUNTER, "listener identity", "Recipients of accepted messages.", ()),
    ("accepted_bytes_total", Kind.COUNTER, "listener identity", "Octets of accepted messages.", ()),
    ("postponed_messages_total", Kind.COUNTER, "listener code", "Messages that the spool could not take: their clients keep them.", ()),
    ("spool_sync_seconds", Kind.HISTOGRAM, "", "Time one commit of the spool took to be durable.", SYNC_BUCKETS),
    ("spool_synced_messages_total", Kind.COUNTER, "", "Messages made durable by those commits.", ()),
    ("attempt_seconds", Kind.HISTOGRAM, "route", "Time one delivery attempt took, whatever came of it.", ATTEMPT_BUCKETS),
    ("delivered_recipients_total", Kind.COUNTER, "route", "Recipients that a next hop took.", ()),
    (
        "encrypted_recipients_total",
        Kind.COUNTER,
        "route version verified",
        "Recipients that a next hop took under TLS: `TLSv1.2` or `TLSv1.3`, and whether its certificate was verified (`true`, `false`).",
        (),
    ),
    ("delivery_age_seconds", Kind.HISTOGRAM, "route", "Time from acceptance to delivery, once a delivered transaction.", AGE_BUCKETS),
    ("deferred_recipients_total", Kind.COUNTER, "route", "Recipients put off to another attempt, once an attempt.", ()),
    ("bounced_recipients_total", Kind.COUNTER, "route", "Recipients that failed for good.", ()),
    ("throttles_total", Kind.COUNTER, "route", "Answers by which next hops asked for less: see docs/pacing.md.", ()),
    (
        "notices_total",
        Kind.COUNTER,
        "kind fate",
        "Notices that were due: `failure`, `delay` or `success`, gone to the `sender` or the `postmaster`, `dropped` or `suppressed` (docs/bounces.md).",
        (),
    ),
    ("removed_messages_total", Kind.COUNTER, "", "Messages that `smtp-gateway queue remove` took out of the queue.", ()),
)
_READ = (
    ("queue_messages", "", "Messages in the spool, those being delivered included."),
    ("queue_oldest_seconds", "", "Age of the oldest message in the spool; 0 when it is empty."),
    ("queue_held_messages", "", "Messages in the spool that a person holds."),
    ("queue_lateness_seconds", "", "By how much the most overdue message is late; 0 when nothing is due."),
    ("spool_volume_bytes", "", "Size of the spool's volume."),
    ("spool_free_bytes", "", "What new mail may still use of the volume; 0 when it is refused for want of space."),
    ("paced_messages", "route", "Messages that are due and wait for their pace."),
    ("pace_messages_per_second", "route", "How fast this pod may give a route messages now; absent for routes without a pace."),
    ("throttled_destinations", "route", "Destinations that asked for less and are given less."),
    ("upstream_up", "route host port credentials", "Whether the last probe of a smarthost came through; absent before the first."),
    (
        "upstream_failure",
        "route host port credentials cause",
        "1 for what the last probe of a smarthost failed by, in one word (docs/operations.md); absent while it comes through.",
    ),
    (
        "upstream_last_success_timestamp_seconds",
        "route host port credentials",
        "When a probe of a smarthost last came through, in seconds since the epoch; absent when none has.",
    ),
    ("port_25_blocked", "", "Whether exchangers of several domains give no answer on port 25, and none of any domain does."),
    ("draining", "", "Whether no new mail is taken because this pod is to become empty, or stops."),
    (
        "certificate_expiration_timestamp_seconds",
        "",
        "When the listeners' certificate in force expires, in seconds since the epoch.",
    ),
    ("config_info", "hash", "Always 1; the label says which configuration is in force."),
    ("config_last_load_successful", "", "Whether the newest configuration in the folder could be loaded."),
)
READ_AT_SCRAPE = {name: Metric(f"{PREFIX}{name}", Kind.GAUGE, tuple(labels.split()), meaning) for name, labels, meaning in _READ}
"""The gauges that come from their sources, by their names without the prefix."""
METRICS = (
    *(Metric(f"{PREFIX}{name}", kind, tuple(labels.split()), meaning, buckets) for name, kind, labels, meaning, buckets in _TOLD),
    *READ_AT_SCRAPE.values(),
)
"""Every metric that a gateway exports."""


class PrometheusObserver:
    """An observer (`smtp_gateway.telemetry.observer`) that counts, and the page where the counts are read."""

    def __init__(self) -> None:
        """Start all counts at nothing."""
        self._registry = CollectorRegistry()
        # By name, and by name and labels.
        self._counters: dict[tuple[str, ...], Counter] = {}
        self._gauges: dict[tuple[str, ...], Gauge] = {}
        self._histograms: dict[tuple[str, ...], Histogram] = {}
        for metric in METRICS:
            if metric not in READ_AT_SCRAPE.values():
                self._create(metric)
        self._gauge("build_info", __version__).set(1)
        self._gauge("start_time_seconds").set(time.time())

    def _create(self, metric: Metric) -> None:
        key = (metric.name.removeprefix(PREFIX),)
        if metric.kind is Kind.COUNTER:
            self._counters[key] = Counter(metric.name, metric.meaning, metric.labels, registry=self._registry)
        elif metric.kind is Kind.GAUGE:
            self._gauges[key] = Gauge(metric.name, metric.meaning, metric.labels, registry=self._registry)
        else:
            self._histograms[key] = Histogram(metric.name, metric.meaning, metric.labels, registry=self._registry, buckets=metric.buckets)

    def read(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Ask *read* for `READ_AT_SCRAPE` at every scrape: gauges come from their source, so that they cannot drift from it."""
        self._registry.register(_Gauges(read))

    def page(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self._registry)

    def turned_away(self, listener: str, reason: str) -> None:
        """Count a connection that is no session."""
        self._count("refused_connections_total", listener, reason)

    def connected(self, listener: str) -> None:
        """Count a session that began."""
        self._count("sessions_total", listener)
        self._gauge("open_sessions", listener).inc()

    def disconnected(self, listener: str) -> None:
        """Count a session that ended."""
        self._gauge("open_sessions", listener).dec()

    def handshake_failed(self, listener: str, reason: str) -> None:
        """Count a handshake that failed."""
        self._count("tls_handshake_failures_total", listener, reason)

    def authenticated(self, mechanism: str, *, succeeded: bool) -> None:
        """Count an AUTH exchange."""
        self._count("authentications_total", mechanism, "succeeded" if succeeded else "failed")

    def authentication_failed(self, mechanism: str, reason: str) -> None:
        """Count why an AUTH exchange gave no login."""
        self._count("authentication_failures_total", mechanism, reason)

    def refused(self, listener: str, command: str, reply: Reply) -> None:
        """Count a refusal."""
        self._count("refusals_total", listener, command, str(reply.code))

    def accepted(self, peer: Peer, recipients: int, octets: int) -> None:
        """Count a message that is durable."""
        labels = (peer.listener, peer.identity or "")
        self._count("accepted_messages_total", *labels)
        self._count("accepted_recipients_total", *labels, amount=recipients)
        self._count("accepted_bytes_total", *labels, amount=octets)

    def postponed(self, peer: Peer, reply: Reply) -> None:
        """Count a message that its client keeps."""
        self._count("postponed_messages_total", peer.listener, str(reply.code))

    def synced(self, messages: int, seconds: float) -> None:
        """Count a commit of the spool."""
        self._observe("spool_sync_seconds", seconds)
        self._count("spool_synced_messages_total", amount=messages)

    def attempted(self, route: str, seconds: float) -> None:
        """Count a delivery attempt."""
        self._observe("attempt_seconds", seconds, route)

    def delivered(self, route: str, recipients: int, age: float) -> None:
        """Count recipients that arrived."""
        self._count("delivered_recipients_total", route, amount=recipients)
        self._observe("delivery_age_seconds", age, route)

    def encrypted(self, route: str, recipients: int, encryption: Encryption) -> None:
        """Count recipients whose message went under TLS."""
        self._count("encrypted_recipients_total", route, encryption.version, str(encryption.verified).lower(), amount=recipients)

    def deferred(self, route: str, recipients: int) -> None:
        """Count recipients that wait."""
        self._count("deferred_recipients_total", route, amount=recipients)

    def bounced(self, route: str, recipients: int) -> None:
        """Count recipients that failed."""
        self._count("bounced_recipients_total", route, amount=recipients)

    def throttled(self, route: str) -> None:
        """Count an answer that asked for less."""
        self._count("throttles_total", route)

    def notified(self, kind: str, fate: str) -> None:
        """Count a notice that was due."""
        self._count("notices_total", kind, fate)

    def removed(self) -> None:
        """Count a message that a person removed."""
        self._count("removed_messages_total")

    def _count(self, name: str, *labels: str, amount: int = 1) -> None:
        _child(self._counters, (name, *labels)).inc(amount)

    def _gauge(self, name: str, *labels: str) -> Gauge:
        return _child(self._gauges, (name, *labels))

    def _observe(self, name: str, value: float, *labels: str) -> None:
        _child(self._histograms, (name, *labels)).observe(value)


def _child(known: dict[tuple[str, ...], _Measured], key: tuple[str, ...]) -> _Measured:
    """Return the time series with the name and labels in *key*, and remember it: the library's own look-up takes longer than the counting."""
    found = known.get(key)
    if found is None:
        found = known[key] = known[key[:1]].labels(*key[1:])
    return found


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


def documentation() -> str:
    """Return the metrics as the Markdown page `docs/metrics.md`."""
    rows = (
        f"| `{each.name}` | {each.kind.value} | {', '.join(f'`{label}`' for label in each.labels) or '-'} | {each.meaning} |"
        for each in METRICS
    )
    return "\n".join(
        (
            "# Metrics of a gateway",
            "",
            "Every gateway pod exports these on its HTTP port (8080) under `/metrics`, without mail addresses.",
            "This page is printed by `python -m smtp_gateway.telemetry.prometheus`; a test scrapes a gateway and compares.",
            "",
            "| name | type | labels | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        )
    )


if __name__ == "__main__":
    sys.stdout.write(documentation())
