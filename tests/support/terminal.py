"""A page's commands, typed into one shell as a person would who reads it from top to bottom."""

from __future__ import annotations

import doctest
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from tests.support.waiting import DeadlinePassedError, eventually_sync

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from tests.support.pages import Step

SHOWN_WITHIN = 60
"""Seconds after which a person stops to look again."""
_LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class TypedWrongError(AssertionError):
    """A command of a page failed, or shows something else; the message has both."""


def is_like(seen: str, shown: str) -> bool:
    """Tell whether what is *seen* is what a page has *shown*: `...` is anything, and columns may be as wide as they like."""
    return doctest.OutputChecker().check_output(shown, seen, _LIKE)


class Terminal:
    """One bash that stops at the first command that fails; what it started in the background ends with it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        """Open it in *folder*; output goes into a file in there, so that a program in the background cannot hold it up."""
        self._output = folder / ".output"
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-eu", "-o", "pipefail"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close it."""
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()

    def follow(self, step: Step) -> None:
        """Do what the page says; where it shows something, look until that is seen. Raises `TypedWrongError`."""
        if step.seen is None:
            self._type(f"{{\n{step.typed}}}", step)
        else:
            self._look(step, step.seen)

    def _look(self, step: Step, shown: str) -> None:
        """Look again and again, as a person does; a look may fail, and shows its error then."""
        seen = ""

        def is_seen() -> bool:
            nonlocal seen
            # The exit code of what is behind `!` does not end the shell.
            seen = self._type(f"! {{\n{step.typed}}}", step)
            return is_like(seen, shown)

        try:
            eventually_sync(is_seen, within=SHOWN_WITHIN, pause=0.5)
        except DeadlinePassedError:
            message = f"{step.where}: {step.typed}shows\n{seen}\nand not\n{shown}"
            raise TypedWrongError(message) from None

    def _type(self, command: str, step: Step) -> str:
        """Return what *command* printed. Nobody types while it runs, and its standard input is not the rest of the page."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{command} > '{self._output}' 2>&1 < /dev/null\necho done\n")
        done = self._bash.stdout.readline()
        printed = self._output.read_text()
        if done != "done\n":
            message = f"{step.where}: {step.typed}\n{printed}"
            raise TypedWrongError(message)
        return printed
