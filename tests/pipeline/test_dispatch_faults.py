"""Dispatch when something breaks: a fault of ours, of the notice, of the spool; the mail stays, and the rest goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool.api import Entry, Settlement, SpoolUnavailableError
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.spool.memory import MemorySpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.dispatching import A, B, config, over, working
from tests.support.messages import new_message, octets
from tests.support.sink import Hang, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from pathlib import Path

    Logs = list[MutableMapping[str, Any]]


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What was logged; also keeps the format of the log out of these tests."""
    with capture_logs() as lines:
        yield lines


async def test_an_unforeseen_fault_is_a_deferral_with_its_cause_in_the_log(sink: Sink, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on, the message stays, and the peer of nobody is told anything."""
    faults = iter([RuntimeError("unforeseen")])

    def explode(*_: object) -> None:
        for fault in faults:
            raise fault

    monkeypatch.setattr("smtp_gateway.delivery.wire.check_body", explode)
    async with working(config(over(sink))) as world:
        await world.put(A)
        await world.deferred()
        world.later(30)
        await world.settled()

    (line,) = [log for log in logs if log["event"] == "delivery failed"]
    assert line["exc_info"]
    assert len(sink.taken) == 1


@pytest.mark.parametrize("module", ["fields", "returned"])
async def test_a_fault_in_the_notice_does_not_repeat_the_delivery(sink: Sink, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """When the original's headers cannot be returned, the notice goes without them, and the delivered recipient has one copy."""

    def no_headers(body: bytes) -> list[bytes]:
        if body != b".\r\n":
            raise ValueError
        return []

    monkeypatch.setattr(f"smtp_gateway.content.{module}.header_section", no_headers)
    sink.answer("RCPT", "550 5.1.1 No such user", matching=A)
    async with working(config(over(sink))) as world:
        await world.put(A, B)
        await world.settled()

    assert [taken.recipients for taken in sink.taken] == [(B,), ("me@here.example",)]


async def test_a_damaged_message_is_reported_and_the_rest_goes_on(sink: Sink, logs: Logs, tmp_path: Path) -> None:
    """Nothing of it is sent; the log says what happened, and other mail is delivered."""
    spool = await DiskSpool.open(tmp_path, NullObserver())
    large = replace(new_message((A,)), body=b"x" * 400_000 + b"\r\n.\r\n")
    await spool.put(large)
    (tmp_path / "bodies" / large.id).write_bytes(b"y" * 400_005)
    async with working(config(over(sink)), spool) as world:
        await world.put(B)
        await world.settled()
    await spool.close()

    assert [taken.recipients for taken in sink.taken] == [(B,)]
    assert [log["message_id"] for log in logs if log["event"] == "damaged"] == [large.id]


async def test_mail_outlives_the_process_that_accepted_it(sink: Sink, tmp_path: Path) -> None:
    """Put by one spool, delivered by the next one on the same folder, octet for octet, and then gone."""
    spool = await DiskSpool.open(tmp_path, NullObserver())
    messages = [replace(new_message((A,)), body=b"x" * size + b"\r\n.\r\n") for size in (10, 400_000)]
    for message in messages:
        await spool.put(message)
    await spool.close()

    spool = await DiskSpool.open(tmp_path, NullObserver())
    async with working(config(over(sink)), spool) as world:
        await world.settled()
    await spool.close()
    assert sorted(taken.body for taken in sink.taken) == sorted(octets(message) for message in messages)
    assert list((tmp_path / "bodies").iterdir()) == []


class UnreadableSpool(MemorySpool):
    """A spool that cannot be read once."""

    faults = 1

    def lease(self, now: float, limit: int) -> list[Entry]:
        """Fail the first time."""
        if self.faults:
            self.faults -= 1
            raise OSError
        return super().lease(now, limit)


async def test_a_queue_that_cannot_be_read_does_not_end_the_loop(sink: Sink, logs: Logs) -> None:
    """The cause is in the log, and the next look delivers."""
    async with working(config(over(sink)), UnreadableSpool()) as world:
        await eventually(lambda: any(log["event"] == "queue unreadable" for log in logs))
        await world.put(A)
        await world.settled()

    assert len(sink.taken) == 1


class FullSpool(MemorySpool):
    """A spool that cannot write settlements for a while."""

    refusals = 3

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """Refuse the first times."""
        if not self.refusals:
            return super().settle(settlement)
        self.refusals -= 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_exception(SpoolUnavailableError("the spool's volume is full"))
        return done


async def test_a_result_that_cannot_be_written_is_kept(sink: Sink, logs: Logs) -> None:
    """A delivery that was not written down is not made twice: its lease goes on until the spool can write."""
    async with working(config(over(sink)), FullSpool()) as world:
        await world.put(A)
        await world.settled()

    assert len(sink.taken) == 1
    assert [log["event"] for log in logs].count("result not written") == 3


class BrokenSpool(FullSpool):
    """A spool that cannot write any more."""

    refusals = -1


async def test_stop_ends_although_nothing_can_be_written(sink: Sink) -> None:
    """What was delivered of an interrupted message is offered to the spool for a moment, and not for ever."""
    async with Sink() as other:
        other.answer("body", Hang())
        async with working(config(over(other, "other", ("y.example",)), over(sink)), BrokenSpool()) as world:
            message_id = MessageId(await world.put(A, "b@y.example"))
            await eventually(lambda: "DATA" in other.commands and world.counts.attempts == 1)
            await world.dispatch.stop(0)

            assert not world.dispatch.delivering(message_id)
