"""Queue commands over more than a page, and what leaves the gateway by them."""

from __future__ import annotations

import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.gateway import PATIENCE, Process, config, process
from tests.support.mailq import Commands, send, session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOME = 450
"""Two full pages and a part, and more JSON than a pipe holds (64 KiB)."""
LINES = b"Subject: dots\r\n\r\n.\r\n..two\r\nmid.dle\r\n"
LARGE = LINES + b".x" * 38 + b"\r\n" + (b"y" * 76 + b"\r\n.\r\n") * 8000


@pytest.fixture
def queue(tmp_path: Path) -> Commands:
    """The commands, in the folder of the test's gateway."""
    return Commands(tmp_path)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Process]:
    """A gateway whose next hop is away."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with process(tmp_path, config(bound.getsockname()[1])) as started:
            yield started


@pytest.fixture
def many(gateway: Process) -> list[str]:
    """Messages enough for three pages, none of them in an attempt."""
    with session(gateway) as smtp:
        ids = [send(smtp, [f"{number:03}@x.example"]) for number in range(SOME)]
    gateway.wait_for("deferred", times=SOME)
    return ids


def test_a_queue_is_walked_page_by_page(queue: Commands, many: list[str]) -> None:
    """Listed whole and in part, in order, each message once; held and removed whole."""
    assert queue.ids() == many
    assert queue.ids("--limit", "300") == many[:300]
    assert len(queue.done("list").splitlines()) == SOME + 1
    assert queue.ids(*many[100:420]) == many[100:420]

    held = queue("hold", "--all")
    assert (held.returncode, held.stderr) == (0, f"{SOME} messages held\n")
    assert held.stdout.split("\n")[0] == f"{many[0]} held"
    assert queue.ids("--held", "--recipient", "449@x.example") == [many[-1]]
    assert queue("flush").stderr == "0 messages due now\n"
    assert queue("remove", "--all", "--yes").stderr == f"{SOME} messages removed\n"
    assert queue("list").stderr == "The queue is empty.\n"


def test_a_list_ends_with_its_reader(queue: Commands, many: list[str]) -> None:
    """As with `| head`: no trace, and the code that a shell gives for SIGPIPE; with SIGINT likewise."""
    for end, code in ((None, 141), (signal.SIGINT, 130)):
        line = queue.line("list", "-o", "json")
        with subprocess.Popen(line, cwd=queue.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as listing:
            assert listing.stdout is not None
            assert listing.stderr is not None
            assert many[0] in listing.stdout.readline()
            if end is None:
                listing.stdout.close()
            else:
                listing.send_signal(end)
                listing.stdout.read()
            assert (listing.stderr.read(), listing.wait(PATIENCE)) == ("", code)


def test_content_is_exported_as_it_was_sent(gateway: Process, queue: Commands, tmp_path: Path) -> None:
    """A file a message, for the caller's eyes alone, without the dots of the wire, large or small; and one to standard output."""
    with session(gateway) as smtp:
        small, large = send(smtp, body=LINES), send(smtp, body=LARGE)
    gateway.wait_for("deferred", times=2)

    said = queue("export", "--all", "--yes", "--to", "out/mail")
    assert (said.returncode, said.stdout) == (0, f"out/mail/{small}.eml\nout/mail/{large}.eml\n")
    for name, body in ((small, LINES), (large, LARGE)):
        file = tmp_path / "out" / "mail" / f"{name}.eml"
        assert file.read_bytes().endswith(b"\r\n" + body)
        assert file.read_bytes().startswith(b"Received: ")
        assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "out" / "mail").iterdir()) == [f"{small}.eml", f"{large}.eml"]
    piped = subprocess.run(queue.line("export", "--yes", large), cwd=tmp_path, capture_output=True, timeout=PATIENCE, check=True)
    assert piped.stdout == (tmp_path / "out" / "mail" / f"{large}.eml").read_bytes()
    assert queue.ids() == [small, large]


def test_what_cannot_be_exported_is_said(gateway: Process, queue: Commands, tmp_path: Path) -> None:
    """A message that is not there, and a folder that is a file; nothing half written stays."""
    with session(gateway) as smtp:
        message_id = send(smtp)
    (tmp_path / "file").write_text("")

    absent = queue("export", "--yes", "NOSUCH")
    assert (absent.returncode, absent.stderr) == (1, "0 messages exported\nsmtp-gateway: NOSUCH is not in the queue\n")
    blocked = queue("export", "--yes", "--to", "file", message_id)
    assert blocked.returncode == 1
    assert f"file/{message_id}.eml cannot be written" in blocked.stderr


def test_a_damaged_body_is_not_taken_for_a_whole_one(gateway: Process, queue: Commands, tmp_path: Path) -> None:
    """Its answer has no end, no file is left, and the others are written all the same."""
    with session(gateway) as smtp:
        damaged, other = send(smtp, body=LARGE), send(smtp, body=LARGE)
    gateway.wait_for("deferred", times=2)
    (file,) = (path for path in (tmp_path / "spool" / "bodies").iterdir() if path.name.startswith(damaged))
    with file.open("r+b") as body:
        body.seek(300_000)
        body.write(b"?")

    said = queue("export", "--all", "--yes", "--to", "out")
    assert (said.returncode, said.stdout) == (1, f"out/{other}.eml\n")
    assert "came to an early end" in said.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{other}.eml"]
    assert gateway.wait_for("content unreadable")["message_id"] == damaged


def test_consent_is_asked_for_at_a_terminal_and_nowhere_else(gateway: Process, queue: Commands) -> None:
    """A pipe is refused with exit code 2 whatever is in it; at a terminal `n` keeps the message and `y` removes it."""
    with session(gateway) as smtp:
        message_id = send(smtp)
    gateway.wait_for("deferred")

    for words in (("remove", "--all"), ("export", message_id)):
        refused = queue(*words, stdin="y\n")
        assert refused.returncode == 2
        assert refused.stderr == f"smtp-gateway: {words[0]} asks first, and standard input is no terminal: say --yes\n"
    no = queue.at_terminal("remove", message_id, answer="n")
    assert (no.returncode, no.stdout) == (1, "")
    assert no.stderr.startswith("Remove 1 message (")
    assert no.stderr.endswith("smtp-gateway: nothing was done\n")
    assert queue.ids() == [message_id]
    yes = queue.at_terminal("remove", message_id, answer="y")
    assert (yes.returncode, yes.stdout) == (0, f"{message_id} removed\n")
    assert queue.ids() == []
