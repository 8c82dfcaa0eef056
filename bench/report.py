"""What a run found, written down: every measurement with the machine's facts as JSON, a table for each row as Markdown, and the plot."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.measure import LIMIT, Measurement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.rows import Row

RESULTS = Path(__file__).parent / "results"
REFERENCE = "postfix"
NOISY = 5.0
"""Percent of steal from which a measurement is pointed out: its neighbours took more than any difference worth arguing about."""
HEAD = (
    "| relay | accepted/s | delivered/s (min-max) | to Postfix | all cores us/message | CPU us/message | peak RSS MiB | peak PSS MiB |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|"
)


@dataclass(frozen=True, slots=True)
class Report:
    """One run: what was sent, what was found, on which machine, on which day (ISO 8601)."""

    rows: Sequence[Row]
    found: Sequence[Measurement]
    machine: Mapping[str, str]
    day: str

    def write(self, folder: Path) -> Path:
        """Write DAY.json and DAY.md into *folder*, which is made when it is not there; return the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        data = {"day": self.day, "machine": dict(self.machine), "measurements": [asdict(one) for one in self.found]}
        (folder / f"{self.day}.json").write_text(json.dumps(data, indent=1) + "\n")
        path = folder / f"{self.day}.md"
        path.write_text(self.markdown())
        return path

    def markdown(self) -> str:
        """Return the whole page."""
        machine = "\n".join(f"- {name}: {value}" for name, value in self.machine.items())
        plot = f"![delivered a second relative to Postfix, and processor time for a message]({self.day}.png)"
        head = f"# {self.day}: medians of {self.rounds} rounds, the cores shared by source, relay and sink"
        return "\n\n".join((head, plot, self._tables(), f"## The machine\n\n{machine}", self._noise())) + "\n"

    @property
    def rounds(self) -> int:
        """Return how often each relay was measured under a row."""
        return max(Counter((one.row, one.relay) for one in self.found).values(), default=0)

    def _tables(self) -> str:
        return "\n\n".join(f"## {row.name}: {row.meaning}\n\n{HEAD}\n" + "\n".join(self._lines(row)) for row in self.rows)

    def _lines(self, row: Row) -> Iterable[str]:
        mine = [one for one in self.found if one.row == row.name]
        return (_line(name, mine) for name in dict.fromkeys(one.relay for one in mine))

    def _noise(self) -> str:
        noisy = [f"{one.row} {one.relay} ({one.steal:.0f} %)" for one in self.found if one.steal >= NOISY]
        most = max((one.steal for one in self.found), default=0.0)
        if not noisy:
            return f"Steal time: at most {most:.1f} % in any measurement."
        return f"Steal time of {NOISY:g} % and more, so read these with care: {', '.join(noisy)}."


def ratio(name: str, row: Sequence[Measurement]) -> float | None:
    """Return how many times Postfix's median rate of delivery *name* has among the measurements of one row; None without Postfix."""
    reference = [one.delivered for one in row if one.relay == REFERENCE]
    return median(one.delivered for one in row if one.relay == name) / median(reference) if reference else None


def _line(name: str, row: Sequence[Measurement]) -> str:
    mine = [one for one in row if one.relay == name]
    rates = sorted(one.delivered for one in mine)
    times = ratio(name, row)
    cells = (
        name,
        f"{median(one.accepted for one in mine):.0f}",
        f"{median(rates):.0f} ({rates[0]:.0f}-{rates[-1]:.0f})",
        "" if times is None else f"{times:.2f}",
        f"{median(one.busy for one in mine):.0f}",
        *(("", "", "") if name == LIMIT else (f"{median(getattr(one, field) for one in mine):.0f}" for field in ("cpu", "rss", "pss"))),
    )
    return f"| {' | '.join(cells)} |"
