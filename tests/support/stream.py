"""A steady stream of mail: sent all the time while a test does something to the fleet, and counted by what was acknowledged."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from tests.support import world
from tests.support.kube import CommandError

if TYPE_CHECKING:
    from types import TracebackType

    from tests.support.gateways import Gateway

EACH = 5
"""Messages over one connection: few, so that every change of the fleet meets connections that begin, and some under way."""
ACCEPTED = 250
PAUSE = 0.5
"""Seconds between two connections; a fleet of no pods refuses them at once."""


class Stream:
    """Sends mail from a thread of its own while the context lasts."""

    def __init__(self, gateway: Gateway, token: str, port: int = 587, **job: Any) -> None:
        """Send through the Service of *gateway* to *port*, changed as *job* says; Subjects begin with *token*."""
        self._gateway = gateway
        self._token = token
        self._port = port
        self._job = job
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"stream {token}")
        self.acknowledged: set[str] = set()
        """The Subject lines of what was acknowledged."""
        self.refused = 0
        """How many connections ended in something else."""
        self.refusals: set[tuple[int, str]] = set()
        """The replies that ended them, code and text; the code is 0 for a connection that was lost, or could not be made."""
        self.serials: set[str] = set()
        """The serial numbers of the certificates that were shown."""

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Finish what is under way."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._over.wait(PAUSE):
            subjects = [f"Subject: {self._token} {number + one:05}" for one in range(EACH)]
            number += EACH
            self._send(subjects)

    def _send(self, subjects: list[str]) -> None:
        messages = [world.message("app@example.com", ["one@example.net"], f"{subject}\r\n\r\n".encode()) for subject in subjects]
        try:
            outcomes = self._gateway.submit(self._port, *messages, **self._job)
        except CommandError:  # the API server was in the way; nothing is known of what was acknowledged, so nothing is counted
            outcomes = []
        taken = {subject for subject, outcome in zip(subjects, outcomes, strict=False) if outcome["code"] == ACCEPTED}
        self.acknowledged |= taken
        self.serials |= {outcome["serial"] for outcome in outcomes if "serial" in outcome}
        self.refusals |= {(outcome["code"], outcome["reply"]) for outcome in outcomes if outcome["code"] != ACCEPTED}
        self.refused += len(taken) < len(subjects)
