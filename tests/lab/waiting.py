"""The one way this package waits: for a condition, never longer than a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from tests.lab.shell import LabError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Value = TypeVar("Value")

_INTERVAL = 0.1


def wait_until(condition: Callable[[], Value], deadline: float, what: str, *, log: Path | None = None) -> Value:
    """Ask until the answer is true and return it; after `deadline` seconds say what (such as "the pod to end") was waited for."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            sentence = f"Waited {deadline:.0f} s in vain for {what}."
            raise LabError(sentence, log=log)
        time.sleep(_INTERVAL)
    return value
