"""Which clients are run, and what is shown of each: the tests and the table in docs/clients.md are made of this."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from bench import debian
from tests.clients import relays, senders
from tests.clients.jobs import Letter
from tests.clients.tools import PROGRAMS
from tests.support.mail_programs import CACHE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.clients.jobs import Job, Outcome

RECIPIENTS, SIZE = 3, 100_000
"""The limits of the gateway that refuses: so a client meets them at once."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that the gateway refuses, and the reply that says so."""

    name: str
    reply: str
    letter: Letter = field(default_factory=lambda: Letter("refused"))
    password: str = "secret"

    @property
    def pattern(self) -> str:
        """What stands in the words of a client that tells the reply, however it joins the codes."""
        code, enhanced = self.reply.split()
        return rf"{code}\W{{1,4}}{re.escape(enhanced)}"


WRONG_PASSWORD = Refusal("wrong password", "535 5.7.8", password="wrong")
BAD_RECIPIENT = Refusal("address that cannot be", "553 5.1.3", Letter("bad recipient", recipients=(f"one@{'x' * 64}.example",)))
TOO_LARGE = Refusal("too large", "552 5.3.4", Letter("too large", attached=SIZE))
TOO_MANY = Refusal("too many recipients", "452 4.5.3", Letter("too many", recipients=tuple(f"r{n}@example.net" for n in range(5))))
REFUSALS = (WRONG_PASSWORD, BAD_RECIPIENT, TOO_LARGE, TOO_MANY)


@dataclass(frozen=True, slots=True)
class Client:
    """One client."""

    name: str
    origin: str
    """Who provides it."""
    version: str
    """Its version on Debian 12, as the table has it; empty for that of the language, whatever is installed."""
    found: Callable[[], str]
    """Its version here."""
    send: Callable[[Job], Outcome]
    utf8: bool = True
    """Whether it can send to and from addresses beyond ASCII."""
    implicit: bool = True
    """Whether it can begin with TLS."""
    builds: bool = False
    """Whether it builds the message, instead of sending one that is given."""
    adds: bool = False
    """Whether it puts a trace of its own in front."""
    own_words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """What it says instead of the reply, by the name of a refusal, and why."""


def _said(*command: str) -> Callable[[], str]:
    def ask() -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split("\n")[0]

    return ask


def _pinned(path: str, pattern: str) -> Callable[[], str]:
    def look() -> str:
        found = re.search(pattern, (PROGRAMS / path).read_text(), re.DOTALL)
        return found[1] if found else ""

    return look


CLIENTS = (
    Client("swaks", "Debian", "20201014.0", _said("swaks", "--version"), senders.swaks, utf8=False),
    Client("msmtp", "Debian", "1.8.23", _said("msmtp", "--version"), senders.msmtp, utf8=False),
    Client("curl", "Debian", "7.88.1", _said("curl", "--version"), senders.curl),
    Client(
        *("Postfix, as a client", "Debian", "3.7.11", lambda: debian.version(CACHE, "postfix"), relays.postfix),
        adds=True,
        own_words={
            "too large": (r"message size \d+ exceeds size limit 100000 of server", "does not ask: it has read SIZE"),
            "address that cannot be": (r"bounced \(bad address syntax\)", "does not ask: sees it by itself"),
        },
    ),
    Client(
        *("Exim, as a client", "Debian", "4.96", lambda: debian.version(CACHE, "exim4-daemon-light"), relays.exim),
        utf8=False,
        adds=True,
        own_words={
            "too many recipients": (TOO_MANY.pattern + r"|=> r3@.*C=.250 2\.0\.0", "yes, or sends to the others in a second transaction")
        },
    ),
    Client("Python smtplib", "Python", "", _said("python3", "--version"), senders.python_smtplib),
    Client("Python aiosmtplib", "PyPI", "5.1.3", lambda: version("aiosmtplib"), senders.python_aiosmtplib),
    Client(
        *("Node.js nodemailer", "npm", "10.6.1", _pinned("node/package-lock.json", r'node_modules/nodemailer".*?"version": "([^"]*)"')),
        senders.nodemailer,
        builds=True,
    ),
    Client("Go net/smtp", "Go", "", _said("go", "env", "GOVERSION"), senders.go_net_smtp),
    Client(
        *("Java Angus Mail", "Maven", "2.0.3", _pinned("java/pom.xml", r"angus-mail</artifactId>\s*<version>([^<]*)"), senders.angus_mail),
        builds=True,
    ),
    Client(
        *("PHPMailer", "Debian", "6.6.3", _said("dpkg-query", "--show", "--showformat=${Version}", "libphp-phpmailer"), senders.phpmailer),
        utf8=False,
        builds=True,
    ),
)
