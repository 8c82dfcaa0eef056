"""What a dashboard is made of, as values without Grafana: rows of panels, each of which asks a Prometheus something."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Look(StrEnum):
    """How a panel shows its answer, by Grafana's names."""

    NUMBER = "stat"
    LINES = "timeseries"
    HEATMAP = "heatmap"
    STATES = "state-timeline"
    TABLE = "table"


class Unit(StrEnum):
    """Units of Grafana's (`@grafana/data`, valueFormats/categories)."""

    COUNT = "short"
    PER_MINUTE = "cpm"
    PER_SECOND = "cps"
    SECONDS = "s"
    BYTES = "bytes"
    BYTES_PER_SECOND = "binBps"
    SHARE = "percentunit"
    STATE = "none"


GOOD, WATCH, BAD = "green", "orange", "red"
"""What thresholds and states are coloured by."""
HALF, THIRD, EIGHTH = 12, 8, 3
"""Widths, in Grafana's columns: 24 are a row."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question in PromQL, and how its series are named."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From *value* on, something has *color*."""

    value: float
    color: str


@dataclass(frozen=True, slots=True)
class State:
    """What a value is called, and its colour."""

    value: int
    text: str
    color: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel."""

    title: str
    meaning: str
    queries: tuple[Query, ...]
    unit: Unit
    look: Look = Look.LINES
    width: int = THIRD
    runbook: str = ""
    """The alert whose runbook says what to do, if there is one."""
    base: str = GOOD
    """The colour below the first threshold."""
    thresholds: tuple[Threshold, ...] = ()
    states: tuple[State, ...] = ()
    stacked: bool = False
    nothing: str = "0"
    """What is shown where there are no series: counters have none before they count, and faults none where there are none."""

    @property
    def height(self) -> int:
        """Return its height in Grafana's units of 30 pixels."""
        return 4 if self.look is Look.NUMBER else 8


def numbers(*panels: Panel) -> tuple[Panel, ...]:
    """Return *panels* as single numbers, eight in a row."""
    return tuple(replace(panel, look=Look.NUMBER, width=EIGHTH) for panel in panels)


def heatmap(title: str, meaning: str, expr: str) -> Panel:
    """Return a histogram of seconds over time; *expr* gives its buckets."""
    return Panel(title, meaning, (Query(expr, "{{le}}"),), Unit.SECONDS, Look.HEATMAP, HALF)


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard."""

    name: str
    """Its file, and the end of its address."""
    title: str
    meaning: str
    several: bool
    """Whether several gateways are chosen at once, or one and some of its pods."""
    rows: tuple[Row, ...]
