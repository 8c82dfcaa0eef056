from __future__ import annotations

import argparse
import io
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.mailq.consent import Progress, demand
from smtp_gateway.usage import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = [[{"size": 1000}, {"size": 24}], [], [{"size": 1024}]]


class Terminal(io.StringIO):
    """A standard input at which somebody sits."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def ask(monkeypatch: pytest.MonkeyPatch, stdin: io.StringIO, pages: list[list[dict[str, Any]]] | None = None, *, yes: bool = False) -> None:
    """Demand consent to a removal of three messages."""
    monkeypatch.setattr("sys.stdin", stdin)
    demand(argparse.Namespace(action="remove", yes=yes), lambda: PAGES if pages is None else pages, "Remove {} for good?")


@pytest.mark.parametrize("answer", ["y\n", "Yes\n"])
def test_consent_is_asked_for_with_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str) -> None:
    """The question says how many and how much; it is on standard error."""
    ask(monkeypatch, Terminal(answer))

    assert capsys.readouterr() == ("", "Remove 3 messages (2Ki) for good? [y/N] ")


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yellow\n"])
def test_anything_but_yes_is_no(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """The end of input, too."""
    with pytest.raises(CommandError, match="nothing was done") as refusal:
        ask(monkeypatch, Terminal(answer))
    assert refusal.value.code == 1


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A `y` in a pipe is not consent; the sentence names the flag, and the code is 2."""
    with pytest.raises(CommandError, match="--yes") as refusal:
        ask(monkeypatch, io.StringIO("y\n"))
    assert refusal.value.code == 2
    assert capsys.readouterr().err == ""


def test_the_flag_is_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is counted then."""

    def unread() -> Iterator[list[dict[str, Any]]]:
        raise AssertionError

    monkeypatch.setattr("sys.stdin", io.StringIO())
    demand(argparse.Namespace(action="remove", yes=True), unread, "{}")


def test_nothing_is_asked_about_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command then says what is missing."""
    ask(monkeypatch, Terminal(), [[]])

    assert capsys.readouterr().err == ""


def test_what_takes_long_speaks_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Every five seconds, and at the end."""
    now = [0.0]
    progress = Progress("removed", lambda: now[0])
    progress.add(999)
    now[0] = 5.0
    progress.add(1)
    progress.add(1)
    assert capsys.readouterr().err == "1,000 messages removed so far\n"

    progress.close()
    assert capsys.readouterr().err == "1,001 messages removed\n"
