"""One panel on a pair of matplotlib's axes, by its look: near enough to what Grafana makes of it to see what it will show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator

from dashboards.panels import BAD, GOOD, WATCH, Look
from dashboards.units import spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from dashboards.committed import Shown
    from dashboards.server import Series, Span

COLOURS = {GOOD: "#3f9c35", WATCH: "#e08400", BAD: "#c4162a"}
"""Grafana's names, in shades that are read on white."""
_LINES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a6d00", "#666666")
"""Of Okabe and Ito's palette, as the bench's plots."""
NAMED = 6
"""Series in a legend; what is more is drawn, and not named."""
MOST = 8
"""Rows of a table, and of states."""
SMALL = 6.5
"""Points of the smallest letters."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a Prometheus said to one query of a panel."""

    legend: str
    series: Sequence[Series]

    def named(self) -> list[tuple[str, Series]]:
        """Return the series that have points, each with its name."""
        return [(_name(self.legend, one), one) for one in self.series if one.points]


def draw(axes: Axes, panel: Shown, answers: Sequence[Answer], span: Span) -> None:
    """Draw *panel* with what was answered, its word for "nothing" where nothing was."""
    found = [pair for answer in answers for pair in answer.named()]
    if found:
        _LOOKS[Look(panel.look)](axes, panel, found, span)
        return
    axes.axis("off")
    size, colour = (22.0, _colour(panel, 0)) if panel.look == Look.NUMBER else (9.0, "#888888")
    axes.text(0.5, 0.5, panel.defaults["noValue"], ha="center", va="center", fontsize=size, color=colour, transform=axes.transAxes)


def _number(axes: Axes, panel: Shown, found: Sequence[tuple[str, Series]], span: Span) -> None:
    points = found[0][1].points
    value, colour = points[-1][1], _colour(panel, points[-1][1])
    axes.axis("off")
    axes.set_xlim(span.start, span.end)
    axes.fill_between([when for when, _ in points], [one for _, one in points], color=colour, alpha=0.12, linewidth=0)
    axes.set_ylim(0, max(2.2 * max(one for _, one in points), 1e-9))
    axes.text(
        0.5, 0.55, spoken(value, panel.defaults["unit"]), ha="center", va="center", fontsize=17, color=colour, transform=axes.transAxes
    )


def _lines(axes: Axes, panel: Shown, found: Sequence[tuple[str, Series]], span: Span) -> None:
    stacked = panel.defaults["custom"].get("stacking", {}).get("mode") == "normal"
    below = np.zeros(1)
    for number, (name, series) in enumerate(found):
        times, values = (np.array(column) for column in zip(*series.points, strict=True))
        below = below if stacked and below.shape == values.shape else np.zeros(values.shape)
        colour = _LINES[number % len(_LINES)]
        axes.plot(times, below + values, linewidth=1.1, color=colour, label=name if number < NAMED else None)
        if stacked:
            axes.fill_between(times, below, below + values, color=colour, alpha=0.3, linewidth=0)
            below = below + values
    top = 1.15 * max(axes.get_ylim()[1], 1e-9)
    for step in panel.defaults["thresholds"]["steps"][1:]:
        if step["value"] < top:
            axes.axhline(step["value"], color=COLOURS[step["color"]], linewidth=0.8, linestyle="--")
    axes.set_ylim(0, top)
    _frame(axes, panel, span)
    axes.legend(fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.12), ncols=2, borderpad=0, columnspacing=1)


def _heatmap(axes: Axes, panel: Shown, found: Sequence[tuple[str, Series]], span: Span) -> None:
    """Draw the buckets, each without those below it, which Prometheus counts in."""
    buckets = sorted(((float(series.labels["le"]), dict(series.points)) for _, series in found), key=lambda one: one[0])
    times = sorted({when for _, points in buckets for when in points})
    sums = np.array([[points.get(when, 0.0) for when in times] for _, points in buckets])
    alone = np.clip(np.diff(sums, axis=0, prepend=np.zeros((1, len(times)))), 0, None)
    axes.pcolormesh([*times, times[-1] + span.step], range(len(buckets) + 1), np.where(alone > 0, alone, np.nan), cmap="Oranges", vmin=0)
    _frame(axes, panel, span)
    axes.set_yticks(
        [place + 1 for place in range(len(buckets))], [spoken(one, "s") if one < float("inf") else "more" for one, _ in buckets]
    )
    axes.tick_params(axis="y", labelsize=SMALL - 1)


