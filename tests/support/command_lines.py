"""The programs that a page's commands call, and with which arguments: as much of the shell's grammar as the pages use."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from tests.support.pages import blocks, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Command = tuple[str, ...]
    Reader = Callable[[Path], list[Command]]

PROGRAMS = ("kubectl", "helm", "smtp-gateway")
_SPAN = re.compile(rf"`((?:{'|'.join(PROGRAMS)}) [^`…]+)`")
_HERE_DOCUMENT = re.compile(r"(<<'?(\w+)'?[^\n]*\n).*?^\2$", re.MULTILINE | re.DOTALL)
_PUNCTUATION = "();<>|&"
_NULL_SENDER = "<>"
"""In quotes, which are gone here. The shell would have it as a redirection, too, which no page needs."""


def typed(page: Path) -> list[Command]:
    """Return what the blocks of *page* call of `PROGRAMS`, also inside of pods and through its aliases."""
    called = [command for block in blocks(page) for step in steps(block) for command in _split(step.typed)]
    aliases = {name: meaning.split() for one in called if one[0] == "alias" for name, _, meaning in [one[1].partition("=")]}
    return _of_interest((*aliases.get(one[0], one[:1]), *one[1:]) for one in called)


def mentioned(page: Path) -> list[Command]:
    """Return what its sentences name of them. A mention need not be complete, has optional parts in brackets, and N for a number."""
    spans = (re.sub(r"[][]", "", span).replace("=N", "=1") for span in _SPAN.findall(page.read_text()))
    return _of_interest(command for span in spans for command in _split(span))


def _of_interest(called: Iterable[Command]) -> list[Command]:
    return [inner for one in called for inner in _unwrapped(one) if inner[0].rpartition("/")[2] in PROGRAMS]


def _unwrapped(command: Command) -> Iterator[Command]:
    """Yield *command*, and what it has a pod or another shell run."""
    yield command
    if "--" in command:
        yield from _unwrapped(command[command.index("--") + 1 :])
    elif command[:2] == ("sh", "-c"):
        for one in _split(command[2]):
            yield from _unwrapped(one)


def _split(text: str) -> Iterator[Command]:
    """Yield the simple commands of *text*, without redirections, comments and what is between here-document marks."""
    for line in _HERE_DOCUMENT.sub(r"\1", text).replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=_PUNCTUATION)
        words.whitespace_split = True
        command: list[str] = []
        for word in words:
            if word == _NULL_SENDER:
                command.append(word)
            elif set(word) & set("<>") and set(word) <= set(_PUNCTUATION):
                if command and command[-1].isdecimal():
                    command.pop()  # as in 2>&1
                next(words, None)
            elif word and set(word) <= set(_PUNCTUATION):
                yield from filter(None, [tuple(command)])
                command = []
            else:
                command.append(word)
        yield from filter(None, [tuple(command)])
