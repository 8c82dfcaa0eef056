"""What a client is asked to do, and what came of it."""

from __future__ import annotations

import base64
import json
import random
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HOST = "localhost"
"""The name that clients verify."""
PATIENCE = 90
"""Seconds that one client may take."""
LARGE = 20_000_000
"""Octets of the large message, base64 included."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message, in parts and as a whole."""

    name: str
    subject: str = "A letter"
    text: str = "Dear reader,\n.\n.. a line of dots, and one that ends in blanks   \n\nyours\n"
    attached: int = 0
    """Octets of its attachment."""
    sender: str = "app@example.com"
    recipients: tuple[str, ...] = ("one@example.net", "two@example.org")

    @property
    def international(self) -> bool:
        """Whether its addresses need SMTPUTF8."""
        return not "".join((self.sender, *self.recipients)).isascii()

    @property
    def attachment(self) -> bytes:
        """What is attached: not to be compressed, and the same each time."""
        return random.Random(self.attached).randbytes(self.attached)  # noqa: S311 any octets

    @property
    def whole(self) -> bytes:
        """The message as clients that do not build one send it, lines ended by CRLF."""
        return _whole(self)


PLAIN = Letter("plain")
ATTACHMENT = Letter("attachment", attached=30_000)
UTF8 = Letter("UTF-8 addresses", "Grüße", "Schöne Grüße\n", sender="jörg@bücher.example", recipients=("zoë@müller.example",))
TWENTY_MB = Letter("20 MB", attached=LARGE * 57 // 78)
LETTERS = (PLAIN, ATTACHMENT, UTF8, TWENTY_MB)


@cache
def _whole(letter: Letter) -> bytes:
    fields = (
        f"From: {letter.sender}",
        f"To: {', '.join(letter.recipients)}",
        f"Subject: {letter.subject}",
        "Date: Fri, 15 Jan 2027 08:00:00 +0000",
        f"Message-ID: <{letter.name.replace(' ', '.')}@client.example>",
        "MIME-Version: 1.0",
    )
    if not letter.attached:
        lines = (*fields, "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", letter.text)
        return "\n".join(lines).encode().replace(b"\n", b"\r\n")
    parts = (
        *(*fields, "Content-Type: multipart/mixed; boundary=border", ""),
        *("--border", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", letter.text),
        *("--border", "Content-Type: application/octet-stream; name=data.bin", "Content-Transfer-Encoding: base64"),
        *("Content-Disposition: attachment; filename=data.bin", "", ""),
    )
    text = "\n".join(parts).encode() + base64.encodebytes(letter.attachment) + b"--border--\n"
    return text.replace(b"\n", b"\r\n")


@dataclass(frozen=True, slots=True)
class Job:
    """One message to send."""

    letter: Letter
    port: int
    folder: Path
    """An empty folder for what the client needs."""
    authority: Path
    """The certificate that it trusts."""
    implicit: bool = False
    """Whether TLS begins at once, instead of by STARTTLS."""
    login: str = "app"
    password: str = "secret"

    @property
    def message(self) -> Path:
        """A file with the whole message."""
        path = self.folder / "message.eml"
        path.write_bytes(self.letter.whole)
        return path

    @property
    def built(self) -> Path:
        """Where a client writes down the message that it built itself."""
        return self.folder / "built.eml"

    @property
    def told(self) -> dict[str, Any]:
        """The job as programs of other languages are told it."""
        attachment = self.folder / "data.bin"
        if self.letter.attached:
            attachment.write_bytes(self.letter.attachment)
        return {
            "host": HOST,
            "port": self.port,
            "implicit": self.implicit,
            "authority": str(self.authority),
            "login": self.login,
            "password": self.password,
            "sender": self.letter.sender,
            "recipients": self.letter.recipients,
            "subject": self.letter.subject,
            "text": self.letter.text,
            "attachment": str(attachment) if self.letter.attached else "",
            "built": str(self.built),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client says of its work."""

    sent: bool
    said: str


def run(command: Sequence[str], said: bytes = b"", environment: Mapping[str, str] | None = None) -> Outcome:
    """Run a client that reads *said*."""
    done = subprocess.run(
        command, input=said, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=PATIENCE
    )
    return Outcome(done.returncode == 0, done.stdout.decode(errors="replace"))


def as_json(job: Job, **more: str) -> bytes:
    """Return *job* for a program that reads JSON."""
    return json.dumps(job.told | more).encode()
