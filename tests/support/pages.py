"""The documentation's fenced blocks, and the commands in them.

Commands are in blocks `sh`, or behind `$ ` in a block `console` with what they print. CONTRIBUTING.md says what that means where a page is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FENCED = re.compile(
    r"(?:^ *<!-- not run: (?P<why>[^\n]+) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_PROMPT, _CONTINUED = "$ ", "> "


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    text: str
    why_not_run: str
    """Empty where nothing stands against running it."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be typed, and what is to be seen then; None where the page does not say."""

    where: str
    typed: str
    seen: str | None


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of *page*, in order, without the indentation of a list that they stand in."""
    content = page.read_text()
    for found in _FENCED.finditer(content):
        text = re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        yield Block(page, content.count("\n", 0, found.start()) + 1, found["language"], text, found["why"] or "")


def steps(block: Block) -> Iterator[Step]:
    """Yield what a person types: a block `sh` as a whole, each command of one with prompts, nothing of any other."""
    where = f"{block.page}:{block.line}"
    if block.language == "sh":
        yield Step(where, block.text, None)
    elif block.text.startswith(_PROMPT):
        for session in re.split(rf"^{re.escape(_PROMPT)}", block.text, flags=re.MULTILINE)[1:]:
            first, *lines = session.splitlines()
            typed = [first]
            while lines and lines[0].startswith(_CONTINUED):
                typed.append(lines.pop(0).removeprefix(_CONTINUED))
            yield Step(where, "\n".join(typed) + "\n", "\n".join(lines))


def to_run(page: Path) -> list[Step]:
    """Return the steps of *page* that are run."""
    return [step for block in blocks(page) if not block.why_not_run for step in steps(block)]
