from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway.mailq import columns

NOW = columns.seconds("2026-11-25T10:00:00Z")


def recipient(address: str, attempts: int = 0, reply: str = "", due: str | None = None) -> dict[str, Any]:
    """Return a recipient as the socket tells of it."""
    return {"address": address, "attempts": attempts, "lastReply": reply, "nextAttempt": due}


def message(*recipients: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return a message as the socket tells of it."""
    whole = {
        "id": "0ABC",
        "state": "deferred",
        "acceptedAt": "2026-11-25T08:00:00Z",
        "size": 4200,
        "identity": "app-logins",
        "sender": "me@here.example",
        "attempts": 3,
        "nextAttempt": "2026-11-25T10:03:12Z",
        "recipients": list(recipients or (recipient("you@there.example", 3, "451 4.3.0 Later"),)),
        "smtputf8": False,
        "body8bit": True,
        "asked": [],
        "history": [],
    }
    return whole | changed


def test_a_page_is_aligned_under_its_headings() -> None:
    """Each column begins where its heading does, and no line ends in blanks."""
    table = columns.Table(columns.HEADINGS)
    first, second, third = table.lines(columns.row(one, NOW) for one in (message(), message(recipient("a@b.example"), sender="")))

    assert first.split() == list(columns.HEADINGS)
    assert second.split(None, 6)[:6] == ["0ABC", "2h", "4.1Ki", "3", "3m12s", "me@here.example"]
    assert {line.index(cell) for line, cell in ((first, "RECIPIENTS"), (second, "you@there"), (third, "a@b"))} == {
        first.index("RECIPIENTS")
    }
    assert third.split()[5:] == ["<>", "a@b.example", "-"]
    assert third == third.rstrip()


def test_later_pages_have_no_headings_and_never_narrower_columns() -> None:
    """A queue that is listed page by page reads as one table."""
    table = columns.Table(("ID", "WHAT"))
    (_, first), (second,) = list(table.lines([("long-name", "x")])), list(table.lines([("n", "y")]))

    assert first.index("x") == second.index("y")


def test_an_empty_page_does_not_use_up_the_headings() -> None:
    """A filter that matches late has its headings above the first match."""
    table = columns.Table(("ID",))

    assert list(table.lines([])) == []
    assert list(table.lines([("1",)])) == ["ID", "1"]


def test_many_recipients_are_counted_and_shown_when_wide() -> None:
    """The narrow table names the first, the wide one all, with the replies of all and the identity."""
    one = message(recipient("a@x.example", 1, "450 Busy"), recipient("b@x.example", 1, "450 Busy"), recipient("c@x.example", 1, "452 Full"))

    assert columns.row(one, NOW)[-2:] == ("a@x.example (+2)", "450 Busy")
    wide = ("app-logins", "me@here.example", "a@x.example,b@x.example,c@x.example", "450 Busy / 452 Full")
    assert columns.wide_row(one, NOW)[-4:] == wide


def test_a_long_reason_is_cut_in_the_narrow_table_only() -> None:
    """Seventy characters, the last of which say so."""
    one = message(recipient("a@x.example", 1, "x" * 100))

    assert columns.row(one, NOW)[-1] == "x" * 67 + "..."
    assert columns.wide_row(one, NOW)[-1] == "x" * 100


@pytest.mark.parametrize("state", ["held", "delivering", "due"])
def test_a_message_that_does_not_wait_for_a_time_says_what_it_does(state: str) -> None:
    """NEXT is the state then."""
    assert columns.row(message(state=state), NOW)[4] == state


def test_nothing_moves_the_cursor() -> None:
    """Escape sequences, line feeds and direction marks in what others said become question marks."""
    _, line = columns.Table(("REASON",)).lines([("\x1b[2Jevil\nname\u202e\x9b",)])

    assert line == "?[2Jevil?name??"
    assert "\x1b" not in "\n".join(columns.whole(message(recipient("a", 1, "\x1b]0;title\x07"), sender="\x1b"), NOW))


def test_the_whole_of_a_message_has_its_history() -> None:
    """Facts, recipients, and one row for equal attempts."""
    attempts = {
        "event": "deferred",
        "times": 14,
        "first": "2026-11-25T08:00:01Z",
        "last": "2026-11-25T09:40:00Z",
        "hop": "mx[192.0.2.1]:25",
    }
    history = [attempts | {"reply": "451 4.4.1 Connection refused", "recipients": ["you@there.example", "b@there.example"]}]
    text = "\n".join(columns.whole(message(history=history, asked=["RET=HDRS", "<a@b> NOTIFY=NEVER"]), NOW))

    assert "Accepted:  2026-11-25 08:00:00 UTC (2h ago)" in text
    assert "Declared:  8BITMIME\nAsked:     RET=HDRS; <a@b> NOTIFY=NEVER\n" in text
    row = next(line for line in text.splitlines() if "deferred " in line and "14" in line)
    cells = ["2026-11-25 08:00:01", "2026-11-25 09:40:00", "14", "deferred", "you@there.example (+1)"]
    assert [cell.strip() for cell in row.split("   ") if cell.strip()] == [*cells, "mx[192.0.2.1]:25", "451 4.4.1 Connection refused"]


def test_a_message_that_was_never_tried_says_so() -> None:
    """Instead of an empty table."""
    assert list(columns.whole(message(), NOW))[-1] == "No attempt yet."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (45, "45s"), (60, "1m"), (192, "3m12s"), (7200, "2h"), (9000, "2h30m"), (90000, "1d1h"), (864000, "10d")],
)
def test_spans_have_two_units(seconds: float, text: str) -> None:
    """The two largest; what is over cannot be negative."""
    assert columns.span(seconds) == text


@pytest.mark.parametrize(
    ("octets", "text"), [(0, "0"), (812, "812"), (1024, "1Ki"), (4200, "4.1Ki"), (26214400, "25Mi"), (2**41, "2048Gi")]
)
def test_sizes_are_quantities(octets: int, text: str) -> None:
    """In the largest unit of which there is one."""
    assert columns.size(octets) == text