def _states(axes: Axes, panel: Shown, found: Sequence[tuple[str, Series]], span: Span) -> None:
    words = {float(value): state for value, state in panel.defaults["mappings"][0]["options"].items()}
    for row, (_, series) in enumerate(found[:MOST]):
        ends = [*(when for when, _ in series.points[1:]), series.points[-1][0] + span.step]
        for (begin, value), end in zip(series.points, ends, strict=True):
            axes.barh(row, end - begin, left=begin, height=0.7, color=COLOURS[words[value]["color"]], linewidth=0)
    _frame(axes, panel, span)
    axes.set_ylim(max(len(found[:MOST]), 2) - 0.4, -0.6)
    axes.set_yticks(range(len(found[:MOST])), [name for name, _ in found[:MOST]], fontsize=SMALL)
    axes.grid(visible=False)
    handles = [Patch(color=COLOURS[state["color"]], label=state["text"]) for state in words.values()]
    axes.legend(handles=handles, fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.12), ncols=2)


def _table(axes: Axes, panel: Shown, found: Sequence[tuple[str, Series]], span: Span) -> None:
    del panel, span
    axes.axis("off")
    names = sorted({name for _, series in found for name, value in series.labels.items() if value})
    rows = [[*(series.labels.get(name, "") for name in names), f"{series.points[-1][1]:g}"] for _, series in found[:MOST]]
    widths = [max(len(row[place]) for row in [[*names, "number"], *rows]) + 2 for place in range(len(names) + 1)]
    edges = np.cumsum([0, *widths]) / sum(widths)
    for place, (left, _) in enumerate(pairwise(edges)):
        head = [*names, "number"][place]
        axes.text(left, 0.97, head, fontsize=SMALL, fontweight="bold", va="top", transform=axes.transAxes)
        for line, row in enumerate(rows, 1):
            axes.text(left, 0.97 - 0.11 * line, row[place][:40], fontsize=SMALL, va="top", transform=axes.transAxes)


def _frame(axes: Axes, panel: Shown, span: Span) -> None:
    """Give *axes* the time below and the unit at the side."""
    axes.set_xlim(span.start, span.end)
    axes.grid(visible=True, color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(_few(span))
    axes.xaxis.set_major_formatter(lambda when, _: datetime.fromtimestamp(when, UTC).strftime("%H:%M:%S"))
    axes.yaxis.set_major_formatter(lambda value, _: spoken(value, panel.defaults["unit"]))
    axes.tick_params(labelsize=SMALL, length=2, color="#aaaaaa")
    for side in axes.spines.values():
        side.set_visible(False)


def _few(span: Span) -> FixedLocator:
    return FixedLocator(np.linspace(span.start, span.end, 5)[1:-1].tolist())


def _colour(panel: Shown, value: float) -> str:
    """Return the colour of the last threshold that *value* reaches."""
    base, *steps = panel.defaults["thresholds"]["steps"]
    return COLOURS[next((step["color"] for step in reversed(steps) if value >= step["value"]), base["color"])]


def _name(legend: str, series: Series) -> str:
    """Return what Grafana would call *series*."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: series.labels.get(found[1], ""), legend)


_LOOKS: dict[Look, Callable[[Axes, Shown, Sequence[tuple[str, Series]], Span], None]] = {
    Look.NUMBER: _number,
    Look.LINES: _lines,
    Look.HEATMAP: _heatmap,
    Look.STATES: _states,
    Look.TABLE: _table,
}
