"""One session with a gateway that is kept open while a test does something to it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

    from tests.support.kube import Kube

END_WITHIN = 60
"""Seconds that the end of a session may take."""


class Kept:
    """A session from the client pod, open while the context lasts."""

    def __init__(self, kube: Kube, job: dict[str, Any]) -> None:
        """Connect and log in as *job* says, from the client pod of the namespace of *kube*."""
        self._command = kube.command("exec", "-i", "deployment/client", "--", "python3", "/scripts/mail_client.py", "-")
        self._job = job
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Begin the session."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        self._say(self._job)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the session."""
        assert self._process is not None
        try:
            self._process.communicate(timeout=END_WITHIN)
        finally:
            self._process.kill()

    def submit(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send *message* over the session; return its outcome. Fails with what the client said when the session is gone."""
        assert self._process is not None
        assert self._process.stdout is not None
        self._say(message)
        line = self._process.stdout.readline()
        try:
            outcome: dict[str, Any] = json.loads(line)
        except ValueError:
            raise AssertionError(line + self._process.stdout.read()) from None
        return outcome

    def _say(self, what: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(what)}\n")
        self._process.stdin.flush()
