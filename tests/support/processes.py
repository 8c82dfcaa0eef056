"""The processes of pods, where they run on this machine, as they do in the lab."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def kill(pod: Mapping[str, Any], program: str) -> None:
    """SIGKILL the one process of *pod*, a Pod object, whose command line names *program*; the kubelet starts its container again."""
    uid = pod["metadata"]["uid"]
    pids = [folder.name for folder in Path("/proc").iterdir() if folder.name.isdigit() and _is(folder, uid, program)]
    assert len(pids) == 1, f"{pod['metadata']['name']} has {len(pids)} processes of {program}"
    os.kill(int(pids[0]), signal.SIGKILL)


def _is(process: Path, uid: str, program: str) -> bool:
    try:
        return uid in (process / "cgroup").read_text() and program.encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False  # it has ended meanwhile
