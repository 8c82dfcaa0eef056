"""Debian packages, unpacked into a folder of the bench's own: nothing is installed, so peers that exclude each other can be compared."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def unpacked(cache: Path, name: str, *more: str) -> Path:
    """Return the folder with the files of package *name* and of *more* that it needs, fetched by apt when it is not there yet."""
    folder = cache / name
    if not folder.exists():
        fetched, partial = cache / f"{name}.fetched", cache / f"{name}.partial"
        fetched.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "--quiet", "download", name, *more], cwd=fetched, check=True, capture_output=True, timeout=300)
        for archive in fetched.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", archive, partial], check=True, timeout=120)
        partial.rename(folder)
    return folder


def version(cache: Path, name: str) -> str:
    """Return the version of an unpacked package."""
    archive = next((cache / f"{name}.fetched").glob(f"{name}_*.deb"))
    command = ["dpkg-deb", "--field", str(archive), "Version"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
