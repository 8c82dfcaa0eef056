"""Prometheus' own tool, from Debian's package, and what it says of a page of metrics."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.debian import unpacked

PACKAGES = Path("/var/cache/smtp-gateway-tests")
"""Where Debian's Prometheus is unpacked, for all later runs."""


def promtool() -> Path:
    """Return the tool, fetched when it is missing."""
    return unpacked(PACKAGES, "prometheus") / "usr/bin/promtool"


def complaints(page: bytes) -> str:
    """Return what does not follow Prometheus' conventions for names, types and help; empty when everything does."""
    done = subprocess.run([promtool(), "check", "metrics"], check=False, input=page, capture_output=True)
    said = done.stderr.decode()
    return said or (f"exit {done.returncode}" if done.returncode else "")
