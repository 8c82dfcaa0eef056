"""The queue's socket: found, replaced when it was left behind, never stolen."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.mailq import place
from smtp_gateway.mailq.place import SocketTakenError
from tests.support.gateway import Process, config, process
from tests.support.mailq import Commands

if TYPE_CHECKING:
    from pathlib import Path


def test_a_socket_is_for_its_user_alone_from_the_first_moment(tmp_path: Path) -> None:
    """Its mode does not depend on what the process was started with."""
    before = os.umask(0)
    try:
        with place.listen(tmp_path / "queue.sock"):
            assert stat.S_IMODE((tmp_path / "queue.sock").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    """Nobody answers it."""
    path = tmp_path / "queue.sock"
    place.listen(path).close()
    left = place.identity(path)

    with place.listen(path), place.connect(path):
        assert place.identity(path) != left


def test_a_socket_that_is_answered_is_not_stolen(tmp_path: Path) -> None:
    """Its owner goes on to be found there."""
    path = tmp_path / "queue.sock"
    with place.listen(path):
        made = place.identity(path)
        with pytest.raises(SocketTakenError, match="in use by another process"):
            place.listen(path)
        assert place.identity(path) == made
        place.connect(path).close()


def test_a_file_that_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    """A wrong `--socket` costs nobody a file."""
    (tmp_path / "mail.txt").write_text("precious")

    with pytest.raises(SocketTakenError, match="in the way"):
        place.listen(tmp_path / "mail.txt")
    assert (tmp_path / "mail.txt").read_text() == "precious"


def test_a_folder_may_have_a_long_name(tmp_path: Path) -> None:
    """An address holds 107 octets, and a path may have more."""
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)

    with place.listen(folder / "queue.sock"), place.connect(folder / "queue.sock") as connected:
        assert connected.family is socket.AF_UNIX


def test_a_command_without_a_gateway_is_told_so_in_a_sentence(tmp_path: Path) -> None:
    """No folder, no socket, a socket that nobody answers: exit 1 and what to look at."""
    queue = Commands(tmp_path)
    (tmp_path / "left").mkdir()
    place.listen(tmp_path / "left" / "queue.sock").close()

    for words, path in (
        (("list",), "spool/queue.sock"),
        (("flush", "--spool", "left"), "left/queue.sock"),
        (("show", "X", "--socket", "x"), "x"),
    ):
        said = queue(*words)
        assert (said.returncode, said.stdout) == (1, "")
        assert (
            said.stderr
            == f"smtp-gateway: no gateway listens at {path}; --socket, --spool or SMTP_GATEWAY_SOCKET say where another one does\n"
        )


def test_a_command_loads_no_library_of_the_gateway_s() -> None:
    """They take most of a second, and the command is in a hurry."""
    line = "import sys, smtp_gateway.cli; print([name for name in ('aiohttp', 'pydantic', 'structlog', 'uvloop') if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_gateway_replaces_the_socket_of_a_killed_one_and_takes_its_own_away(tmp_path: Path) -> None:
    """After SIGKILL the commands find the next process, and after SIGTERM nothing is left."""
    queue = Commands(tmp_path)
    with process(tmp_path, config()) as killed:
        killed.signal(signal.SIGKILL)
        killed.wait()
    assert (tmp_path / "spool" / "queue.sock").exists()
    with process(tmp_path, config()) as gateway:
        assert queue.listed() == []
        gateway.signal()
        assert gateway.wait() == 0
    assert not (tmp_path / "spool" / "queue.sock").exists()


def test_a_second_gateway_does_not_take_the_first_one_s_socket(tmp_path: Path) -> None:
    """It does not start, says why, and names the option."""
    with process(tmp_path, config()):
        again = ("run", "--config", "config", "--tls", "tls", "--spool", "other", "--socket", "spool/queue.sock", "--http-port", "0")
        with Process.of(again, tmp_path) as second:
            assert second.wait() == 2
            assert "the socket spool/queue.sock is in use by another process; choose another with --socket" in second.errors
        assert Commands(tmp_path).listed() == []


def test_a_socket_that_cannot_be_made_does_not_stop_the_mail(tmp_path: Path) -> None:
    """The log says what is missing, and the gateway is ready."""
    with process(tmp_path, config(), socket=tmp_path / "absent" / "queue.sock") as gateway:
        assert gateway.events("queue commands unavailable")[0]["reason"] == "No such file or directory"
        assert gateway.get("/readyz") == (200, "ok\n")
