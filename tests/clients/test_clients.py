"""What real clients send arrives as they sent it, and what the gateway refuses they can tell."""

from __future__ import annotations

import email
import email.policy
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients.jobs import LETTERS, PLAIN, Job
from tests.clients.matrix import CLIENTS, REFUSALS
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from tests.clients.jobs import Letter, Outcome
    from tests.clients.matrix import Client, Refusal
    from tests.support.gateway import Process
    from tests.support.sink import Sink, Taken

CASES = [(client, letter) for client in CLIENTS for letter in LETTERS if client.utf8 or not letter.international]

TRACE = rb"Received: [^\r]*\r\n(?:[ \t][^\r]*\r\n)*"
"""A trace header: the gateway's, and before it one of the client's own where that is a relay."""


def arrived(sink: Sink, letter: Letter) -> Taken:
    """Return the one message that arrives: for all its recipients at once."""
    eventually_sync(lambda: sink.taken, 60, "the message arrives")
    (taken,) = sink.taken
    assert [ascii_domain(one) for one in (taken.sender, *taken.recipients)] == [
        ascii_domain(one) for one in (letter.sender, *letter.recipients)
    ]
    return taken


def ascii_domain(address: str) -> str:
    """Return *address* with its domain in ASCII, which some clients write so (RFC 5890)."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


def check(client: Client, job: Job, outcome: Outcome, sink: Sink) -> None:
    """Check that the message arrived as it was sent, but for trace headers and the end of its last line."""
    assert outcome.sent, outcome.said
    kept = arrived(sink, job.letter).content.rstrip(b"\r\n")
    # Programs that are handed lines of the local system send them with CRLF.
    given = job.built.read_bytes() if client.builds else job.letter.whole
    sent = re.sub(rb"\r?\n", b"\r\n", given).rstrip(b"\r\n")
    assert kept.endswith(sent), (kept[:1000], sent[:1000])
    assert re.fullmatch(TRACE * (2 if client.adds else 1), kept.removesuffix(sent)), kept.removesuffix(sent)
    if client.builds:
        _check_built(job.letter, kept)


def _check_built(letter: Letter, content: bytes) -> None:
    message = email.message_from_bytes(content, policy=email.policy.SMTPUTF8)
    assert message["Subject"] == letter.subject
    files = [part.get_content() for part in message.iter_attachments()] if letter.attached else []
    assert files == ([letter.attachment] if letter.attached else [])


@pytest.mark.parametrize(("client", "letter"), CASES, ids=[f"{client.name}: {letter.name}" for client, letter in CASES])
def test_what_is_sent_arrives(client: Client, letter: Letter, gateway: Process, sink: Sink, folder: Path, trusted: Path) -> None:  # noqa: PLR0913, PLR0917 a test's world
    """By STARTTLS and AUTH."""
    job = Job(letter, gateway.ports["submission"], folder, trusted)
    check(client, job, client.send(job), sink)


@pytest.mark.parametrize("client", [client for client in CLIENTS if client.implicit], ids=lambda client: client.name)
def test_implicit_tls_is_understood(client: Client, gateway: Process, sink: Sink, folder: Path, trusted: Path) -> None:
    """As on port 465."""
    job = Job(PLAIN, gateway.ports["submissions"], folder, trusted, implicit=True)
    check(client, job, client.send(job), sink)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_refusal_is_told(client: Client, refusal: Refusal, strict: Process, folder: Path, trusted: Path) -> None:
    """Its words have the documented codes, or what the table says instead."""
    job = Job(refusal.letter, strict.ports["submission"], folder, trusted, password=refusal.password)
    outcome = client.send(job)

    pattern, _ = client.own_words.get(refusal.name, (refusal.pattern, ""))
    assert re.search(pattern, outcome.said), outcome.said


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_the_table_has_the_version_that_runs(client: Client) -> None:
    """Other releases of Debian have other versions; what is pinned here is the same everywhere."""
    if client.origin != "Debian" or 'VERSION_ID="12"' in Path("/etc/os-release").read_text():
        assert client.version in client.found()
