"""The queue's commands as people run them: a process each, beside a gateway that is another."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import smtplib
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tests.support.gateway import PATIENCE, Process, trusting
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Strict(BaseModel):
    """A document of which every field is known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Recipient(Strict):
    """A recipient in a message's document."""

    address: str
    attempts: int
    lastReply: str  # noqa: N815 the document's own name
    nextAttempt: str | None  # noqa: N815 the document's own name


class Attempted(Strict):
    """Equal attempts in a message's history."""

    event: str
    times: int
    first: str
    last: str
    hop: str
    reply: str
    recipients: list[str]


class Message(Strict):
    """One line of `queue list -o json`."""

    id: str
    state: str
    acceptedAt: str  # noqa: N815 the document's own name
    size: int
    identity: str
    sender: str
    attempts: int
    nextAttempt: str  # noqa: N815 the document's own name
    recipients: list[Recipient]


class Story(Message):
    """One line of `queue show -o json`."""

    smtputf8: bool
    body8bit: bool
    asked: list[str]
    history: list[Attempted]


class Commands:
    """Runs `smtp-gateway queue` in the folder of a gateway."""

    def __init__(self, folder: Path) -> None:
        """Run commands in *folder*."""
        self.folder = folder

    def line(self, *words: str) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "smtp_gateway", "queue", *words]

    def __call__(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with *stdin* in a pipe."""
        done = subprocess.run(
            self.line(*words), cwd=self.folder, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def done(self, *words: str) -> str:
        """Run a command that succeeds, and return what it printed."""
        done = self(*words)
        assert done.returncode == 0, done
        return done.stdout

    def listed(self, *words: str) -> list[Message]:
        """Return what `queue list` finds, each field checked."""
        return [Message.model_validate_json(line) for line in self.done("list", "-o", "json", *words).splitlines()]

    def ids(self, *words: str) -> list[str]:
        """Return the ids that `queue list` finds."""
        return [message.id for message in self.listed(*words)]

    def story(self, message_id: str) -> Story:
        """Return what `queue show` tells, each field checked."""
        return Story.model_validate_json(self.done("show", message_id, "-o", "json"))

    def results(self, *words: str) -> dict[str, str]:
        """Return what a change came to, by id."""
        return {one["id"]: one["result"] for one in map(json.loads, self(*words, "-o", "json").stdout.splitlines())}

    def at_terminal(self, *words: str, answer: str) -> subprocess.CompletedProcess[str]:
        """Run a command whose standard input is a terminal at which *answer* is typed."""
        ours, theirs = pty.openpty()
        try:
            os.write(ours, f"{answer}\n".encode())
            return subprocess.run(
                self.line(*words), cwd=self.folder, stdin=theirs, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        finally:
            os.close(ours)
            os.close(theirs)


@contextlib.contextmanager
def session(gateway: Process, login: str = "app") -> Iterator[smtplib.SMTP]:
    """Open a session that may send."""
    with smtplib.SMTP("localhost", gateway.ports["submission"], local_hostname="client.example", timeout=PATIENCE) as smtp:
        smtp.starttls(context=trusting())
        smtp.login(login, "secret")
        yield smtp


def send(
    smtp: smtplib.SMTP, recipients: Sequence[str] = ("you@there.example",), sender: str = "me@here.example", body: bytes = b"x"
) -> str:
    """Send a message and return the id that the gateway told: a later one than those before, because no two are accepted in one millisecond."""
    begun = time.time_ns() // 1_000_000
    eventually_sync(lambda: time.time_ns() // 1_000_000 > begun, pause=0.001)
    assert smtp.mail(sender)[0] == 250
    for recipient in recipients:
        assert smtp.rcpt(recipient)[0] == 250
    code, text = smtp.data(body)
    assert code == 250, text
    return text.decode().rpartition(" ")[2]
