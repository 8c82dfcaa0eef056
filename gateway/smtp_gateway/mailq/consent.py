"""Between a command and the person at the terminal: the question before what cannot be undone, and a word when something takes long."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from smtp_gateway.mailq.columns import size
from smtp_gateway.usage import USAGE, CommandError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    Pages = Iterable[list[dict[str, Any]]]

EVERY = 5.0
"""Seconds between two words about a command that takes long."""


class Progress:
    """Counts messages, and says how many so far on standard error every few seconds."""

    def __init__(self, done: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Count messages that are *done*; *clock* tells seconds."""
        self._done = done
        self._clock = clock
        self._said = clock()
        self.count = 0

    def add(self, messages: int) -> None:
        """Count *messages* more."""
        self.count += messages
        if self._clock() - self._said >= EVERY:
            self._said = self._clock()
            sys.stderr.write(f"{counted(self.count)} {self._done} so far\n")

    def close(self) -> None:
        """Say how many it were."""
        sys.stdout.flush()
        sys.stderr.write(f"{counted(self.count)} {self._done}\n")


def demand(options: argparse.Namespace, pages: Callable[[], Pages], question: str) -> None:
    """Return when *options* or the person at the terminal agree to *question*, in which `{}` stands for what *pages* hold.

    Raises `CommandError` when nobody does. Without a terminal nobody is asked: a script's standard input is not for answers.
    """
    if options.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        message = f"{options.action} asks first, and standard input is no terminal: say --yes"
        raise CommandError(message, USAGE)
    counting, octets = Progress("found"), 0
    for page in pages():
        octets += sum(message["size"] for message in page)
        counting.add(len(page))
    if not counting.count:
        return
    sys.stderr.write(question.format(f"{counted(counting.count)} ({size(octets)})") + " [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        message = "nothing was done"
        raise CommandError(message)


def counted(messages: int) -> str:
    """Return `1 message` or `1,234 messages`."""
    return f"{messages:,} message" + ("" if messages == 1 else "s")
