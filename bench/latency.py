"""How long marked mails took, and what another's flood made of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

AIM = 2.0
"""How many times as long a small mail may take in the flood."""
NOTHING = 0.1
"""Milliseconds that are next to nothing: what has grown from less has no ratio worth printing."""
HEAD = "| small mail | mails | sent to arrival, ms: median | p95 | max | accepted to arrival, ms: median | p95 | max |\n|---|--:|--:|--:|--:|--:|--:|--:|"


@dataclass(frozen=True, slots=True)
class Mail:
    """When one mail was where, in nanoseconds since the epoch."""

    begin: int
    """The client began to connect."""
    acknowledged: int
    """The client had its 250."""
    arrived: int
    """The next hop had all of it."""

    @property
    def sent_to_arrival(self) -> float:
        """Return the milliseconds that an application's user waits."""
        return (self.arrived - self.begin) / 1e6

    @property
    def accepted_to_arrival(self) -> float:
        """Return the milliseconds that the relay took after its 250; zero when the next hop had the mail before the client had the 250."""
        return max(self.arrived - self.acknowledged, 0) / 1e6


def read(sent: str, arrived: str) -> list[Mail] | None:
    """Return the mails in what `load source` and `load sink` wrote, None while one is missing; the first of two arrivals counts."""
    arrivals: dict[str, int] = {}
    for mark, moment in (line.split() for line in arrived.splitlines()):
        arrivals.setdefault(mark, int(moment))
    mails = [line.split() for line in sent.splitlines()]
    if any(mark not in arrivals for mark, _, _ in mails):
        return None
    return [Mail(int(begin), int(acknowledged), arrivals[mark]) for mark, begin, acknowledged in mails]


def p95(values: Sequence[float]) -> float:
    """Return the value that 95 % do not exceed; for a single one, that one."""
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def table(alone: Sequence[Mail], flooded: Mapping[str, Sequence[Mail]]) -> str:
    """Return a table of the mails *alone* and in each part of the flood, the ratios of the figures, and whether they keep to `AIM`."""
    before = _figures(alone)
    lines = [_row("alone", str(len(alone)), [f"{value:.1f}" for value in before])]
    verdicts = []
    for what, mails in flooded.items():
        after = _figures(mails)
        lines.append(_row(what, str(len(mails)), [f"{value:.1f}" for value in after]))
        lines.append(_row("ratio", "", [_ratio(*pair) for pair in zip(before, after, strict=True)]))
        kept = "kept" if after[0] <= AIM * before[0] else "not kept"
        verdicts.append(f"{what} the median small mail takes {after[0] / before[0]:.2f} times as long: the aim, {AIM:g}, is {kept}.")
    return "\n".join((HEAD, *lines, "", *(f"- {verdict.capitalize()}" for verdict in verdicts)))


_STATISTICS: tuple[Callable[[Sequence[float]], float], ...] = (median, p95, max)


def _figures(mails: Sequence[Mail]) -> list[float]:
    ways = [one.sent_to_arrival for one in mails], [one.accepted_to_arrival for one in mails]
    return [statistic(values) for values in ways for statistic in _STATISTICS]


def _ratio(before: float, after: float) -> str:
    return f"{after / before:.2f}" if before >= NOTHING else "-"


def _row(what: str, count: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join((what, count, *cells))} |"
