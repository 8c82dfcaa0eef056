from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import ClientAddress, Headers
from smtp_gateway.content.submission import HEADERS_TOO_LONG
from smtp_gateway.intake import ROOM, TOO_MANY_HOPS, Incoming, Intake, Room, Sources
from smtp_gateway.mail import reply
from smtp_gateway.mail.envelope import Envelope, Peer
from smtp_gateway.mail.identifier import message_id
from smtp_gateway.spool.api import FULL, SpoolFullError, SpoolUnavailableError
from smtp_gateway.spool.memory import MemoryDraft
from tests.support.gateway import RecordingOnward, RecordingSpool, config
from tests.support.messages import octets
from tests.support.observing import RecordingObserver

if TYPE_CHECKING:
    from smtp_gateway.spool.api import Draft, Entry, NewMessage

NOW = 1_800_000_000.0
ENTROPY = bytes(9)
PEER = Peer("192.0.2.1", "submission", hello="client.example", tls_version="TLSv1.3", login="app", identity="app-logins")
ENVELOPE = Envelope("a@example.com", ("b@example.net", "c@example.net"))
BODY = b"Subject: x\r\nDate: y\r\nMessage-ID: <z>\r\n\r\n..hello\r\n.\r\n"
ID = message_id(NOW, ENTROPY)
ANONYMOUS = config().model_copy(update={"headers": Headers(client_address=ClientAddress.OMIT)})


class Desk:
    """An intake and what is around it."""

    def __init__(self) -> None:
        """Begin with an empty, healthy spool."""
        self.spool = RecordingSpool()
        self.observer = RecordingObserver()
        self.onward = RecordingOnward()
        self.intake = Intake(self.spool, config(), self.observer, self.onward, Sources(lambda: NOW, bytes))

    async def accept(self, envelope: Envelope = ENVELOPE, body: bytes = BODY) -> reply.Reply:
        """Hand one message in, and return the answer."""
        return await accepted(self.intake, envelope, body)


async def accepted(intake: Intake, envelope: Envelope = ENVELOPE, body: bytes = BODY) -> reply.Reply:
    """Hand one message to *intake*, and return the answer."""
    incoming = intake.begin(PEER, envelope, body)
    if isinstance(incoming, reply.Reply):
        return incoming
    answer: asyncio.Future[reply.Reply] = asyncio.get_running_loop().create_future()
    intake.accept(incoming, body, answer.set_result)
    return await answer


@pytest.fixture
def desk() -> Desk:
    """A desk of its own for each test."""
    return Desk()


async def test_a_message_is_put_and_answered_with_its_name(desk: Desk) -> None:
    """The reply, the spool and the observer agree about it, and dispatch is woken."""
    assert await desk.accept() == reply.queued(ID)

    (message,) = desk.spool.messages
    assert (message.id, message.envelope, message.accepted_at, message.identity) == (ID, ENVELOPE, NOW, "app-logins")
    assert octets(message).startswith(b"Received: from client.example ([192.0.2.1])\r\n\tby mail.example.com with ESMTPSA id ")
    assert octets(message).endswith(b"\r\n" + BODY)
    assert desk.observer.events == [("accepted", "app-logins", 2, message.size)]
    assert [(entry.id, body) for entry, body in desk.onward.taken] == [(ID, message.body)]
    assert (desk.spool.leased, desk.onward.woken) == ([ID], 0)


async def test_a_message_that_is_not_welcome_yet_waits_in_the_queue(desk: Desk) -> None:
    """It is put without a lease, and dispatch is told to look."""
    desk.onward.welcome = False
    await desk.accept()

    assert (desk.spool.leased, desk.onward.taken, desk.onward.woken) == ([], [], 1)


async def test_acceptance_is_one_log_line_without_the_login(desk: Desk) -> None:
    """It names the message, its sender, its size, the Secret behind the login and the client."""
    with capture_logs() as logs:
        await desk.accept()

    (line,) = logs
    assert line == {
        "log_level": "info",
        "event": "accepted",
        "message_id": ID,
        "sender": "a@example.com",
        "recipients": 2,
        "octets": desk.spool.messages[0].size,
        "identity": "app-logins",
        "peer": "192.0.2.1",
        "listener": "submission",
    }


