"""Commands in the documentation are ones that the program takes; tests/chart does the same for kubectl and helm."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

import pytest

from smtp_gateway.cli import parser
from tests.support import command_lines

PAGES = (Path("README.md"), *sorted(Path("docs").rglob("*.md")))
INCOMPLETE = ("required", "expected one argument")
"""What argparse says of a command line that is right as far as it goes."""


def calls(reader: command_lines.Reader) -> list[tuple[str, tuple[str, ...]]]:
    """Return the arguments that *reader* finds in each page."""
    return [(str(page), one[1:]) for page in PAGES for one in reader(page) if one[0].endswith("smtp-gateway")]


@pytest.fixture(autouse=True)
def errors_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let argparse raise what it would print."""

    def refuse(_: argparse.ArgumentParser, message: str) -> NoReturn:
        raise ValueError(message)

    monkeypatch.setattr(argparse.ArgumentParser, "error", refuse)


@pytest.mark.parametrize(("page", "arguments"), calls(command_lines.typed), ids=str)
def test_what_a_page_types_is_understood(page: str, arguments: tuple[str, ...]) -> None:
    """The subcommand and every option exist, take what they are given, and nothing is missing."""
    assert parser().parse_args(arguments), page


@pytest.mark.parametrize(("page", "arguments"), calls(command_lines.mentioned), ids=str)
def test_what_a_page_mentions_exists(page: str, arguments: tuple[str, ...]) -> None:
    """The same, but for what a sentence leaves out."""
    try:
        assert parser().parse_args(arguments), page
    except ValueError as error:
        if not any(word in str(error) for word in INCOMPLETE):
            raise


@pytest.mark.parametrize("wrong", ["queue lst", "queue list --snder=a", "dkim key --kind dsa", "queue"])
def test_what_does_not_exist_is_found(wrong: str, tmp_path: Path) -> None:
    """A wrong subcommand, option or value in a block, and one that is not complete."""
    (tmp_path / "page.md").write_text(f"```sh\nkubectl exec -i mail-0 -- smtp-gateway {wrong} > out 2>&1 # as ever\n```\n")
    (arguments,) = (one[1:] for one in command_lines.typed(tmp_path / "page.md") if one[0] == "smtp-gateway")

    with pytest.raises(ValueError, match=r"invalid choice|unrecognized|required"):
        parser().parse_args(arguments)
