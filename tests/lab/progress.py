"""Progress goes to standard error, stamped with the seconds since the command began; standard output is for results."""

from __future__ import annotations

import sys
import time

_BEGIN = time.monotonic()


def say(message: str) -> None:
    """Tell the developer what has just happened."""
    print(f"[{time.monotonic() - _BEGIN:5.1f} s] {message}", file=sys.stderr, flush=True)
