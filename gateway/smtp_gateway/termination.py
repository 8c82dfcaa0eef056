"""The last word of a container: why it could not start, where Kubernetes looks for it and the operator finds it, in the pod's status.

Kubernetes mounts a file for it into every container (`terminationMessagePath` of `core/v1` Container, by default `PATH`) and reads it
when the container has ended: 4,096 octets at most.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

PATH = Path("/dev/termination-log")


def leave(sentence: str, path: Path = PATH) -> None:
    """Write *sentence* to the file at *path*. Where there is no such file, as everywhere but in a pod, nothing is made and nothing said."""
    with suppress(OSError), path.open("r+", encoding="utf-8") as file:
        file.write(sentence)
