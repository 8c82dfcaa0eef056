"""The operator's own metrics: private registries, and the table that documents them.

`python -m smtp_gateway_operator.metrics` prints the table as Markdown; a test scrapes and compares, both ways.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Tally
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from smtp_gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from smtp_gateway_operator.names import Key


class Watched(Protocol):
    """What is read of the work queue."""

    retries: int

    @property
    def depth(self) -> int:
        """How many keys wait."""


# A second time series beside each counter and histogram, for when it was created: documented nowhere, and it answers nothing here.
disable_created_metrics()  # type: ignore[no-untyped-call] # the library's only unannotated function here

PREFIX = "smtp_gateway_operator"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The exposition format that every scraper understands, and the one that `generate_latest` writes."""
BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)
"""Seconds: around the usual 30 ms, up to the limit of one reconcile."""


@dataclass(frozen=True, slots=True)
class Documented:
    """One metric, as its documentation says."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str
    bound: str
    """How many series there are at most."""


ERRORS = 20
"""Kinds of error with a series of their own: those that are foreseen, and as many others as come first. The rest are `other`."""
METRICS = (
    Documented(
        f"{PREFIX}_reconcile_total",
        "counter",
        ("result",),
        "Reconciles that ended: `success`, also where a Secret of the user's is waited for or the namespace is being deleted, or `error` when one was given up.",
        "2",
    ),
    Documented(
        f"{PREFIX}_reconcile_errors_total",
        "counter",
        ("error",),
        f"Reconciles that were given up, by the kind of error: the foreseen ones, and of others the first; {ERRORS} in all, the rest as `other`.",
        f"{ERRORS} + 1",
    ),
    Documented(f"{PREFIX}_reconcile_duration_seconds", "histogram", (), "How long reconciles took.", "1"),
    Documented(f"{PREFIX}_queue_depth", "gauge", (), "Gateways that wait for a worker.", "1"),
    Documented(f"{PREFIX}_queue_retries_total", "counter", (), "Reconciles that were put off for another attempt.", "1"),
    Documented(f"{PREFIX}_managed_resources", "gauge", ("kind",), "Objects that the operator keeps for gateways.", "kinds (9)"),
    Documented(
        f"{PREFIX}_resource_ready",
        "gauge",
        ("namespace", "name"),
        "1 while the gateway's Ready condition is True, 0 otherwise.",
        "gateways",
    ),
    Documented(
        f"{PREFIX}_resource_config_info",
        "gauge",
        ("namespace", "name", "generation", "hash"),
        "Always 1; which configuration the newest generation of the resource that could be brought about is. Pods say which one they run by "
        "`smtp_gateway_config_info`, with the same hash.",
        "gateways",
    ),
    Documented(
        f"{PREFIX}_watch_last_event_timestamp_seconds",
        "gauge",
        ("resource",),
        "When the watch of a resource last told anything, in seconds since the epoch.",
        "watches (12)",
    ),
    Documented(
        f"{PREFIX}_watch_last_answer_timestamp_seconds",
        "gauge",
        ("resource",),
        "When the API server last answered the watch of a resource, in seconds since the epoch; watches ask again every 5 minutes.",
        "watches (12)",
    ),
    Documented(
        f"{PREFIX}_watch_missed_total",
        "counter",
        ("resource",),
        "Changes that a resync found before the watch of the resource had told them.",
        "watches (10)",
    ),
    Documented(
        f"{PREFIX}_leader", "gauge", (), "1 while this process holds its Leases and works, 0 while it waits for another operator.", "1"
    ),
    Documented(f"{PREFIX}_build_info", "gauge", ("version",), "Always 1; the label says which version runs.", "1"),
    Documented("process_virtual_memory_bytes", "gauge", (), "Virtual memory of the process.", "1"),
    Documented("process_resident_memory_bytes", "gauge", (), "Resident memory of the process.", "1"),
    Documented("process_start_time_seconds", "gauge", (), "When the process started, in seconds since the epoch.", "1"),
    Documented("process_cpu_seconds_total", "counter", (), "Processor time of the process, its user's and its system's.", "1"),
    Documented("process_open_fds", "gauge", (), "Files and connections that are open.", "1"),
    Documented("process_max_fds", "gauge", (), "How many may be open.", "1"),
)
_TABLE = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Words:
    """What labels will say, as far as that is known beforehand: Prometheus' `increase()` does not see the event that makes a series."""

    resources: tuple[str, ...] = ()
    """Those that are watched, by their plurals."""
    errors: tuple[str, ...] = ()
    """The kinds of error that reconciles are given up for."""


