"""A Prometheus, asked over its HTTP API (v1, https://prometheus.io/docs/prometheus/latest/querying/api/). Standard library only."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE = 30.0
"""Seconds that one answer may take."""


class QueryError(Exception):
    """The server did not answer a query, and says why."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in seconds since the epoch, and how far apart two points in it are."""

    start: float
    end: float
    step: float


@dataclass(frozen=True, slots=True)
class Series:
    """One time series of an answer."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]
    """Times, in seconds since the epoch, and values, those that are no numbers left out: a quantile of nothing is none."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server."""

    address: str
    """Where it is, such as `http://127.0.0.1:9090`."""

    def now(self, expr: str) -> list[Series]:
        """Return the series of *expr* at this moment. Raises `QueryError` and `OSError`."""
        return [_series(one["metric"], [one["value"]]) for one in self._ask("query", query=expr)]

    def during(self, expr: str, span: Span) -> list[Series]:
        """Return the series of *expr* during *span*. Raises `QueryError` and `OSError`."""
        found = self._ask("query_range", query=expr, start=span.start, end=span.end, step=span.step)
        return [_series(one["metric"], one["values"]) for one in found]

    def _ask(self, what: str, **parameters: Any) -> list[dict[str, Any]]:
        url = f"{self.address}/api/v1/{what}"
        try:
            with urllib.request.urlopen(url, urllib.parse.urlencode(parameters).encode(), PATIENCE) as answer:  # noqa: S310 an http URL
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
                return found
        except urllib.error.HTTPError as error:
            with error:
                message = f"{parameters['query']}: {error.read().decode(errors='replace')}"
            raise QueryError(message) from error


def _series(labels: Mapping[str, str], values: list[list[Any]]) -> Series:
    points = ((float(when), float(value)) for when, value in values)
    return Series(labels, tuple((when, value) for when, value in points if math.isfinite(value)))
