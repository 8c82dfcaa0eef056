"""Load and its receivers: Postfix's smtp-source and smtp-sink, and `bench/load` for what those do not do (TLS, AUTH, marks, a pace)."""

from __future__ import annotations

import re
import smtplib
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from bench.processes import PATIENCE, end, until
from bench.tools import APP

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from bench.rows import Row
    from bench.tools import Login, Tools

RUN = 300.0
"""Seconds that one measurement may take."""
REFUSED = 400
"""Replies from here on are refusals (RFC 5321 section 4.2.1)."""
_COUNTER = re.compile(rb"mesg=(\d+)")


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
    """A receiving server, and how many messages it has taken."""

    def __init__(self, tools: Tools, record: Path) -> None:
        """Write the counter to *record*."""
        self.tools = tools
        self._record = record
        self.port = free_port()
        self._process: subprocess.Popen[bytes]

    def command(self) -> list[str]:
        """Return what is run: smtp-sink."""
        return [self.tools.command("smtp-sink"), "-u", "nobody", "-c", f"127.0.0.1:{self.port}", "1000"]

    def __enter__(self) -> Self:
        """Start."""
        with self._record.open("wb") as record:
            self._process = subprocess.Popen(self.command(), env=self.tools.environment, stdout=record, stderr=subprocess.STDOUT)
        until(lambda: listening(self.port), "the sink listens")
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """End."""
        end(self._process)

    def taken(self) -> int:
        """Return the count."""
        with self._record.open("rb") as record:
            record.seek(max(record.seek(0, 2) - 200, 0))
            return counted(record.read())

    def wait_for(self, messages: int, within: float = RUN) -> float:
        """Return the moment when *messages* had been taken in all, by the monotonic clock. Raises `TimeoutError`."""
        deadline = time.monotonic() + within
        while self.taken() < messages:
            if time.monotonic() > deadline:
                message = f"{self.taken()} of {messages} messages arrived within {within:g} s"
                raise TimeoutError(message)
            time.sleep(0.002)
        return time.monotonic()


class LoadSink(Sink):
    """`load sink`: with *options*, such as a delay, a file for marks, or TLS."""

    def __init__(self, tools: Tools, record: Path, options: Sequence[str] = ()) -> None:
        """Write the counter to *record*."""
        super().__init__(tools, record)
        self._options = options

    def command(self) -> list[str]:
        """Return what is run."""
        return [str(self.tools.load), "sink", "-address", f"127.0.0.1:{self.port}", *self._options]


def secured_sink(tools: Tools, record: Path) -> Sink:
    """Return a sink that offers STARTTLS and AUTH."""
    certificate, key = tools.certificate
    return LoadSink(tools, record, ("-certificate", str(certificate), "-key", str(key)))


def counted(shown: bytes) -> int:
    """Return the last count in what a sink shows."""
    counts = _COUNTER.findall(shown)
    return int(counts[-1]) if counts else 0


class OpenError(Exception):
    """A relay that was to take mail from logins only takes it from everybody, so what it does is not what the others do."""


def demand_login(port: int) -> None:
    """See that the relay on *port* refuses a transaction in the clear and without a login. Raises `OpenError`."""
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
        client.ehlo("stranger.bench.example")
        if client.mail("a@bench.example")[0] < REFUSED and client.rcpt("b@bench.example")[0] < REFUSED:
            message = f"the relay on port {port} takes mail without STARTTLS and AUTH"
            raise OpenError(message)


def send(tools: Tools, row: Row, port: int) -> None:
    """Send the messages of *row* to *port*; return when all are acknowledged. Raises `CalledProcessError` when one is not."""
    command = load_source(tools, row, port) if row.secured else smtp_source(tools, row, port)
    subprocess.run(command, env=tools.environment, check=True, stdout=subprocess.DEVNULL, timeout=RUN + PATIENCE)


def smtp_source(tools: Tools, row: Row, port: int) -> list[str]:
    """Return the command of Postfix's load generator: in the clear, nobody's login."""
    reuse = ["-d"] if row.reused else []
    load = ["-s", str(row.sessions), "-m", str(row.messages), "-l", str(row.octets), "-r", str(row.recipients)]
    return [tools.command("smtp-source"), *reuse, *load, "-f", "a@bench.example", "-t", "b@bench.example", f"127.0.0.1:{port}"]


def load_source(tools: Tools, row: Row, port: int) -> list[str]:
    """Return the command of our own that sends the messages of *row* as `APP`."""
    load = ["-sessions", str(row.sessions), "-messages", str(row.messages), "-octets", str(row.octets)]
    return as_login(tools, port, APP, *load, *(["-reuse"] if row.reused else []), *(["-implicit"] if row.implicit else []))


def as_login(tools: Tools, port: int, login: Login, *options: str) -> list[str]:
    """Return the command of `load source` with *options* that encrypts, and authenticates as *login*."""
    who = ["-secure", "-login", login.name, "-password", login.password]
    return [str(tools.load), "source", "-address", f"127.0.0.1:{port}", *who, *options]
