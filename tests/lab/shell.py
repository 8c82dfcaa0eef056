"""
Running other programs, with an error a person can act on.

A command that fails raises `LabError`: one sentence, then the last lines of what the command (or the log it wrote) said.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_TAIL_LINES = 15
_SHOWN_LENGTH = 120


class LabError(Exception):
    """Something the developer has to know: a sentence, and the log that tells the rest."""

    def __init__(self, sentence: str, *, log: Path | None = None, said: str = "") -> None:
        """Remember the sentence, and where the rest of the story is."""
        super().__init__(sentence)
        self.sentence = sentence
        self.log = log
        self.said = said

    def __str__(self) -> str:
        """Give the sentence, the last lines of the log, and its path."""
        said = self.said
        if self.log is not None and self.log.exists():
            said = self.log.read_text(errors="replace")
        lines = [f"    {line}" for line in said.strip().splitlines()[-_TAIL_LINES:]]
        where = [f"    log: {self.log}"] if self.log is not None else []
        return "\n".join([self.sentence, *lines, *where])


@dataclass(frozen=True)
class Setting:
    """The surroundings of a command that are not its arguments; `task` says in an error what it was for."""

    cwd: Path | None = None
    env: Mapping[str, str] | None = None
    log: Path | None = None
    outlives: bool = False
    task: str = ""


HERE = Setting()
# A command dies with the one that started it, so that a killed 'up' does not go on working behind the back of the next.
_DIE_TOGETHER = ("setpriv", "--pdeathsig=KILL", "--")


def run(command: Sequence[str | Path], *, stdin: str | None = None, setting: Setting = HERE) -> str:
    """Run a command to its end and return its standard output; with a log, everything goes there instead."""
    words = [str(word) for word in command]
    if shutil.which(words[0]) is None:
        sentence = f"{words[0]} is not installed on this machine."
        raise LabError(sentence)
    with _outputs(setting.log) as (out, err):
        done = subprocess.run(
            words if setting.outlives else [*_DIE_TOGETHER, *words],
            input=stdin,
            stdout=out,
            stderr=err,
            text=True,
            cwd=setting.cwd,
            env=os.environ | dict(setting.env or {}),
            check=False,
        )
    if done.returncode:
        sentence = f"{setting.task or _shown(words)} failed with exit code {done.returncode}."
        raise LabError(sentence, log=setting.log, said=done.stderr or done.stdout or "")
    return done.stdout or ""


def succeeds(command: Sequence[str | Path]) -> bool:
    """Tell whether a command exists and ends with exit code 0; what it says is dropped."""
    words = [str(word) for word in command]
    if shutil.which(words[0]) is None:
        return False
    return subprocess.run([*_DIE_TOGETHER, *words], capture_output=True, check=False).returncode == 0


@contextmanager
def _outputs(log: Path | None) -> Iterator[tuple[IO[str] | int, IO[str] | int]]:
    """Send both outputs to a log, or keep them."""
    if log is None:
        yield subprocess.PIPE, subprocess.PIPE
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        yield file, file


def _shown(words: list[str]) -> str:
    line = shlex.join(words)
    return f"'{line}'" if len(line) <= _SHOWN_LENGTH else f"'{line[:_SHOWN_LENGTH]}...'"
