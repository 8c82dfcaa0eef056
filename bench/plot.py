"""The plot of a run: two panels, delivered (or, with the next hop off, accepted) messages a second relative to Postfix, and processor time for a message."""

from __future__ import annotations

import textwrap
from statistics import median
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.measure import LIMIT
from bench.report import REFERENCE, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from bench.measure import Measurement
    from bench.report import Report

COLOURS = {"gateway": "#0072b2", "postfix": "#999999", "exim": "#e69f00", "haraka": "#009e73", "aiosmtpd": "#cc79a7"}
"""Of Okabe and Ito's palette, which readers with any colour vision can tell apart."""
GROUP = 0.84
"""How much of the distance between two rows their bars take."""
LABEL = 22
"""Characters of a line beneath a group of bars: more would run into the next group's."""
BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}
"""Keeps the line of the reference from crossing a number."""
SHORTENED = 10000
"""From here on a number above a bar is in thousands: five digits are wider than the bar."""


def draw(report: Report, path: Path) -> None:
    """Write the plot of *report* to *path*, a PNG. Without Postfix there is nothing relative, and its panel stays empty."""
    with mpl.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 9), layout="constrained")
        above, below = figure.subplots(2, 1)
        _bars(above, report, lambda name, row: ratio(name, row) or 0.0)
        above.set_title(
            f"{report.compared.capitalize()} messages a second, as a multiple of Postfix (higher is better)", loc="left", fontweight="bold"
        )
        above.axhline(1, color=COLOURS[REFERENCE], linewidth=1, linestyle="--", zorder=0)
        _bars(below, report, lambda name, row: median(one.cpu for one in row if one.relay == name))
        below.set_title("Processor time of the relay for a message, microseconds (lower is better)", loc="left", fontweight="bold")
        below.set_yscale("log")
        below.yaxis.set_major_formatter("{x:,.0f}")
        for axes in (above, below):
            axes.margins(x=0.01, y=0.12)
        figure.suptitle(
            f"{report.day}, {report.machine.get('cores', '?')} cores, medians of {report.rounds} rounds", x=0.99, ha="right", fontsize=10
        )
        handles, labels = above.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.savefig(path, dpi=110)


def _bars(axes: Axes, report: Report, value: Callable[[str, Sequence[Measurement]], float]) -> None:
    """Draw a group of bars for each row, one bar a relay, each with its value above it."""
    names = [name for name in dict.fromkeys(one.relay for one in report.found) if name != LIMIT]
    width = GROUP / max(len(names), 1)
    for place, name in enumerate(names):
        found = [(column, [one for one in report.found if one.row == row.name]) for column, row in enumerate(report.rows)]
        there = [(column, value(name, row)) for column, row in found if any(one.relay == name for one in row)]
        middle = [column - GROUP / 2 + (place + 0.5) * width for column, _ in there]
        bars = axes.bar(middle, [height for _, height in there], width * 0.92, label=name, color=COLOURS.get(name))
        axes.bar_label(bars, [_short(height) for _, height in there], padding=2, fontsize=10, bbox=BEHIND)
    axes.set_xticks(range(len(report.rows)), [textwrap.fill(f"{row.name}: {row.meaning}", LABEL) for row in report.rows])
    axes.tick_params(axis="x", length=0)


def _short(value: float) -> str:
    """Return *value* with what fits above a bar."""
    if value < 10:  # noqa: PLR2004 where a decimal place is worth its room
        return f"{value:.2g}"
    return f"{value:.0f}" if value < SHORTENED else f"{value / 1000:.3g}k"
