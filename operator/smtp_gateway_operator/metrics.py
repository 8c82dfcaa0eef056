"""The operator's own metrics: a private registry, and the table that documents them.

`python -m smtp_gateway_operator.metrics` prints the table as Markdown; a test scrapes and compares, both ways.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Tally
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
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


METRICS = (
    Documented(
        f"{PREFIX}_reconcile_total",
        "counter",
        ("result",),
        "Reconciles that ended: `success`, also where a Secret of the user's is waited for, or `error` when one was given up.",
    ),
    Documented(f"{PREFIX}_reconcile_errors_total", "counter", ("error",), "Reconciles that were given up, by the kind of error."),
    Documented(f"{PREFIX}_reconcile_duration_seconds", "histogram", (), "How long reconciles took."),
    Documented(f"{PREFIX}_queue_depth", "gauge", (), "Gateways that wait for a worker."),
    Documented(f"{PREFIX}_queue_retries_total", "counter", (), "Reconciles that were put off for another attempt."),
    Documented(f"{PREFIX}_managed_resources", "gauge", ("kind",), "Objects that the operator keeps for gateways."),
    Documented(f"{PREFIX}_resource_ready", "gauge", ("namespace", "name"), "1 while the gateway's Ready condition is True, 0 otherwise."),
    Documented(
        f"{PREFIX}_watch_last_event_timestamp_seconds",
        "gauge",
        ("resource",),
        "When the watch of a resource last told anything, in seconds since the epoch.",
    ),
    Documented(
        f"{PREFIX}_watch_last_answer_timestamp_seconds",
        "gauge",
        ("resource",),
        "When the API server last answered the watch of a resource, in seconds since the epoch; watches ask again every 5 minutes.",
    ),
    Documented(
        f"{PREFIX}_watch_missed_total",
        "counter",
        ("resource",),
        "Changes that a resync found before the watch of the resource had told them.",
    ),
    Documented(f"{PREFIX}_leader", "gauge", (), "1 while this process holds its Leases and works, 0 while it waits for another operator."),
    Documented(f"{PREFIX}_build_info", "gauge", ("version",), "Always 1; the label says which version runs."),
)
_TABLE = {metric.name: metric for metric in METRICS}


class Metrics:
    """Everything that the operator counts."""

    def __init__(self) -> None:
        """Register every metric of the table that is counted here; those of the queue come with `watch_queue`."""
        self._registry = CollectorRegistry()
        self._results = Counter(*self._of("reconcile_total"), registry=self._registry)
        self._errors = Counter(*self._of("reconcile_errors_total"), registry=self._registry)
        self._durations = Histogram(*self._of("reconcile_duration_seconds"), registry=self._registry, buckets=BUCKETS)
        self._managed = Gauge(*self._of("managed_resources"), registry=self._registry)
        self._ready = Gauge(*self._of("resource_ready"), registry=self._registry)
        self._watched = Gauge(*self._of("watch_last_event_timestamp_seconds"), registry=self._registry)
        self._answered = Gauge(*self._of("watch_last_answer_timestamp_seconds"), registry=self._registry)
        self._missed = Counter(*self._of("watch_missed_total"), registry=self._registry)
        self._leader = Gauge(*self._of("leader"), registry=self._registry)
        Gauge(*self._of("build_info"), registry=self._registry).labels(__version__).set(1)
        self._children: dict[Key, Tally[str]] = {}

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
            self._errors.labels(type(error).__name__).inc()
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

    def gone(self, key: Key) -> None:
        """Drop what was noted of a gateway that is gone; fine if there was nothing."""
        if self._children.pop(key, None) is not None:
            self._ready.remove(key.namespace, key.name)
            self._count_children()

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

    def exposition(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self._registry)

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
        f"| `{metric.name}` | {metric.type} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.meaning} |"
        for metric in METRICS
    ]
    head = ["# Metrics of the operator", "", "Served as `/metrics` on the operator's HTTP port, 8080 by default.", ""]
    return "\n".join([*head, "| name | type | labels | meaning |", "|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    print(documentation(), end="")  # noqa: T201 printing is what this is run for
