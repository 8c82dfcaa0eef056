from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.cli import main, parser
from smtp_gateway.mailq import filters
from smtp_gateway.mailq.client import batches
from smtp_gateway.mailq.place import place

if TYPE_CHECKING:
    import argparse

NOW = 1_800_000_000.0


def options(*words: str) -> argparse.Namespace:
    """Return what the command line `smtp-gateway queue ...` says."""
    return parser().parse_args(["queue", *words])


def test_filters_become_a_query() -> None:
    """Each option that was given is a parameter; the null sender is the empty text."""
    given = options(
        "list", "--sender", "<>", "--domain", "x.example", "--identity", "app", "--older-than", "2h", "--held", "--reply", "451"
    )

    assert dict(filters.parameters(given, NOW)) == {
        "sender": "",
        "domain": "x.example",
        "identity": "app",
        "reply": "451",
        "held": "true",
        "older_than": repr(NOW - 7200),
    }


def test_without_a_filter_everything_of_now_is_chosen() -> None:
    """Mail that arrives while the command is at work is not."""
    assert filters.parameters(options("list"), NOW) == (("older_than", repr(NOW)),)
    assert not filters.narrow(options("list", "0ABC"))


@pytest.mark.parametrize(
    "words",
    [
        ("--sender", "<>"),
        ("--recipient", "a"),
        ("--domain", "d"),
        ("--identity", "i"),
        ("--older-than", "0s"),
        ("--held",),
        ("--reply", ""),
    ],
)
def test_each_filter_narrows(words: tuple[str, ...]) -> None:
    """So that `remove` with any of them needs no `--all`."""
    assert filters.narrow(options("remove", *words))


class Query(dict[str, Any]):
    """A query as the server has it."""

    def getall(self, name: str, default: list[str]) -> list[str]:
        """Return all values."""
        found: list[str] = self.get(name, default)
        return found


def test_a_query_becomes_a_selection() -> None:
    """What the client wrote is what the spool is asked for."""
    given = options("list", "--sender", "<>", "--recipient", "a@x.example", "--held")
    selected = filters.selection(Query(filters.parameters(given, NOW), id=["0ABC"]))

    assert (selected.sender, selected.recipient, selected.domain, selected.held) == ("", "a@x.example", None, True)
    assert selected.older_than == NOW
    assert set(selected.ids) == {"0ABC"}


def test_a_query_without_ids_or_filters_selects_everything() -> None:
    """None means that it does not matter."""
    selected = filters.selection(Query())

    assert (selected.sender, selected.older_than, selected.held, selected.reply, selected.ids) == (None, None, None, None, frozenset())


def test_a_query_with_a_time_that_is_none_is_refused() -> None:
    """The server answers 400."""
    with pytest.raises(ValueError, match="could not convert"):
        filters.selection(Query(older_than="noon"))


def test_ids_are_asked_for_once_and_in_batches() -> None:
    """A request line has an end."""
    assert batches(["b", "a", "b", "c"], 2) == [["b", "a"], ["c"]]
    assert batches([]) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("remove", "--yes"), "remove which messages?"),
        (("hold",), "hold which messages?"),
        (("release",), "release which messages?"),
        (("retry",), "retry which messages?"),
        (("export", "--to", "here"), "export which messages?"),
        (("export", "--all"), "--to DIR"),
        (("export", "1", "2"), "--to DIR"),
    ],
)
def test_no_choice_is_not_a_choice_of_everything(words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 before anything is asked of a gateway; the sentence says what to add."""
    assert main(["queue", *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [(), ("show",), ("list", "--limit", "0"), ("list", "--older-than", "2"), ("list", "-o", "yaml"), ("fly",)]
)
def test_a_wrong_command_line_exits_with_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is on standard error."""
    with pytest.raises(SystemExit) as ended:
        main(["queue", *words])

    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_socket_is_found_where_the_gateway_put_it() -> None:
    """Named, else named by the environment, else beside the mail: the same for `run` and for `queue`."""
    assert place(Path("a.sock"), Path("spool"), {"SMTP_GATEWAY_SOCKET": "/b.sock"}) == Path("a.sock")
    assert place(None, Path("spool"), {"SMTP_GATEWAY_SOCKET": "/b.sock"}) == Path("/b.sock")
    assert place(None, Path("spool"), {"SMTP_GATEWAY_SOCKET": ""}) == Path("spool/queue.sock")
    assert (options("list").socket, options("list").spool) == (None, parser().parse_args(["run", "a.yaml"]).spool)
