"""Postfix's load generator and its receiving server, which make and take more mail than any relay here can pass on."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.processes import PATIENCE, end, until
from bench.rows import SESSIONS

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from bench.rows import Row

RUN = 300.0
"""Seconds that one measurement may take."""
_COUNTER = re.compile(rb"mesg=(\d+)")


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the files of Debian's package postfix are."""

    root: Path

    def command(self, name: str) -> str:
        """Return the path of a program."""
        return str(self.root / "usr" / "sbin" / name)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which the programs find their libraries."""
        return os.environ | {"LD_LIBRARY_PATH": str(self.root / "usr" / "lib" / "postfix")}


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    """Tell whether somebody listens on *port*."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Sink:
    """smtp-sink, and how many messages it has taken."""

    def __init__(self, tools: Tools, record: Path) -> None:
        """Write the counter to *record*."""
        self._tools = tools
        self._record = record
        self.port = free_port()
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        """Start."""
        command = [self._tools.command("smtp-sink"), "-u", "nobody", "-c", f"127.0.0.1:{self.port}", "1000"]
        with self._record.open("wb") as record:
            self._process = subprocess.Popen(command, env=self._tools.environment, stdout=record, stderr=subprocess.STDOUT)
        until(lambda: listening(self.port), "smtp-sink listens")
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """End."""
        end(self._process)

    def taken(self) -> int:
        """Return the count."""
        return counted(self._record.read_bytes()[-200:])

    def wait_for(self, messages: int) -> float:
        """Return the moment when *messages* had been taken in all, by the monotonic clock. Raises `TimeoutError`."""
        deadline = time.monotonic() + RUN
        while self.taken() < messages:
            if time.monotonic() > deadline:
                message = f"{self.taken()} of {messages} messages arrived within {RUN:g} s"
                raise TimeoutError(message)
            time.sleep(0.002)
        return time.monotonic()


def counted(shown: bytes) -> int:
    """Return the last count in what smtp-sink shows."""
    counts = _COUNTER.findall(shown)
    return int(counts[-1]) if counts else 0


def send(tools: Tools, row: Row, port: int) -> None:
    """Send the messages of *row* to *port*; return when all are acknowledged. Raises `CalledProcessError` when one is not."""
    reuse = ["-d"] if row.reused else []
    load = ["-s", str(SESSIONS), "-m", str(row.messages), "-l", str(row.octets), "-f", "a@bench.example", "-t", "b@bench.example"]
    command = [tools.command("smtp-source"), *reuse, *load, f"127.0.0.1:{port}"]
    subprocess.run(command, env=tools.environment, check=True, capture_output=True, timeout=RUN + PATIENCE)