class Metrics:
    """Everything that the operator counts."""

    def __init__(self, words: Words | None = None) -> None:
        """Register every metric of the table that is counted here, with the series of *words*; those of the queue come with `watch_queue`."""
        words = words or Words()
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self._registry = CollectorRegistry()
        self._results = Counter(*self._of("reconcile_total"), registry=self._registry)
        self._errors = Counter(*self._of("reconcile_errors_total"), registry=self._registry)
        self._durations = Histogram(*self._of("reconcile_duration_seconds"), registry=self._registry, buckets=BUCKETS)
        self._managed = Gauge(*self._of("managed_resources"), registry=self._registry)
        self._configured = Gauge(*self._of("resource_config_info"), registry=self._registry)
        self._ready = Gauge(*self._of("resource_ready"), registry=self._registry)
        self._watched = Gauge(*self._of("watch_last_event_timestamp_seconds"), registry=self._registry)
        self._answered = Gauge(*self._of("watch_last_answer_timestamp_seconds"), registry=self._registry)
        self._missed = Counter(*self._of("watch_missed_total"), registry=self._registry)
        self._leader = Gauge(*self._of("leader"), registry=self._registry)
        Gauge(*self._of("build_info"), registry=self._registry).labels(__version__).set(1)
        self._children: dict[Key, Tally[str]] = {}
        self._configurations: dict[Key, tuple[str, ...]] = {}
        """The labels of each gateway's configuration."""
        self._kinds = set(words.errors)
        """The errors with series of their own."""
        for result in ("success", "error"):
            self._results.labels(result)
        for error in words.errors:
            self._errors.labels(error)
        for resource in words.resources:
            self._missed.labels(resource)

    def watch_queue(self, queue: Watched) -> None:
        """Read the depth and retries of *queue* at every scrape."""
        self._registry.register(_QueueCollector(queue))

    @contextmanager
    def timed(self, awaited: type[Exception] | tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Count and time one reconcile, whatever comes of it; what is *awaited* is no failure."""
        begin = time.perf_counter()
        try:
            yield
        except awaited:
            self._results.labels("success").inc()
            raise
        except (Exception, asyncio.CancelledError) as error:  # cancelled: broken off by the work queue because it took too long
            self._results.labels("error").inc()
            self._errors.labels(self._kind(type(error).__name__)).inc()
            raise
        else:
            self._results.labels("success").inc()
        finally:
            self._durations.observe(time.perf_counter() - begin)

    def observed(self, key: Key, children: Mapping[str, int], *, ready: bool) -> None:
        """Note how a gateway stands, and how many objects of each kind it has."""
        self.stands(key, ready=ready)
        self._children[key] = Tally(children)
        self._count_children()

    def stands(self, key: Key, *, ready: bool) -> None:
        """Note how a gateway stands after a look at its pods."""
        self._ready.labels(key.namespace, key.name).set(ready)

    def configured(self, key: Key, generation: int, config_hash: str) -> None:
        """Note which configuration this *generation* of a gateway's resource is, now that it was brought about."""
        labels = (key.namespace, key.name, str(generation), config_hash)
        before = self._configurations.get(key)
        if before not in (None, labels):
            self._configured.remove(*before)
        self._configurations[key] = labels
        self._configured.labels(*labels).set(1)

    def gone(self, key: Key) -> None:
        """Drop what was noted of a gateway that is gone; fine if there was nothing."""
        if self._children.pop(key, None) is not None:
            self._ready.remove(key.namespace, key.name)
            self._count_children()
        if (labels := self._configurations.pop(key, None)) is not None:
            self._configured.remove(*labels)

    def heard(self, resource: str, now: float) -> None:
        """Note that the watch of *resource* told something at *now*, in seconds since the epoch."""
        self._watched.labels(resource).set(now)

    def answered(self, resource: str, now: float) -> None:
        """Note that the API server answered the watch of *resource* at *now*, in seconds since the epoch."""
        self._answered.labels(resource).set(now)

    def missed(self, resource: str, number: int) -> None:
        """Count changes that the watch of *resource* had not told when a list did."""
        self._missed.labels(resource).inc(number)

    def leading(self) -> None:
        """Note that this process holds its Leases."""
        self._leader.set(1)

    async def page(self) -> bytes:
        """Return all metrics in the text format. The process' own are asked for in a thread, because that reads files."""
        return self.exposition() + await asyncio.to_thread(generate_latest, self._process)

    def exposition(self) -> bytes:
        """Return all metrics but the process' own in the text format."""
        return generate_latest(self._registry)

    def _kind(self, error: str) -> str:
        """Return what an error of the class *error* is counted as."""
        if error not in self._kinds and len(self._kinds) >= ERRORS:
            return "other"
        self._kinds.add(error)
        return error

    def _count_children(self) -> None:
        self._managed.clear()
        for kind, number in sum(self._children.values(), Tally()).items():
            self._managed.labels(kind).set(number)

    def _of(self, name: str) -> tuple[str, str, tuple[str, ...]]:
        """Return name, help text and labels as the table has them."""
        documented = _TABLE[f"{PREFIX}_{name}"]
        return documented.name, documented.meaning, documented.labels


class _QueueCollector(Collector):
    """Reads the queue at scrape time."""

    def __init__(self, queue: Watched) -> None:
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        """Return the queue's metrics."""
        depth, retries = _TABLE[f"{PREFIX}_queue_depth"], _TABLE[f"{PREFIX}_queue_retries_total"]
        yield GaugeMetricFamily(depth.name, depth.meaning, value=self._queue.depth)
        yield CounterMetricFamily(retries.name, retries.meaning, value=self._queue.retries)


def documentation() -> str:
    """Return the table as Markdown."""
    rows = [
        f"| `{metric.name}` | {metric.type} | {', '.join(f'`{label}`' for label in metric.labels) or '-'} | {metric.bound} | {metric.meaning} |"
        for metric in METRICS
    ]
    head = [
        "# Metrics of the operator",
        "",
        "Served as `/metrics` on the operator's HTTP port, 8080 by default.",
        "",
        "*Bound* says how many series there are of a metric at most; a histogram has as many of each of its buckets, of its sum and of its count.",
        "A gateway that is gone takes its series with it. Counters whose labels are known beforehand are there from the start, at 0.",
        "",
    ]
    return "\n".join([*head, "| name | type | labels | bound | meaning |", "|---|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    print(documentation(), end="")  # noqa: T201 printing is what this is run for
