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
ORIGIN = "aiosmtpd"
"""What the gateway is made of: the second reference where mail is only taken."""
NOISY = 5.0
"""Percent of steal from which a measurement is pointed out: its neighbours took more than any difference worth arguing about."""
HEAD = (
    "| relay | accepted/s | delivered/s (min-max) | to Postfix | all cores us/message | CPU us/message | peak RSS MiB | peak PSS MiB |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|"
)
ACCEPT_HEAD = (
    "| relay | accepted/s (min-max) | to Postfix | to aiosmtpd | all cores us/message | CPU us/message | peak RSS MiB | peak PSS MiB |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|"
)


@dataclass(frozen=True, slots=True)
class Report:
    """One run: what was sent, what was found, on which machine, on which day (ISO 8601). Its rows have the next hop on, all of them, or off."""

    rows: Sequence[Row]
    found: Sequence[Measurement]
    machine: Mapping[str, str]
    day: str

    def write(self, folder: Path) -> Path:
        """Write NAME.json and NAME.md into *folder*, which is made when it is not there; return the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        data = {"day": self.day, "machine": dict(self.machine), "measurements": [asdict(one) for one in self.found]}
        (folder / f"{self.name}.json").write_text(json.dumps(data, indent=1) + "\n")
        path = folder / f"{self.name}.md"
        path.write_text(self.markdown())
        return path

    def markdown(self) -> str:
        """Return the whole page."""
        machine = "\n".join(f"- {name}: {value}" for name, value in self.machine.items())
        plot = f"![{self.compared} a second relative to Postfix, and processor time for a message]({self.name}.png)"
        sharing = "source and relay, next hop off" if self.accept_only else "source, relay and sink"
        head = f"# {self.day}: medians of {self.rounds} rounds, the cores shared by {sharing}"
        return "\n\n".join((head, plot, self._tables(), f"## The machine\n\n{machine}", self._noise())) + "\n"

    @property
    def accept_only(self) -> bool:
        """Tell whether the next hop was off."""
        return any(row.accept_only for row in self.rows)

    @property
    def name(self) -> str:
        """Return what its files are called."""
        return f"{self.day}-accept" if self.accept_only else self.day

    @property
    def compared(self) -> str:
        """Return what messages were when they were counted."""
        return "accepted" if self.accept_only else "delivered"

    @property
    def rounds(self) -> int:
        """Return how often each relay was measured under a row."""
        return max(Counter((one.row, one.relay) for one in self.found).values(), default=0)

    def _tables(self) -> str:
        head = ACCEPT_HEAD if self.accept_only else HEAD
        return "\n\n".join(f"## {row.name}: {row.meaning}\n\n{head}\n" + "\n".join(self._lines(row)) for row in self.rows)

    def _lines(self, row: Row) -> Iterable[str]:
        mine = [one for one in self.found if one.row == row.name]
        return (_line(row, name, mine) for name in dict.fromkeys(one.relay for one in mine))

    def _noise(self) -> str:
        noisy = [f"{one.row} {one.relay} ({one.steal:.0f} %)" for one in self.found if one.steal >= NOISY]
        most = max((one.steal for one in self.found), default=0.0)
        if not noisy:
            return f"Steal time: at most {most:.1f} % in any measurement."
        return f"Steal time of {NOISY:g} % and more, so read these with care: {', '.join(noisy)}."


def ratio(name: str, row: Sequence[Measurement], reference: str = REFERENCE) -> float | None:
    """Return how many times *reference*'s median rate *name* has among the measurements of one row; None without the reference."""
    there = [one.rate for one in row if one.relay == reference]
    return median(one.rate for one in row if one.relay == name) / median(there) if there else None


def _line(row: Row, name: str, found: Sequence[Measurement]) -> str:
    mine = [one for one in found if one.relay == name]
    rates = sorted(one.rate for one in mine)
    spread = f"{median(rates):.0f} ({rates[0]:.0f}-{rates[-1]:.0f})"
    to_postfix = _times(ratio(name, found))
    if row.accept_only:
        compared = (spread, to_postfix, _times(ratio(name, found, ORIGIN)))
    else:
        compared = (f"{median(one.accepted for one in mine):.0f}", spread, to_postfix)
    used = ("", "", "") if name == LIMIT else (f"{median(getattr(one, field) for one in mine):.0f}" for field in ("cpu", "rss", "pss"))
    return f"| {' | '.join((name, *compared, f'{median(one.busy for one in mine):.0f}', *used))} |"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
