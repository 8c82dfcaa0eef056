"""What one connection may hold, and what is left of it: bodies of every size, clients that vanish, that flood, that never read."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import Limits
from smtp_gateway.listener.connection import PENDING
from smtp_gateway.listener.data import MEMORY
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool.bodies import LARGE
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.conversation import Conversation, deaf, plain
from tests.support.gateway import Reception, as_sent, config, reception, trusting
from tests.support.messages import whole
from tests.support.waiting import eventually
from tests.support.wire import Caller, Counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from smtp_gateway.spool.api import Entry, NewMessage

TLS = trusting()
ENVELOPE = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
SIZES = [0, 1, 2, 3, 1000, 65_536, LARGE - 400, LARGE + 65_536, 3 * LARGE, 1_500_000]
BORDER = range(LARGE - 8, LARGE + 4)
"""With the end of the line and of the data, these are bodies around the threshold."""
EDGE = 2000
"""Octets at either end of a large body, where its commands and its ends are and where it passes the threshold."""


def chance_of(seed: int) -> random.Random:
    """Return reproducible chance."""
    return random.Random(seed)  # noqa: S311 not a secret


def body_of(octets: int, chance: random.Random) -> bytes:
    """Return a body in wire form whose content has so many *octets*: 8-bit, NUL, long lines, and lines of dots."""
    content = bytearray()
    while len(content) < octets:
        line = chance.randbytes(chance.choice([0, 1, 60, 78, 2000])).replace(b"\r", b".").replace(b"\n", b"\x00")
        content += b"." * chance.choice([0, 0, 1, 3]) + line + b"\r\n"
    content = content[: max(0, octets - 2)].rstrip(b"\r\n")
    content += b"x" * (octets - 2 - len(content)) + b"\r\n" if octets >= 2 else b""
    return (b"\r\n" + bytes(content)).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


def cut(octets: bytes, most: int, chance: random.Random) -> Iterator[bytes]:
    """Cut *octets* into pieces of 1 to *most*."""
    at = 0
    while at < len(octets):
        size = chance.randint(1, most)
        yield octets[at : at + size]
        at += size


def cut_finely(octets: bytes, chance: random.Random) -> Iterator[bytes]:
    """Cut *octets* into pieces of 1 to 5, but what is in the middle of many into a few: there it is like the `EDGE` beside it."""
    if len(octets) > LARGE // 2:
        yield from cut(octets[:EDGE], 5, chance)
        yield from cut(octets[EDGE:-EDGE], 200_000, chance)
        yield from cut(octets[-EDGE:], 5, chance)
    else:
        yield from cut(octets, 5, chance)


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[DiskSpool]:
    """A spool on the disk."""
    spool = await DiskSpool.open(tmp_path / "spool", NullObserver())
    yield spool
    await spool.close()


async def test_bodies_of_every_size_are_on_the_disk_octet_for_octet(disk: DiskSpool) -> None:
    """Behind the trace header, wherever the network cut them; what is pipelined behind them is answered."""
    chance = chance_of(5322)
    counter = Counter(config(), disk)
    counter.onward.welcome = False
    client = await Caller.authenticated(counter)
    sent = []
    for body in (*(body_of(size, chance) for size in SIZES), *(b"x" * size + b"\r\n.\r\n" for size in BORDER)):
        sent.append(body)
        await client.send(cut_finely(ENVELOPE + body + b"NOOP\r\n", chance))
        await eventually(lambda: client.wire.said.count(b"queued as") == len(sent) and client.wire.said.endswith(b"250 2.0.0 Ok\r\n"), 30)

    entries = {entry.id: entry for entry in disk.lease(2.0**40, 1000)}
    names = [MessageId(line.split()[-1].decode()) for line in bytes(client.wire.said).split(b"\r\n") if b"queued as" in line]
    assert sorted(names) == sorted(entries)
    for name, body in zip(names, sent, strict=True):
        stored = await whole(await disk.body(entries[name].id))
        assert stored.startswith(b"Received: from client.example ([192.0.2.1])\r\n")
        # A text that begins with an empty line cannot be told from one that got it.
        assert as_sent(stored) in {body, body.removeprefix(b"\r\n")}
        assert entries[name].size == len(stored)


async def test_a_large_message_loses_its_blind_copies_on_its_way_to_the_disk(disk: DiskSpool) -> None:
    """Its fields are looked at before the first octet is written, wherever the network cut them; behind them nothing changes."""
    chance = chance_of(6409)
    counter = Counter(config(), disk)
    client = await Caller.authenticated(counter)
    text = b"\r\nBcc: text\r\n" + b"..y\r\n" * 100_000 + b".\r\n"
    await client.send(cut_finely(ENVELOPE + b"Subject: x\r\nBcc: a@example.com,\r\n b@example.com\r\nTo: c@example.com\r\n" + text, chance))
    await eventually(lambda: b"queued as" in client.wire.said, 30)

    (entry,) = disk.lease(2.0**40, 10)
    stored = await whole(await disk.body(entry.id))
    assert as_sent(stored) == b"Subject: x\r\nTo: c@example.com\r\n" + text
    assert entry.size == len(stored)


async def test_a_large_message_with_an_endless_header_section_is_refused(disk: DiskSpool) -> None:
    """It is swallowed to its end, and leaves nothing; the next one is taken."""
    counter = Counter(config(), disk)
    client = await Caller.authenticated(counter)
    await client.send(cut_finely(ENVELOPE + b"X: y\r\n" * 100_000 + b"\r\n.\r\n" + ENVELOPE + b"\r\n.\r\n", chance_of(5322)))
    await client.hears(b"queued as")

    assert bytes(client.wire.said).count(b"552 5.3.4 Header section exceeds 256 KiB\r\n") == 1
    assert disk.depth().messages == 1
    assert counter.intake.room.held == 0


FALSE_ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\x00.\r\n"]


@pytest.mark.parametrize("false_end", FALSE_ENDS)
@pytest.mark.parametrize("before", [3, LARGE + 1000])
async def test_nothing_but_the_end_of_data_ends_a_body(disk: DiskSpool, tmp_path: Path, false_end: bytes, before: int) -> None:
    """Held or already on its way to the disk: bare CR and LF are refused and leave no file; a NUL is content."""
    smuggled = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nboo"
    body = (b"x" * 70 + b"\r\n") * (before // 72) + b"a" + false_end + smuggled + b"\r\n.\r\n"
    for pieces in (iter([ENVELOPE + body]), cut(ENVELOPE + body, 7 if before < LARGE else 100_000, chance_of(1))):
        client = await Caller.authenticated(Counter(config(), disk))
        await client.send(pieces)
        await client.send([b"QUIT\r\n"])
        said = (await client.dismissed()).split(b"354 ")
        assert len(said) == 2
        assert (b"\r\n250 2.0.0 Ok: queued" in said[1]) is (b"\x00" in false_end)
        assert (b"\r\n550 5.6.11 " in said[1]) is (b"\x00" not in false_end)
    if b"\x00" not in false_end:
        await eventually(lambda: not list((tmp_path / "spool" / "bodies").iterdir()))
        assert disk.depth().messages == 0


async def test_a_message_that_goes_in_circles_is_refused_however_large(disk: DiskSpool) -> None:
    """As soon as its header is known."""
    client = await Caller.authenticated(Counter(config(), disk))
    await client.send(cut(ENVELOPE + b"Received: x\r\n" * 101 + b"\r\n" + b"x" * 2 * LARGE + b"\r\n.\r\nQUIT\r\n", 100_000, chance_of(1)))

    assert b"\r\n554 5.4.6 " in await client.dismissed()
    assert disk.depth().messages == 0


async def test_a_hundred_messages_in_one_write() -> None:
    """Each is answered, in order, and put once."""
    counter = Counter()
    client = await Caller.authenticated(counter)
    before = client.wire.writes
    await client.send([b"".join(ENVELOPE + f"{n}\r\n.\r\n".encode() for n in range(100)) + b"QUIT\r\n"])
    said = await client.dismissed()

    assert counter.recorded.bodies == [f"{n}\r\n.\r\n".encode() for n in range(100)]
    answers = [line[:3] for line in said.split(b"\r\n")]
    assert answers[-402:-1] == [b"250", b"250", b"354", b"250"] * 100 + [b"221"]
    assert client.wire.writes - before == 101, "the answers between two commits are one write"


class Held:
    """A spool's futures, done when the test says so."""

    def __init__(self, counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of *counter*'s spool."""
        self.put: list[asyncio.Future[Entry]] = []
        self.messages: list[NewMessage] = []
        monkeypatch.setattr(counter.recorded, "put", self._put)

    def _put(self, message: NewMessage, *, leased: bool) -> asyncio.Future[Entry]:
        assert leased
        self.messages.append(message)
        self.put.append(asyncio.get_running_loop().create_future())
        return self.put[-1]

    def finish(self) -> None:
        """Say that all is durable."""
        for put, message in zip(self.put, self.messages, strict=True):
            put.set_result(message.as_entry())


async def test_what_comes_before_the_answer_waits_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that pipelines behind its body is read from again when that is durable."""
    counter = Counter()
    held = Held(counter, monkeypatch)
    client = await Caller.authenticated(counter)
    client.session.data_received(ENVELOPE + b"x\r\n.\r\n")
    sent = 0
    while client.wire.reading:
        client.session.data_received(b"NOOP\r\n" * 1000)
        sent += 1000
    assert PENDING < sent * 6 <= PENDING + 6000
    said = len(client.wire.said)

    held.finish()
    await client.hears(b"queued as")
    assert client.wire.reading
    assert client.wire.said[said:].count(b"250 2.0.0 Ok\r\n") == sent


async def test_a_client_that_vanishes_before_the_answer_leaves_no_half_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """What became durable is counted and delivered although nobody waits for the answer, and its memory is free again."""
    counter = Counter()
    held = Held(counter, monkeypatch)
    client = await Caller.authenticated(counter)
    client.session.data_received(ENVELOPE + b"x\r\n.\r\n")
    client.vanish()
    assert counter.intake.room.held > 0

    held.finish()
    await eventually(lambda: counter.onward.taken)
    assert counter.intake.room.held == 0
    assert counter.observer.open == 0
    assert b"queued" not in client.wire.said


@pytest.mark.parametrize(
    "said",
    [
        b"MAIL FROM:<a@example.com>\r\n",
        b"MAIL FROM:<a@example.com>\r\nRCPT",
        ENVELOPE,
        ENVELOPE + b"x" * 1000,
        ENVELOPE + b"x" * 2 * LARGE,
        ENVELOPE + b"x\ny" + b"x" * 2 * LARGE,
        b"VRFY a\r\n",
    ],
)
async def test_a_client_that_vanishes_leaves_nothing(disk: DiskSpool, tmp_path: Path, said: bytes) -> None:
    """In a transaction, in a body that is held or drafted or swallowed, in a command of the slow way."""
    counter = Counter(config(), disk)
    client = await Caller.authenticated(counter)
    await client.send(cut(said, 100_000, chance_of(1)))
    client.vanish()

    await eventually(lambda: not list((tmp_path / "spool" / "bodies").iterdir()))
    assert (counter.intake.room.held, counter.observer.open, disk.depth().messages) == (0, 0, 0)


async def test_a_client_that_vanishes_in_an_exchange_ends_it() -> None:
    """Nobody waits for the second line of AUTH for ever."""
    counter = Counter()
    client = Caller(counter)
    client.session.data_received(b"EHLO client.example\r\nAUTH LOGIN\r\n")
    await client.hears(b"334 ")
    before = asyncio.all_tasks()
    client.vanish()

    await eventually(lambda: all(task.done() for task in before - {asyncio.current_task()}))
    assert counter.observer.open == 0


async def test_a_disk_that_is_behind_holds_its_client_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of a body waits to be written than is allowed, and the client goes on when it is."""
    counter = Counter()
    written: list[Callable[[], None]] = []

    class Slow:
        """A draft whose disk does nothing until the test says so."""

        size = 0
        backlog = 0

        def write(self, octets: bytes) -> None:
            self.size += len(octets)
            self.backlog += len(octets)

        def when_written(self, resume: Callable[[], None]) -> None:
            written.append(resume)

        def discard(self) -> None:
            self.backlog = 0

    draft = Slow()
    monkeypatch.setattr(counter.recorded, "draft", lambda _name: draft)
    client = await Caller.authenticated(counter)
    client.session.data_received(ENVELOPE)
    for _ in range(2):
        while client.wire.reading:
            client.session.data_received(b"x" * 65_536)
        assert LARGE < draft.backlog <= LARGE + 2 * 65_536
        draft.backlog = 0
        written.pop()()
        assert client.wire.reading
    client.vanish()
    assert counter.intake.room.held == 0


@pytest.mark.parametrize("line", [b"NOOP\r\n", b"EHLO a\r\n", b"HELP\r\n", b"x\n"])
async def test_a_client_that_never_reads_is_not_read_from(tmp_path: Path, line: bytes) -> None:
    """The replies that it does not take are bounded, and it is cut when its time is over."""
    async with reception(tmp_path, patience=0.5) as way_in:
        _, writer = await deaf(way_in.port)
        writer.write(line * 1_000_000)
        await eventually(lambda: way_in.observer.open == 1)
        (session,) = way_in.listeners.sessions._open  # noqa: SLF001 it is the memory of this one that is asked about
        held = 0
        while way_in.observer.open:
            transport = session.transport  # type: ignore[attr-defined]  # sessions are known by less
            held = max(held, transport.get_write_buffer_size() + len(session._inbox.octets))  # type: ignore[attr-defined]  # noqa: SLF001 as above
            await eventually(lambda: True)
            await asyncio.sleep(0)
        writer.transport.abort()

    assert held < MEMORY


@pytest.fixture
async def way_in(tmp_path: Path) -> AsyncIterator[Reception]:
    """The way in, for messages of any size."""
    async with reception(tmp_path, config(limits=Limits(message_size=10_000_000))) as opened:
        yield opened


async def test_many_large_messages_hold_little(way_in: Reception) -> None:
    """Forty clients in the middle of a body each hold no more than the threshold of it, by intake's account."""
    clients = []
    for _ in range(40):
        _, writer = await asyncio.open_connection("127.0.0.1", way_in.listeners.ports["submissions"], ssl=TLS, server_hostname="localhost")
        writer.write(f"EHLO a\r\nAUTH PLAIN {plain('app', 'secret')}\r\n".encode() + ENVELOPE + b"x" * 1_000_000)
        clients.append(writer)
    await eventually(lambda: way_in.intake.room.held > 30 * LARGE)
    assert way_in.intake.room.held <= 40 * (LARGE + 262_144)
    for writer in clients:
        writer.transport.abort()
    await eventually(lambda: way_in.intake.room.held == 0)


async def test_a_slow_command_between_usual_ones_keeps_the_order(way_in: Reception) -> None:
    """What is answered by a task is answered before what comes behind it."""
    async with Conversation.with_server(way_in.port) as client:
        await client.write(b"NOOP\r\nVRFY a\r\nNOOP\r\nHELP\r\nRSET\r\nVRFY b\r\nQUIT\r\nNOOP\r\n")
        for pattern in ("220 *", "250 *", "252 *", "250 *", "214 *", "250 *", "252 *", "221 *"):
            await client.expect(pattern)
        await client.hung_up()
