"""BDAT (RFC 3030) on a session: chunks as they come, in order and out of it, and what is left of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import Limits
from smtp_gateway.delivery.wire import check_body
from smtp_gateway.listener import timeouts
from smtp_gateway.spool.bodies import LARGE
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.gateway import as_sent, config
from tests.support.messages import whole
from tests.support.waiting import eventually
from tests.support.wire import Caller, Counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ENVELOPE = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"
OK = ["250 2.1.0 Ok", "250 2.1.5 Ok"]
GOODBYE = "221 2.0.0 Bye"


def chunk(octets: bytes, *, last: bool = False) -> bytes:
    """Return the command and its octets."""
    return b"BDAT %d%s\r\n%b" % (len(octets), b" LAST" if last else b"", octets)


async def answers(counter: Counter, octets: bytes) -> list[str]:
    """Return the replies to *octets* behind a login; they end the session."""
    caller = await Caller.authenticated(counter)
    before = len(caller.wire.said)
    await caller.send([octets])
    return (await caller.dismissed())[before:].decode().split("\r\n")[:-1]


@pytest.fixture
def counter() -> Counter:
    """A way in with a limit of 10,000 octets."""
    return Counter(config(limits=Limits(message_size=10_000)))


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[DiskSpool]:
    """A spool on the disk."""
    spool = await DiskSpool.open(tmp_path / "spool", NullObserver())
    yield spool
    await spool.close()


async def test_several_chunks_are_one_message(counter: Counter) -> None:
    """Each is answered, all of them in one write, and the body is in wire form with one end of data."""
    said = await answers(counter, ENVELOPE + chunk(b"Subject: x\r\n\r") + chunk(b"\n.dot\r") + chunk(b"\n.", last=True) + b"QUIT\r\n")

    assert said == [*OK, "250 2.0.0 13 octets received", "250 2.0.0 6 octets received", "250 2.0.0 Ok: queued", GOODBYE]
    assert counter.recorded.bodies == [b"Subject: x\r\n\r\n..dot\r\n..\r\n.\r\n"]


async def test_a_message_in_chunks_smuggles_nothing_out(counter: Counter) -> None:
    """An end of data and commands within a chunk are content: what the next hop is given ends where the message does."""
    evil = b"a\r\n.\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nboo\r\n.\r\n"
    said = await answers(counter, ENVELOPE + chunk(evil, last=True) + b"QUIT\r\n")

    assert said == [*OK, "250 2.0.0 Ok: queued", GOODBYE]
    (body,) = counter.recorded.bodies
    check_body(body)
    assert body.count(b"\r\n..\r\n") == 2


@pytest.mark.parametrize("octets", [b"a\nb", b"a\r\n.\n", b"a\r.\r\n", b"a\r", b"\n"])
async def test_a_bare_line_end_in_a_chunk_fails_the_message(counter: Counter, octets: bytes) -> None:
    """As in DATA; the chunks that are pipelined behind it are swallowed and refused, and the next message is welcome."""
    pipelined = ENVELOPE + chunk(octets, last=octets.endswith(b"\r")) + chunk(b"QUIT\r\n", last=True)
    said = await answers(counter, pipelined + ENVELOPE + chunk(b"x", last=True) + b"QUIT\r\n")

    assert said[2].startswith("550 5.6.11 ")
    assert said[3:] == ["503 5.5.1 Need RCPT first", *OK, "250 2.0.0 Ok: queued", GOODBYE]
    assert counter.recorded.bodies == [b"x\r\n.\r\n"]
    assert counter.intake.room.held == 0
    assert ("refused", "submission", "BDAT", 550, "5.6.11") in counter.observer.events


@pytest.mark.parametrize("before", [b"", b"MAIL FROM:<a@example.com>\r\n", b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@>\r\n"])
async def test_a_chunk_without_recipients_is_swallowed_and_refused(counter: Counter, before: bytes) -> None:
    """Not an octet of it is a command, and the transaction is as it was."""
    said = await answers(counter, before + chunk(b"QUIT\r\n" * 5, last=True) + b"RCPT TO:<b@example.net>\r\nQUIT\r\n")

    assert said[-3] == "503 5.5.1 Need RCPT first"
    assert said[-2].startswith("250 2.1.5 " if before else "503 5.5.1 ")


@pytest.mark.parametrize(("before", "refusal"), [(b"", "503 5.5.1 "), (b"EHLO a\r\n", "530 5.7.0 Authentication required")])
async def test_a_chunk_of_a_client_that_may_not_send_is_swallowed_and_refused(counter: Counter, before: bytes, refusal: str) -> None:
    """In the order of the refusals of other commands; nothing of it is kept."""
    caller = Caller(counter)
    await caller.send([before + chunk(b"EHLO b\r\n" * 1000, last=True) + b"QUIT\r\n"])
    said = (await caller.dismissed()).decode().split("\r\n")

    assert said[-3].startswith(refusal)
    assert said[-2] == GOODBYE
    assert counter.intake.room.held == 0


@pytest.mark.parametrize(
    "command", [b"DATA\r\n", b"data \r\n", b"RCPT TO:<c@example.net>\r\n", b"RCPT TO:<c@example.net> NOTIFY=NEVER\r\n"]
)
async def test_chunks_and_other_ways_to_go_on_do_not_mix(counter: Counter, command: bytes) -> None:
    """RFC 3030 section 2: 503, by both ways to answer a command; BDAT may still follow."""
    said = await answers(counter, ENVELOPE + chunk(b"x") + command + chunk(b"y", last=True) + b"QUIT\r\n")

    assert said[3] == "503 5.5.1 The message comes by BDAT: only BDAT or RSET may follow"
    assert said[4:] == ["250 2.0.0 Ok: queued", GOODBYE]
    assert counter.recorded.messages[0].envelope.recipients == ("b@example.net",)


@pytest.mark.parametrize("command", [b"RSET\r\n", b"rset \r\n", b"EHLO again.example\r\n", b"HELO again.example\r\n"])
async def test_what_ends_a_transaction_ends_its_chunks(counter: Counter, command: bytes) -> None:
    """Their memory is free again, and nothing of them is in the next message."""
    said = await answers(counter, ENVELOPE + chunk(b"secret") + command + ENVELOPE + chunk(b"x", last=True) + b"QUIT\r\n")

    assert said[-2:] == ["250 2.0.0 Ok: queued", GOODBYE]
    assert counter.recorded.bodies == [b"x\r\n.\r\n"]
    assert counter.intake.room.held == 0


async def test_chunks_beyond_the_limit_fail_the_message(counter: Counter) -> None:
    """By what they come to together (RFC 1870), at the chunk that is too much and not before."""
    said = await answers(counter, ENVELOPE + chunk(b"x" * 9000) + chunk(b"x" * 1001) + chunk(b"x", last=True) + b"QUIT\r\n")

    assert said[2:] == [
        "250 2.0.0 9000 octets received",
        "552 5.3.4 Message size exceeds fixed limit",
        "503 5.5.1 Need RCPT first",
        GOODBYE,
    ]
    assert counter.recorded.messages == []


async def test_a_huge_chunk_is_swallowed_in_bounded_memory(counter: Counter) -> None:
    """Whatever number is announced, no more is held than the limit, and what is swallowed does not keep the session alive."""
    caller = await Caller.authenticated(counter)
    await caller.send([ENVELOPE + b"BDAT 999999999999999999 LAST\r\n"])
    for _ in range(100):
        await caller.send([b"x" * 100_000])
        assert counter.intake.room.held <= 110_000
        await eventually(lambda: not caller.session._inbox.octets)  # noqa: SLF001 the memory is what is asked about
    caller.session.look(caller.session._heard + timeouts.USUAL.command + 1)  # noqa: SLF001 a time-out without waiting for it
    assert (await caller.dismissed()).endswith(b"421 4.4.2 Timed out waiting for the client\r\n")
    assert counter.intake.room.held == 0


@pytest.mark.parametrize(
    "argument", [b"", b" LAST", b" -1", b" x", b" 1 LAST LAST", b" 1 FIRST", b" 0x10", b" 1.5", b" " + b"9" * 19, b" \xb2"]
)
async def test_a_chunk_without_a_number_ends_the_session(counter: Counter, argument: bytes) -> None:
    """Nobody knows where the commands go on, so what follows is not taken for any."""
    said = await answers(counter, ENVELOPE + b"BDAT" + argument + b"\r\n" + ENVELOPE + chunk(b"x", last=True))

    assert said == [*OK, "501 5.5.4 Syntax: BDAT size [LAST]"]
    assert counter.recorded.messages == []


async def test_large_messages_go_to_the_disk_while_they_arrive(disk: DiskSpool) -> None:
    """However they are cut into chunks and chunks into reads."""
    counter = Counter(config(), disk)
    line = b"." + b"x" * 69 + b"\r\n"
    for size in (1000, 70_001, 3 * LARGE):
        content = line * 20_000
        caller = await Caller.authenticated(counter)
        octets = ENVELOPE + b"".join(chunk(content[at : at + size], last=at + size >= len(content)) for at in range(0, len(content), size))
        await caller.send(octets[at : at + 50_000] for at in range(0, len(octets), 50_000))
        await caller.hears(b"queued as")
        assert counter.intake.room.held == 0
        caller.vanish()

    entries = disk.lease(2.0**40, 10)
    assert len(entries) == 3
    for entry in entries:
        body = await whole(await disk.body(entry.id))
        assert as_sent(body) == (b"." + line) * 20_000 + b".\r\n"


@pytest.mark.parametrize("said", [chunk(b"x" * 10), b"BDAT 10\r\nx", chunk(b"x" * 2 * LARGE), b"BDAT 9000000\r\n" + b"x" * 2 * LARGE])
async def test_a_client_that_vanishes_between_or_within_chunks_leaves_nothing(disk: DiskSpool, tmp_path: Path, said: bytes) -> None:
    """No half message, no file, no held memory, no session."""
    counter = Counter(config(), disk)
    caller = await Caller.authenticated(counter)
    await caller.send([ENVELOPE + said])
    await eventually(lambda: counter.intake.room.held > 0)
    caller.vanish()

    await eventually(lambda: not list((tmp_path / "spool" / "bodies").iterdir()))
    assert (counter.intake.room.held, counter.observer.open, disk.depth().messages) == (0, 0, 0)


async def test_a_client_that_shuts_its_side_down_within_a_chunk_is_left(counter: Counter) -> None:
    """The rest of the chunk will never come."""
    caller = await Caller.authenticated(counter)
    await caller.send([ENVELOPE + b"BDAT 10\r\nx"])
    await eventually(lambda: counter.intake.room.held == 1)
    caller.session.eof_received()

    await caller.dismissed()
    assert counter.intake.room.held == 0


async def test_a_message_without_octets_is_a_message(counter: Counter) -> None:
    """BDAT 0 LAST, alone or behind other chunks."""
    said = await answers(counter, ENVELOPE + b"BDAT 0 LAST\r\n" + ENVELOPE + chunk(b"x\r\n") + b"BDAT 0 LAST\r\nQUIT\r\n")

    assert said.count("250 2.0.0 Ok: queued") == 2
    assert counter.recorded.bodies == [b".\r\n", b"x\r\n.\r\n"]


async def test_two_chunked_messages_and_one_in_data_in_one_write(counter: Counter) -> None:
    """Each is answered in its turn, and nothing of one is in another."""
    data = ENVELOPE + b"DATA\r\ntwo\r\n.\r\n"
    said = await answers(counter, ENVELOPE + chunk(b"one", last=True) + data + ENVELOPE + chunk(b"three", last=True) + b"QUIT\r\n")

    queued = "250 2.0.0 Ok: queued"
    assert said == [*OK, queued, *OK, "354 End data with <CR><LF>.<CR><LF>", queued, *OK, queued, GOODBYE]
    assert counter.recorded.bodies == [b"one\r\n.\r\n", b"two\r\n.\r\n", b"three\r\n.\r\n"]
