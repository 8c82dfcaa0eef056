"""The committed dashboards as Grafana reads them: their panels, where they are, and what they ask once something is chosen. Standard library only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).resolve().parent.parent / "charts/smtp-gateway-operator/files/dashboards"
_VARIABLE = re.compile(r"\$(?P<name>[A-Za-z_]\w*)")
"""Not `$1`, which is `label_replace`'s."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen at the top of a dashboard."""

    namespace: str = ".+"
    gateway: str = ".+"
    pod: str = ".+"
    rate_interval: str = "1m"
    """What Grafana makes of `$__rate_interval`: four scrapes at least."""

    def filled(self, expr: str) -> str:
        """Return *expr* with its variables replaced. Raises `KeyError` for one that dashboards do not have."""
        chosen = {"namespace": self.namespace, "gateway": self.gateway, "pod": self.pod, "__rate_interval": self.rate_interval}
        return _VARIABLE.sub(lambda found: chosen[found["name"]], expr)


@dataclass(frozen=True, slots=True)
class Shown:
    """One panel, or the title of a row."""

    json: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Return what stands above it."""
        return str(self.json["title"])

    @property
    def look(self) -> str:
        """Return its type, as Grafana calls it."""
        return str(self.json["type"])

    @property
    def place(self) -> tuple[int, int, int, int]:
        """Return column, line, width and height on the grid."""
        grid = self.json["gridPos"]
        return grid["x"], grid["y"], grid["w"], grid["h"]

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Return unit, thresholds, and words for values."""
        found: Mapping[str, Any] = self.json["fieldConfig"]["defaults"]
        return found

    def queries(self, choice: Choice) -> list[tuple[str, str]]:
        """Return each query with what was chosen, and how its series are named."""
        return [(choice.filled(one["expr"]), one["legendFormat"]) for one in self.json.get("targets", ())]


def title(name: str) -> str:
    """Return the title of a dashboard."""
    return str(_read(name)["title"])


def shown(name: str) -> list[Shown]:
    """Return the panels of a dashboard, the titles of its rows among them."""
    return [Shown(one) for one in _read(name)["panels"]]


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def names() -> list[str]:
    """Return the names of all dashboards."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))
