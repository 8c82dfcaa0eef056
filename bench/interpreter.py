"""The Python on which the gateway is measured: Debian's, which is built as those of images are.

An interpreter that somebody compiled with the defaults of its `configure` knows neither profile-guided nor link-time optimization, and is
slower by a sixth to a fifth in the gateway. Debian's has both, and so has `python:slim`, which the Dockerfile begins with.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

DEBIAN = Path("/usr/bin/python3")
REPOSITORY = Path(__file__).parent.parent
LOCKED = REPOSITORY / "requirements/gateway.txt"


def ensure(cache: Path) -> Path:
    """Return the interpreter of a virtual environment in *cache* that holds what the gateway's image holds, made when it is not there.

    Raises `CalledProcessError` when it cannot be made.
    """
    name = hashlib.sha256(LOCKED.read_bytes() + _version(DEBIAN).encode()).hexdigest()[:12]
    folder = cache / f"python-{name}"
    if not folder.exists():
        partial = cache / "python.partial"
        subprocess.run([DEBIAN, "-m", "venv", "--clear", "--without-pip", partial], check=True, timeout=120)
        pip = [sys.executable, "-m", "pip", "--python", str(partial / "bin/python"), "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(LOCKED)], check=True, timeout=600)
        partial.rename(folder)
    return folder / "bin/python"


def environment() -> dict[str, str]:
    """Return the environment in which that interpreter finds this repository's packages."""
    return os.environ | {"PYTHONPATH": f"{REPOSITORY / 'gateway'}{os.pathsep}{REPOSITORY}"}


def told(python: Path) -> str:
    """Return its version, and whose it is."""
    return f"{_version(python)}, Debian's"


def _version(python: Path) -> str:
    command = [str(python), "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
