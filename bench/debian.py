"""Debian packages, unpacked into a folder of the bench's own: nothing is installed, so peers that exclude each other can be compared."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def unpacked(package: str, cache: Path) -> Path:
    """Return the folder with the files of *package*, fetched by apt when it is not there yet."""
    folder = cache / package
    if not folder.exists():
        fetched = cache / f"{package}.fetched"
        fetched.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "--quiet", "download", package], cwd=fetched, check=True, capture_output=True, timeout=300)
        partial = cache / f"{package}.partial"
        for archive in fetched.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", archive, partial], check=True, timeout=120)
        partial.rename(folder)
    return folder
