"""What is around a gateway that is killed: clients that keep what they were promised, and a next hop that keeps what it was given."""

from __future__ import annotations

import asyncio
import os
import random
import smtplib
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.crash.marked import DOMAIN, LARGE, LATER, REFUSED, SENDER, Owed, compose, read, unstuffed
from tests.support.gateway import PATIENCE, trusting
from tests.support.sink import Sink, Taken
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from types import TracebackType

CLIENTS = 4
BACKLOG = 150
"""Messages that are acknowledged and not yet delivered, beyond which clients hold back: what a kill is compared with stays small."""


class Register:
    """Lines on the disk: each is synced before `write` returns."""

    def __init__(self, path: Path) -> None:
        """Begin at *path*."""
        self._path = path
        self._read = 0
        self._file = path.open("ab", buffering=0)

    def write(self, *words: str) -> None:
        """Write one line down."""
        self._file.write(f"{' '.join(words)}\n".encode())
        os.fsync(self._file.fileno())

    def news(self) -> list[list[str]]:
        """Return the whole lines that are on the disk and were not returned before."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            octets = file.read()
        whole = octets[: octets.rfind(b"\n") + 1]
        self._read += len(whole)
        return [line.split() for line in whole.decode().splitlines()]

    def close(self) -> None:
        """Write no more; a second time it does nothing."""
        self._file.close()


class NextHop(list[Taken]):
    """A next hop in a thread of its own. It is the list of what its sink takes, and puts each message on the disk before the 250."""

    def __init__(self, path: Path, port: int = 0) -> None:
        """Write down at *path*; nothing listens on *port*, or on any, before `open`."""
        super().__init__()
        self._register = Register(path)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._sink = Sink()
        self._sink.port = port
        self._sink.taken = self
        self.delivered: Counter[Owed] = Counter()
        self.returned: Counter[Owed] = Counter()
        self.arrived: set[Owed] = set()
        """Whatever was delivered or returned."""
        self.damaged: list[str] = []

    def append(self, taken: Taken) -> None:
        """Write down what arrived, and count it."""
        found = read(unstuffed(taken.body))
        self._register.write("returned" if found.returned else "delivered", found.marker, *(found.returned or taken.recipients))
        owed = found.owed(taken.recipients)
        (self.returned if found.returned else self.delivered).update(owed)
        self.arrived |= owed
        if not found.intact:
            self.damaged.append(found.marker)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Stop for good."""
        self.away()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        self._register.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._sink.port

    def open(self) -> None:
        """Listen."""
        self._do(self._sink.start())

    def refuse(self) -> None:
        """Refuse some recipients for good, and put the next few of others, and the next few messages, off."""
        self._do(self._refuse())

    async def _refuse(self) -> None:
        self._sink.forget_rules()
        self._sink.answer("RCPT", "550 5.1.1 No such user", matching=f"<{REFUSED}")
        self._sink.answer("RCPT", "450 4.2.1 Not now", matching=f"<{LATER}", times=10)
        self._sink.answer("body", "451 4.3.0 Try again", times=3)

    def away(self) -> None:
        """Be gone, until `open`. Called while nobody is connected, so that no answer is lost with a session."""
        self._do(self._sink.stop())

    def quiet(self) -> None:
        """Wait until every session of a dead gateway has been read to its end."""
        eventually_sync(lambda: self._sink.open_sessions == 0, PATIENCE, "the end of the sessions")

    def _do(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


class Client:
    """A mail client that sends marked messages, each once, and keeps what was acknowledged in a synced file of its own."""

    def __init__(self, name: int, port: int, path: Path, backlog: Callable[[], int]) -> None:
        """Send to *port* until `stop`, as long as *backlog* is not too long."""
        self._name = name
        self._port = port
        self._backlog = backlog
        self._chance = random.Random(name)  # noqa: S311 a reproducible choice, not a secret
        self._sent = 0
        self._stopping = threading.Event()
        self._tls: ssl.SSLContext = trusting()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.register = Register(path)
        self.held = 0
        """Recipients that were acknowledged."""
        self.faults: list[str] = []
        """Replies that no kill explains."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the message under way."""
        self._stopping.set()
        self._thread.join(PATIENCE)
        self.register.close()

    def news(self) -> set[Owed]:
        """Return what was acknowledged since the last time, by what is on the disk."""
        return {(marker, one) for marker, *recipients in self.register.news() for one in recipients}

    def _run(self) -> None:
        while not self._stopping.is_set():
            # A server that was killed is a refused connection, a closed one, or 421: what it had not acknowledged is unknown.
            with suppress(OSError, smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError), self._connected() as smtp:
                while not self._stopping.is_set():
                    self._send(smtp)
            self._stopping.wait(0.02)

    def _connected(self) -> smtplib.SMTP:
        smtp = smtplib.SMTP("localhost", self._port, local_hostname="client.example", timeout=PATIENCE)
        try:
            smtp.starttls(context=self._tls)
            smtp.login("app", "secret")
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _send(self, smtp: smtplib.SMTP) -> None:
        if self._backlog() > BACKLOG:
            self._stopping.wait(0.02)
            return
        self._sent += 1
        marker = f"{self._name}-{self._sent}"
        names = self._chance.choice((("a",), ("a",), ("a", "b"), (LATER,), (REFUSED,), ("a", "b", LATER, REFUSED)))
        recipients = [f"{name}-{marker}@{DOMAIN}" for name in names]
        try:
            smtp.sendmail(SENDER, recipients, compose(marker, LARGE if self._chance.random() < 0.1 else 2_000))
        except smtplib.SMTPResponseException as refused:
            if refused.smtp_code != 421:
                self.faults.append(str(refused))
            raise smtplib.SMTPServerDisconnected from refused
        self.register.write(marker, *recipients)
        self.held += len(recipients)