async def test_a_recipient_given_twice_is_one(desk: Desk) -> None:
    """Domains are compared without case, local parts with it."""
    envelope = Envelope("", ("b@example.net", "B@example.net", "b@EXAMPLE.net", "c@example.net", "b@example.net"))
    await desk.accept(envelope)

    assert desk.spool.messages[0].envelope.recipients == ("b@example.net", "B@example.net", "c@example.net")


@pytest.mark.parametrize(
    ("fault", "answer", "whole_cause"),
    [
        (SpoolFullError("no space"), reply.SPOOL_FULL, False),
        (SpoolUnavailableError("the disk is gone"), reply.TRY_AGAIN_LATER, False),
        (RuntimeError("a mistake of ours"), reply.TRY_AGAIN_LATER, True),
    ],
)
async def test_a_spool_that_cannot_take_it_leaves_it_with_the_client(
    desk: Desk,
    fault: Exception,
    answer: reply.Reply,
    whole_cause: bool,  # noqa: FBT001 a table's column
) -> None:
    """The answer is temporary and says nothing of the inside; the cause is in the log."""
    desk.spool.fault = fault
    with capture_logs() as logs:
        assert await desk.accept() == answer

    assert desk.observer.events == [("postponed", "submission", answer.code)]
    assert (desk.onward.taken, desk.onward.woken) == ([], 0)
    assert logs[0]["event"] == "postponed"
    assert logs[0]["reason"] == str(fault)
    assert (logs[0]["exc_info"] is not None) is whole_cause


BARE = b"Subject: x\r\nBcc: secret@example.net\r\n\r\nhello\r\n.\r\n"


async def test_what_a_client_with_a_login_sends_is_completed(desk: Desk) -> None:
    """Date and Message-ID stand behind the trace, with its time and name; the blind copy is gone, and the recipients stay."""
    await desk.accept(body=BARE)

    (message,) = desk.spool.messages
    added = f"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nMessage-ID: <{ID}@mail.example.com>\r\n".encode()
    assert octets(message).split(b"\r\n", 3)[3] == added + b"Subject: x\r\n\r\nhello\r\n.\r\n"
    assert (message.envelope.recipients, message.size) == (ENVELOPE.recipients, len(octets(message)))


async def test_what_is_relayed_is_not(desk: Desk) -> None:
    """A client without a login is a relay: its message gets its trace and nothing else, whole even where addresses are private."""
    desk.intake.reconfigure(ANONYMOUS)
    incoming = desk.intake.begin(replace(PEER, login=None), ENVELOPE, BARE)
    assert isinstance(incoming, Incoming)
    answer: asyncio.Future[reply.Reply] = asyncio.get_running_loop().create_future()
    desk.intake.accept(incoming, BARE, answer.set_result)

    assert (await answer).positive
    trace = octets(desk.spool.messages[0]).removesuffix(BARE)
    assert trace.startswith(b"Received: from client.example ([192.0.2.1])\r\n")
    assert trace.count(b"\r\n") == 3


async def test_an_endless_header_section_is_refused(desk: Desk) -> None:
    """Nothing of it is put."""
    assert await desk.accept(body=b"X: y\r\n" * 50_000 + b"\r\n.\r\n") == HEADERS_TOO_LONG
    assert desk.spool.messages == []


async def test_clients_are_anonymous_when_the_configuration_says_so(desk: Desk) -> None:
    """Neither address nor name of the client is in the message, while the log has the address."""
    desk.intake.reconfigure(ANONYMOUS)
    with capture_logs() as logs:
        await desk.accept()

    kept = octets(desk.spool.messages[0])
    assert kept.startswith(b"Received: from unknown\r\n\tby mail.example.com with ESMTPSA id ")
    assert b"192.0.2.1" not in kept
    assert b"client.example" not in kept
    assert logs[0]["peer"] == "192.0.2.1"


