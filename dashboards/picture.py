"""`python -m dashboards.picture NAME FILE`: a dashboard as a PNG, drawn from what a Prometheus answers to its queries.

It is no screenshot of Grafana, and says so: the panels, their places, queries, units and thresholds are those of the committed JSON, and
matplotlib draws them.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from dashboards.committed import Choice, names, shown, title
from dashboards.looks import Answer, draw
from dashboards.panels import Look
from dashboards.server import Server, Span

if TYPE_CHECKING:
    from dashboards.committed import Shown

WIDTH = 15.0
"""Inches of the picture."""
UNIT = 0.27
"""Inches of one unit of the grid's height."""
MARGIN = 2
"""Units of the grid above the panels, for the title."""
COLUMNS = 24
DPI = 80
POINTS = 120
"""Points of a series, at most: what a panel shows of them."""
COLOURS = 128
"""Colours of the file: a third of the size of one with all of them, and nothing to be seen."""


def picture(name: str, server: Server, choice: Choice, span: Span) -> bytes:
    """Return the dashboard *name* as a PNG. Raises `QueryError` and `OSError`."""
    panels = shown(name)
    lines = MARGIN + max(y + height for _, y, _, height in (panel.place for panel in panels))
    with mpl.rc_context({"font.size": 8.0, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(WIDTH, lines * UNIT), facecolor="#f4f5f5")
        _head(figure, title(name), span)
        for panel in panels:
            _place(figure, panel, lines, [] if panel.look == "row" else answers(panel, server, choice, span), span)
        raw = io.BytesIO()
        figure.savefig(raw, dpi=DPI, facecolor=figure.get_facecolor())
    small = io.BytesIO()
    Image.open(raw).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def answers(panel: Shown, server: Server, choice: Choice, span: Span) -> list[Answer]:
    """Return what *server* says to the queries of *panel*: to those of a table now, else during *span*."""
    asked = panel.queries(choice)
    if panel.look == Look.TABLE:
        return [Answer(legend, server.now(query)) for query, legend in asked]
    return [Answer(legend, server.during(query, span)) for query, legend in asked]


def _head(figure: Figure, words: str, span: Span) -> None:
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(span.end))
    figure.text(0.006, 1 - 0.1 / figure.get_figheight(), words, fontsize=15, fontweight="bold", va="top")
    note = f"The committed dashboard, drawn by dashboards.picture from Prometheus' data (no screenshot of Grafana); {when} UTC"
    figure.text(0.994, 1 - 0.15 / figure.get_figheight(), note, fontsize=8, va="top", ha="right", color="#555555")


def _place(figure: Figure, panel: Shown, lines: int, found: list[Answer], span: Span) -> None:
    """Draw *panel* where its place on the grid is."""
    x, y, width, height = panel.place
    left, bottom = x / COLUMNS, 1 - (MARGIN + y + height) / lines
    wide, high = width / COLUMNS, height / lines
    gap = 0.06 / WIDTH
    if panel.look == "row":
        figure.text(left + 2 * gap, bottom + high / 2, panel.title, fontsize=11, fontweight="bold", va="center")
        return
    box = (left + gap, bottom + 0.06 / (lines * UNIT))
    figure.add_artist(
        Rectangle(box, wide - 2 * gap, high - 0.1 / (lines * UNIT), facecolor="white", edgecolor="#dddddd", linewidth=0.6, zorder=-1)
    )
    figure.text(left + 3 * gap, bottom + high - 0.1 / (lines * UNIT), panel.title, fontsize=8.5, va="top")
    draw(figure.add_axes(_inside(panel, left, bottom, lines)), panel, found, span)


def _inside(panel: Shown, left: float, bottom: float, lines: int) -> tuple[float, float, float, float]:
    """Return where the axes are in the box of a panel: room for its title, and for what stands at the side and below, by its look."""
    _, _, width, height = panel.place
    before, below = {Look.NUMBER: (0.05, 0.05), Look.TABLE: (0.15, 0.1), Look.STATES: (2.1, 0.55)}.get(Look(panel.look), (0.62, 0.55))
    return (
        left + before / WIDTH,
        bottom + below / (lines * UNIT),
        width / COLUMNS - (before + 0.2) / WIDTH,
        (height * UNIT - below - 0.4) / (lines * UNIT),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dashboards.picture", description=__doc__)
    parser.add_argument("name", choices=names())
    parser.add_argument("file", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:9090", help="address of the Prometheus")
    parser.add_argument("--minutes", type=float, default=180, help="how far back it goes")
    parser.add_argument("--rate-interval", default="1m", help="what Grafana would make of $__rate_interval: four scrapes at least")
    for name in ("namespace", "gateway", "pod"):
        parser.add_argument(f"--{name}", default=".+")
    return parser.parse_args()


def main() -> None:
    """Draw what the command line says."""
    told = _arguments()
    now = time.time()
    span = Span(now - 60 * told.minutes, now, max(60 * told.minutes / POINTS, 1))
    choice = Choice(told.namespace, told.gateway, told.pod, told.rate_interval)
    told.file.parent.mkdir(parents=True, exist_ok=True)
    told.file.write_bytes(picture(told.name, Server(told.server), choice, span))


if __name__ == "__main__":
    main()
