"""What Go modules hold beside code, at the version and with the checksum that a folder of `tests/lab/modules` pins."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.kube import run

PINS = Path(__file__).parent.parent / "lab" / "modules"


def unpacked(pin: str, module: str) -> Path:
    """Return the folder of *module*, which is fetched when it is missing, at the version that `tests/lab/modules/PIN/go.mod` requires."""
    return Path(json.loads(run(["go", "-C", str(PINS / pin), "mod", "download", "-json", module]))["Dir"])
