"""The operator's metrics: what the table says is what is scraped, and what is counted is what happened."""

from __future__ import annotations

import asyncio
import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from smtp_gateway import __version__
from smtp_gateway_operator.metrics import ERRORS, METRICS, PREFIX, Metrics, documentation
from smtp_gateway_operator.names import Key
from smtp_gateway_operator.startup.process import WORDS

MAIL, OTHER = Key("apps", "mail"), Key("apps", "other")


@dataclass
class Queue:
    """What is read of the work queue."""

    depth: int = 0
    retries: int = 0


def lines(metrics: Metrics) -> list[str]:
    """Return the page, without the prefix."""
    return [line.removeprefix(f"{PREFIX}_") for line in metrics.exposition().decode().splitlines()]


def reconcile(metrics: Metrics, *errors: BaseException | None) -> None:
    """Let reconciles end with *errors*, each of which must come out again; None is a success."""

    def end(error: BaseException | None) -> None:
        with metrics.timed():
            if error is not None:
                raise error

    for error in errors:
        with pytest.raises(type(error)) if error else nullcontext():
            end(error)


async def test_the_page_has_what_the_table_has_and_nothing_else() -> None:
    """Both ways, with the types: no undocumented series, and none that is documented and never exported."""
    metrics = Metrics()
    metrics.watch_queue(Queue())

    declared = re.findall(r"^# TYPE (\S+) (\S+)$", (await metrics.page()).decode(), re.MULTILINE)
    assert sorted(declared) == sorted((metric.name, metric.type) for metric in METRICS)


async def test_every_metric_carries_the_labels_of_the_table() -> None:
    """Each is seen once with exactly its labels, buckets aside."""
    metrics = Metrics()
    metrics.watch_queue(Queue())
    metrics.observed(MAIL, {"Secret": 1}, ready=True)
    metrics.configured(MAIL, 1, "abc")
    metrics.heard("pods", 0)
    metrics.answered("pods", 0)
    metrics.missed("pods", 0)
    reconcile(metrics, None, ValueError())
    page = (await metrics.page()).decode()

    for metric in METRICS:
        suffix = "_count" if metric.type == "histogram" else ""
        sample = re.search(rf"^{metric.name}{suffix}(?:\{{(.*)\}})? ", page, re.MULTILINE)
        assert sample, metric.name
        assert set(re.findall(r'(\w+)="', sample[1] or "")) == set(metric.labels), metric.name


def test_a_reconcile_is_counted_and_timed_whatever_comes_of_it() -> None:
    """A failure passes through and is counted by its kind; one that is broken off, because it took too long, is a failure too."""
    metrics = Metrics()
    reconcile(metrics, None, None, ValueError("x"), asyncio.CancelledError())
    page = lines(metrics)

    assert 'reconcile_total{result="success"} 2.0' in page
    assert 'reconcile_total{result="error"} 2.0' in page
    assert 'reconcile_errors_total{error="ValueError"} 1.0' in page
    assert 'reconcile_errors_total{error="CancelledError"} 1.0' in page
    assert "reconcile_duration_seconds_count 4.0" in page


def test_objects_are_summed_over_gateways() -> None:
    """Each gateway counts with what it had when it was last looked at."""
    metrics = Metrics()
    metrics.observed(MAIL, {"Secret": 5, "Service": 2}, ready=False)
    metrics.observed(MAIL, {"Secret": 3, "Service": 2}, ready=True)
    metrics.observed(OTHER, {"Secret": 1}, ready=False)
    page = lines(metrics)

    assert 'managed_resources{kind="Secret"} 4.0' in page
    assert 'managed_resources{kind="Service"} 2.0' in page
    assert 'resource_ready{name="mail",namespace="apps"} 1.0' in page
    assert 'resource_ready{name="other",namespace="apps"} 0.0' in page