async def test_a_message_that_goes_in_circles_is_refused(desk: Desk) -> None:
    """More than a hundred trace headers are a loop (RFC 5321 section 6.3); a hundred are not."""
    assert await desk.accept(body=b"Received: x\r\n" * 100 + b"\r\n.\r\n") == reply.queued(ID)
    assert await desk.accept(body=b"Received: x\r\n" * 101 + b"\r\n.\r\n") == TOO_MANY_HOPS


class Refusing(RecordingSpool):
    """A spool that raises where it should give a future."""

    def put(self, message: NewMessage, *, leased: bool = False) -> asyncio.Future[Entry]:
        """Raise."""
        assert message.id
        assert leased
        raise ValueError("no such identifier")  # noqa: EM101, TRY003 a test's own words


async def test_whatever_the_spool_raises_is_answered() -> None:
    """The client keeps its message and the log has the cause."""
    desk = Desk()
    with capture_logs() as logs:
        assert await accepted(Intake(Refusing(), config(), desk.observer, desk.onward)) == reply.TRY_AGAIN_LATER

    assert "no such identifier" in repr(logs[0]["exc_info"])


async def test_a_put_that_is_cancelled_is_answered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that closes may leave futures so."""
    put: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
    put.cancel()
    monkeypatch.setattr(desk.spool, "put", lambda _message, *, leased: put)  # noqa: ARG005 the signature of `put`

    assert await desk.accept() == reply.TRY_AGAIN_LATER


async def drafted(desk: Desk) -> tuple[reply.Reply, Draft]:
    """Hand in a message whose body was drafted."""
    incoming = desk.intake.begin(PEER, ENVELOPE, BODY)
    assert isinstance(incoming, Incoming)
    draft = desk.intake.draft(incoming, BODY)
    answer: asyncio.Future[reply.Reply] = asyncio.get_running_loop().create_future()
    desk.intake.accept(incoming, draft, answer.set_result)
    return await answer, draft


async def test_a_large_body_is_drafted_behind_its_trace_and_waits_in_the_queue(desk: Desk) -> None:
    """It has the same name in the header, the spool and the answer; delivery reads it from the disk like any other."""
    answer, _ = await drafted(desk)

    (message,) = desk.spool.messages
    assert answer == reply.queued(ID)
    assert message.id == ID
    assert octets(message).startswith(b"Received: from client.example")
    assert octets(message).endswith(b"\r\n" + BODY)
    assert desk.observer.events == [("accepted", "app-logins", 2, message.size)]
    assert (desk.spool.leased, desk.onward.taken, desk.onward.woken) == ([], [], 1)


async def test_a_draft_that_cannot_be_put_is_discarded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it stays on the disk, and the client keeps its message."""
    discarded: list[MemoryDraft] = []

    def discard(draft: MemoryDraft) -> None:
        discarded.append(draft)

    monkeypatch.setattr(MemoryDraft, "discard", discard)
    desk.spool.fault = SpoolFullError("no space")
    answer, draft = await drafted(desk)

    assert answer == reply.SPOOL_FULL
    assert discarded == [draft]


def test_new_mail_is_declined_while_the_spool_is_ill(desk: Desk) -> None:
    """MAIL is answered 451 before anything is uploaded, and 452 when room is all that is missing."""
    assert desk.intake.unwilling() is None
    desk.spool.ill = "the volume is read-only"
    assert desk.intake.unwilling() == reply.TRY_AGAIN_LATER
    desk.spool.ill = FULL
    assert desk.intake.unwilling() == reply.SPOOL_FULL


async def test_a_new_configuration_counts_from_the_next_message(desk: Desk) -> None:
    """The trace header names the new host name, and room follows the largest message."""
    changed = config().model_copy(
        update={"hostname": "new.example.com", "limits": config().limits.model_copy(update={"message_size": ROOM})}
    )
    desk.intake.reconfigure(changed)
    await desk.accept()

    assert b"by new.example.com with" in octets(desk.spool.messages[0])
    assert desk.intake.room.octets == 4 * ROOM


def test_room_is_bounded() -> None:
    """What does not fit is not held."""
    room = Room(10)

    assert room.take(10)
    assert not room.take(1)
    room.give(4)
    assert room.take(4)
    assert room.held == 10
