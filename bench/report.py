"""The table of a run: medians, their spread, and the ratio to Postfix, as Markdown and as JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measure import Measurement
    from bench.rows import Row

RESULTS = Path(__file__).parent / "results"
REFERENCE = "postfix"
HEAD = "| relay | accepted/s | delivered/s (min-max) | to Postfix | CPU us/message | peak RSS MiB | peak PSS MiB |\n|---|--:|--:|--:|--:|--:|--:|"


def write(rows: Sequence[Row], found: Sequence[Measurement]) -> str:
    """Write the results of today, and return the table."""
    text = table(rows, found)
    RESULTS.mkdir(exist_ok=True)
    day = datetime.now(UTC).date().isoformat()
    (RESULTS / f"{day}.json").write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    rounds = max(sum(one.relay == found[0].relay and one.row == found[0].row for one in found), 1)
    head = f"# {day}, {os.cpu_count()} cores shared by source, relay and sink; medians of {rounds} rounds\n"
    (RESULTS / f"{day}.md").write_text(f"{head}\n{text}")
    return text


def table(rows: Sequence[Row], found: Sequence[Measurement]) -> str:
    """Return a table for each row, as Markdown."""
    parts = []
    for row in rows:
        mine = [one for one in found if one.row == row.name]
        names = dict.fromkeys(one.relay for one in mine)
        lines = [_line(name, mine) for name in names]
        parts.append("\n".join((f"## {row.name}: {row.meaning}\n", HEAD, *lines)) + "\n")
    return "\n".join(parts)


def _line(name: str, row: Sequence[Measurement]) -> str:
    mine = [one for one in row if one.relay == name]
    reference = [one.delivered for one in row if one.relay == REFERENCE]
    rates = sorted(one.delivered for one in mine)
    ratio = f"{median(rates) / median(reference):.2f}" if reference else ""
    cells = (
        name,
        f"{median(one.accepted for one in mine):.0f}",
        f"{median(rates):.0f} ({rates[0]:.0f}-{rates[-1]:.0f})",
        ratio,
        *(("", "", "") if name == "limit" else (f"{median(getattr(one, field) for one in mine):.0f}" for field in ("cpu", "rss", "pss"))),
    )
    return f"| {' | '.join(cells)} |"
