"""Numbers as people read them, by the unit that a panel names."""

from __future__ import annotations

from dashboards.panels import Unit

_THOUSANDS = ("", " k", " M", " G", " T")
_DURATIONS = (
    (86400 * 730, 86400 * 365, "years"),
    (86400 * 2, 86400, "days"),
    (7200, 3600, "hours"),
    (120, 60, "min"),
    (1, 1, "s"),
    (0.001, 0.001, "ms"),
    (0, 0.000001, "µs"),
)
"""From how many seconds on which unit is used, how long it is, and what it is called."""
_SUFFIXES = {Unit.PER_MINUTE: "/min", Unit.PER_SECOND: "/s"}


def spoken(value: float, unit: str) -> str:
    """Return *value* with its unit, three digits of it."""
    match unit:
        case Unit.SECONDS:
            return _duration(value)
        case Unit.BYTES | Unit.BYTES_PER_SECOND:
            return f"{_scaled(value, 1024)}{'iB' if abs(value) >= 1024 else ' B'}{'/s' if unit == Unit.BYTES_PER_SECOND else ''}"  # noqa: PLR2004 a KiB
        case Unit.SHARE:
            return f"{value:.0%}"
    return f"{_scaled(value, 1000)}{_SUFFIXES.get(Unit(unit), '')}"


def _scaled(value: float, base: int) -> str:
    power = 0
    while abs(value) >= base and power < len(_THOUSANDS) - 1:
        value /= base
        power += 1
    return f"{value:.3g}{_THOUSANDS[power]}" if abs(value) < 100 else f"{value:.0f}{_THOUSANDS[power]}"  # noqa: PLR2004 three digits


def _duration(seconds: float) -> str:
    if not seconds:
        return "0 s"
    for least, length, name in _DURATIONS:
        if abs(seconds) >= least:
            return f"{_scaled(seconds / length, 1000)} {name}"
    message = f"{seconds} is no number of seconds"
    raise ValueError(message)
