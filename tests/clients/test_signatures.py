"""What receivers make of signed mail: three implementations of DKIM verify it, and rspamd finds nothing wrong with its format."""

from __future__ import annotations

import smtplib
from dataclasses import dataclass
from email.message import EmailMessage
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.outgoing import Rewrite, SenderRule
from tests.clients.tools import Tools
from tests.clients.verifiers import opendkim, rspamd
from tests.support.background import background
from tests.support.dns import NameServer
from tests.support.gateway import HOSTNAME, PATIENCE, Process, config, process, trusting
from tests.support.signing import dkim_key, published, strings, verdicts
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.clients.verifiers import Rspamd
    from tests.support.sink import Sink, Taken

KEYS = dkim_key("example.com", "rsa"), dkim_key("example.com", "ed", "ed25519")
RECORDS = published(KEYS)
REWRITE = Rewrite(
    senders=(SenderRule(match=("*@internal.local",), address="*@example.com"),), original_header="X-Original-From", reply_to=True
)
LARGE = 400_000
"""Octets of an attachment that keep a message in a file."""


def letter(sender: str, subject: str, text: str, encoding: str = "7bit") -> EmailMessage:
    """Return a message as applications write one; the gateway adds Date and Message-ID."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, "You <you@there.example>", subject
    message.set_content(text, cte=encoding)
    return message


def plain() -> EmailMessage:
    """Return a text of all that canonicalization has to do with."""
    return letter("App <app@example.com>", "Hello", "Dear reader,\n.\n..dots  and\ttabs  \n\n\n")


def international() -> EmailMessage:
    """Return one with eight-bit text and encoded words, from an address that is rewritten."""
    return letter('"Müller, Jörg" <app@internal.local>', "Grüße", "Schöne Grüße\n" * 20, "8bit")


def attached() -> EmailMessage:
    """Return one that is too large to be held."""
    message = letter("app@example.com", "Report", "Please find attached.\n")
    message.add_alternative("<html><body><p>Please find attached.</p></body></html>", subtype="html")
    message.add_attachment(bytes(range(256)) * (LARGE // 256), maintype="application", subtype="pdf", filename="report.pdf")
    return message


@dataclass(frozen=True)
class Receiver:
    """What a receiver verifies with."""

    rspamd: Rspamd
    folder: Path

    def check(self, taken: Taken) -> None:
        """Check that all three verify both signatures, and that rspamd holds nothing against the message."""
        assert verdicts(taken.content, RECORDS) == [True, True]
        (self.folder / "message.eml").write_bytes(taken.content)
        assert opendkim(self.folder / "message.eml", RECORDS) == {"rsa": "pass", "ed": "pass"}
        judged = self.rspamd.judge(taken.content, taken.sender, taken.recipients[0])
        assert judged.verified == {"rsa", "ed"}
        assert judged.complaints == {}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A receiver, and the DNS that it asks."""
    server = NameServer()
    for name, record in RECORDS.items():
        server.add(f"{name}.", "TXT", strings(record))
    with background() as loop, Tools().folder() as folder:
        loop.run(server.__aenter__())
        with rspamd(folder, server.port) as running:
            yield Receiver(running, folder)
        loop.run(server.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Process]:
    """A gateway that signs, and rewrites what is from inside."""
    asked = config(sink.port)
    route = asked.routes[0].model_copy(update={"rewrite": REWRITE})
    with process(tmp_path_factory.mktemp("signing"), asked.model_copy(update={"routes": (route,), "dkim": KEYS})) as running:
        yield running


def sent(gateway: Process, sink: Sink, message: EmailMessage) -> Taken:
    """Send *message*, and return what arrived."""
    with smtplib.SMTP("localhost", gateway.ports["submission"], local_hostname="client.example", timeout=PATIENCE) as client:
        client.starttls(context=trusting())
        client.login("app", "secret")
        client.send_message(message)
    eventually_sync(lambda: sink.taken, PATIENCE, "the message arrives")
    (taken,) = sink.taken
    return taken


@pytest.mark.parametrize("message", [plain(), international(), attached()], ids=["plain", "rewritten", "large"])
def test_receivers_verify_what_is_sent(message: EmailMessage, signing: Process, sink: Sink, receiver: Receiver) -> None:
    """RSA and Ed25519, over text, rewritten headers and attachments."""
    taken = sent(signing, sink, message)

    assert taken.sender == "app@example.com"
    receiver.check(taken)


def test_what_was_changed_on_the_way_is_found_out(signing: Process, sink: Sink, receiver: Receiver) -> None:
    """The verifiers of these tests can say no."""
    content = sent(signing, sink, plain()).content.replace(b"Dear reader", b"Dear victim")
    (receiver.folder / "changed.eml").write_bytes(content)

    assert verdicts(content, RECORDS) == [False, False]
    assert opendkim(receiver.folder / "changed.eml", RECORDS) == {"rsa": "fail", "ed": "fail"}
    judged = receiver.rspamd.judge(content, "app@example.com", "you@there.example")
    assert judged.verified == set()
    assert "R_DKIM_REJECT" in judged.complaints


def test_a_bounce_is_signed(signing: Process, sink: Sink, receiver: Receiver) -> None:
    """By the domain above the gateway's own name, which its From is in."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching="you@there.example", times=1)
    taken = sent(signing, sink, plain())

    assert (taken.sender, taken.recipients) == ("", ("app@example.com",))
    assert f"MAILER-DAEMON@{HOSTNAME}".encode() in taken.content
    receiver.check(taken)
