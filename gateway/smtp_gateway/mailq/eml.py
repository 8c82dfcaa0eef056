"""A message's content in a file of its own, which is there whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from smtp_gateway.usage import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MODE = 0o600
"""For the caller alone: it is somebody's mail."""


def write_file(folder: Path, message_id: str, blocks: Iterable[bytes]) -> Path:
    """Write *blocks* to `ID.eml` in *folder*, which is made if it is missing; return the file. Raises `CommandError`."""
    target = folder / f"{message_id}.eml"
    part = folder / f"{message_id}.part"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "wb") as file:
                file.writelines(blocks)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as fault:
        message = f"{target} cannot be written: {fault.strerror or fault}"
        raise CommandError(message) from fault
    return target