def test_a_gateway_that_is_gone_leaves_no_trace() -> None:
    """Neither its readiness nor its objects stay on the page, nor a kind that nobody has any more; a second farewell is fine."""
    metrics = Metrics()
    metrics.observed(MAIL, {"Secret": 3, "Service": 2}, ready=True)
    metrics.observed(OTHER, {"Secret": 1}, ready=True)

    metrics.gone(MAIL)
    metrics.gone(MAIL)

    page = "\n".join(lines(metrics))
    assert 'name="mail"' not in page
    assert 'kind="Service"' not in page
    assert 'managed_resources{kind="Secret"} 1.0' in page


def test_the_configuration_of_a_gateway_is_told_by_its_generation() -> None:
    """One at a time, so that whoever looks for the hash of a pod's configuration finds which change it is."""
    metrics = Metrics()
    metrics.configured(MAIL, 1, "abc")
    metrics.configured(OTHER, 1, "xyz")
    metrics.configured(MAIL, 2, "abc")
    metrics.configured(MAIL, 2, "abc")
    found = [line for line in lines(metrics) if line.startswith("resource_config_info{")]
    assert sorted(found) == [
        'resource_config_info{generation="1",hash="xyz",name="other",namespace="apps"} 1.0',
        'resource_config_info{generation="2",hash="abc",name="mail",namespace="apps"} 1.0',
    ]

    metrics.gone(MAIL)
    assert not [line for line in lines(metrics) if "config_info{" in line and 'name="mail"' in line]


def test_what_is_known_beforehand_is_there_at_nothing() -> None:
    """Prometheus' increase() does not see the event that makes a series."""
    page = lines(Metrics(WORDS))

    assert {'reconcile_total{result="success"} 0.0', 'reconcile_total{result="error"} 0.0'} <= set(page)
    assert {'reconcile_errors_total{error="ConflictError"} 0.0', 'watch_missed_total{resource="pods"} 0.0'} <= set(page)


def test_kinds_of_error_are_bounded() -> None:
    """Those that are foreseen have their series, and so do the first of the others."""
    metrics = Metrics(WORDS)
    for number in range(ERRORS):
        reconcile(metrics, type(f"Odd{number}Error", (Exception,), {})())
    reconcile(metrics, asyncio.CancelledError())
    found = [line for line in lines(metrics) if line.startswith("reconcile_errors_total{")]

    assert len(found) == ERRORS + 1
    assert f'reconcile_errors_total{{error="other"}} {len(WORDS.errors)}.0' in found
    assert {'reconcile_errors_total{error="Odd0Error"} 1.0', 'reconcile_errors_total{error="CancelledError"} 1.0'} <= set(found)


def test_the_queue_is_read_at_each_scrape() -> None:
    """The gauges are what the queue says at that moment."""
    metrics, queue = Metrics(), Queue()
    metrics.watch_queue(queue)
    assert "queue_depth 0.0" in lines(metrics)

    queue.depth, queue.retries = 7, 3

    assert {"queue_depth 7.0", "queue_retries_total 3.0"} <= set(lines(metrics))


def test_a_watch_that_went_silent_is_seen() -> None:
    """The time of the last word is per resource."""
    metrics = Metrics()
    metrics.heard("pods", 1000.0)
    metrics.heard("secrets", 2000.0)
    metrics.heard("pods", 3000.0)

    page = lines(metrics)
    assert 'watch_last_event_timestamp_seconds{resource="pods"} 3000.0' in page
    assert 'watch_last_event_timestamp_seconds{resource="secrets"} 2000.0' in page


def test_two_operators_do_not_share_their_counts() -> None:
    """The registry is the object's own, and says which version it counts for."""
    one, other = Metrics(), Metrics()
    one.observed(MAIL, {"Secret": 1}, ready=True)

    assert not [line for line in lines(other) if line.startswith("managed_resources{")]
    assert f'build_info{{version="{__version__}"}} 1.0' in lines(other)


def test_the_documentation_is_what_the_table_prints() -> None:
    """`docs/operator-metrics.md` is never edited by hand, and each meaning is a sentence."""
    assert Path("docs/operator-metrics.md").read_text() == documentation()
    for metric in METRICS:
        assert metric.meaning.endswith(".")
        assert metric.bound
        assert metric.name.endswith("_total") is (metric.type == "counter")
