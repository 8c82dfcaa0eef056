"""Durations and quantities as Kubernetes writes them: `5d`, `90s`, `25Mi`."""

from __future__ import annotations

import re
from decimal import Decimal

DURATION_PATTERN = r"^([0-9]{1,5}[dhms]){1,4}$"
"""The shape of Gateway API's durations (GEP-2257), with days, because the lifetime of mail is counted in them."""
QUANTITY_PATTERN = r"^[1-9][0-9]{0,11}(k|Ki|M|Mi|G|Gi|T|Ti)?$"
"""The whole-number part of Kubernetes' quantities (apimachinery resource.Quantity)."""

_AMOUNT = r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))([KMGTPE]i|[eE][+-]?[0-9]+|[numkMGTPE])?"
"""Any quantity of Kubernetes: a decimal number with a decimal or binary suffix, or an exponent (apimachinery resource.Quantity)."""

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_FACTORS = {"": 1, "k": 10**3, "Ki": 2**10, "M": 10**6, "Mi": 2**20, "G": 10**9, "Gi": 2**30, "T": 10**12, "Ti": 2**40}
_SCALES = {name: Decimal(1000) ** power for power, name in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)} | {
    f"{name}i": Decimal(1024) ** power for power, name in enumerate("KMGTPE", 1)
}


def seconds(duration: str) -> float:
    """Return *duration* in seconds. Raises `ValueError` for what `DURATION_PATTERN` does not describe."""
    if not re.fullmatch(DURATION_PATTERN, duration):
        message = f"{duration!r} is not a duration such as 30s, 15m, 1h30m or 5d"
        raise ValueError(message)
    return float(sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([dhms])", duration)))


def octets(quantity: str | int) -> int:
    """Return *quantity* as a number of octets. Raises `ValueError` for what `QUANTITY_PATTERN` does not describe."""
    match = re.fullmatch(r"([0-9]+)([A-Za-z]*)", str(quantity))
    if match is None or not re.fullmatch(QUANTITY_PATTERN, str(quantity)):
        message = f"{quantity!r} is not a quantity such as 500k, 25Mi or 5Gi"
        raise ValueError(message)
    return int(match[1]) * _FACTORS[match[2]]


def amount(quantity: str) -> Decimal:
    """Return what any *quantity* of Kubernetes is worth, as the API server writes them. Raises `ValueError` when it is none."""
    match = re.fullmatch(_AMOUNT, quantity)
    if match is None:
        message = f"{quantity!r} is not a quantity of Kubernetes"
        raise ValueError(message)
    number, suffix = match[1], match[2] or ""
    if suffix in _SCALES:
        return Decimal(number) * _SCALES[suffix]
    return Decimal(number + suffix)
