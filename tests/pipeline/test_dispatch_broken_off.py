"""Attempts that do not come to their end: what next hops have answered by then is written down, and nobody gets a message twice for it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from smtp_gateway import bouncing
from smtp_gateway.delivery import client
from smtp_gateway.faring import Faring
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.dispatching import A, B, config, over, working
from tests.support.messages import NOW, new_message
from tests.support.sink import Act, Hang, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from pathlib import Path

    Logs = list[MutableMapping[str, Any]]


@dataclass(frozen=True)
class Later(Act):
    """The usual answer to DATA, as soon as it is wanted."""

    wanted: asyncio.Event

    @property
    def said(self) -> str:
        """See `Act.said`."""
        return "354 Go ahead"

    async def perform(self, writer: asyncio.StreamWriter) -> None:
        """Wait, and answer."""
        await self.wanted.wait()
        writer.write(f"{self.said}\r\n".encode())


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What was logged; also keeps the format of the log out of these tests."""
    with capture_logs() as lines:
        yield lines


async def test_stop_keeps_what_earlier_transactions_of_a_batch_delivered(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message whose recipients are too many for one transaction is owed only to those whose transaction was interrupted."""
    monkeypatch.setattr(client, "RECIPIENTS", 2)
    recipients = [f"r{number}@x.example" for number in range(5)]
    sink.answer("RCPT", Hang(), matching=recipients[2])
    sink.answer("RCPT", "550 5.1.1 No such user", matching=recipients[1])
    async with working(config(over(sink))) as world:
        await world.put(*recipients)
        await eventually(lambda: sink.taken and any(recipients[2] in command for command in sink.commands), what="second transaction")
        await world.dispatch.stop(0)

        assert world.counts.seen == [("delivered", "default", 1), ("bounced", "default", 1)]
        message, notice = sorted(world.spool.lease(NOW, 2), key=lambda entry: len(entry.recipients), reverse=True)
        assert [recipient.address for recipient in message.recipients] == recipients[2:]
        assert [recipient.attempts for recipient in message.recipients] == [0, 0, 0]
        assert notice.sender == ""


async def test_a_fault_in_a_later_transaction_leaves_the_earlier_ones_as_they_are(
    sink: Sink, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw defers those that were not answered for, and the others are not tried again."""
    monkeypatch.setattr(client, "RECIPIENTS", 1)
    faults = iter([RuntimeError("unforeseen")])

    def explode(found: object) -> list[str]:
        del found
        for fault in faults:
            raise fault
        return []

    monkeypatch.setattr(client, "surplus", explode)
    async with working(config(over(sink))) as world:
        await world.put(A, B)
        await world.deferred()
        world.later(30)
        await world.settled()

    assert [taken.recipients for taken in sink.taken] == [(A,), (B,)]
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["delivery failed"]


@pytest.mark.parametrize("step", ["_note", "resting"])
async def test_a_fault_in_what_is_known_of_destinations_loses_no_settlement(
    sink: Sink, logs: Logs, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """What was delivered is written down all the same: nobody gets it twice because of the book-keeping."""
    real = getattr(Faring, step)

    def explode(faring: Faring, message_id: str, batch: Any, *rest: Any) -> Any:
        if "other" in batch.destination:
            raise RuntimeError(step)
        return real(faring, message_id, batch, *rest)

    async with Sink() as other:
        with monkeypatch.context() as patch:
            patch.setattr(Faring, step, explode)
            async with working(config(over(other, "other", ("y.example",)), over(sink))) as world:
                await world.put(A, "b@y.example")
                await eventually(lambda: ("delivered", "default", 1) in world.counts.seen, what="settlement")
                await world.dispatch.stop(1)
                left = [recipient.address for entry in world.spool.lease(NOW + 3600, 1) for recipient in entry.recipients]

        assert len(sink.taken) == 1
        assert (len(other.taken), left) == ((1, []) if step == "_note" else (0, ["b@y.example"]))
        assert any(log["log_level"] == "error" and log.get("exc_info") for log in logs)


async def test_a_notice_that_cannot_be_written_repeats_no_delivery(sink: Sink, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was refused is tried again instead of being given up without a word; who has the message does not get it with that."""

    def explode(*_: object) -> bytes:
        raise RuntimeError

    sink.answer("RCPT", "550 5.1.1 No such user", matching=A)
    async with working(config(over(sink))) as world:
        with monkeypatch.context() as patch:
            patch.setattr(bouncing, "notice", explode)
            await world.put(A, B)
            await world.deferred()
            await eventually(
                lambda: world.counts.seen == [("deferred", "default", 1), ("delivered", "default", 1)], what="the attempt's end"
            )
        world.later(30)
        await world.settled()

    assert [taken.recipients for taken in sink.taken] == [(B,), ("me@here.example",)]
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["notice without headers", "notice not written"]


async def test_a_damaged_body_is_owed_only_to_those_whose_next_hop_has_not_answered(sink: Sink, logs: Logs, tmp_path: Path) -> None:
    """What other next hops took of it, or refused, is told and settled; the damage is kept with who is left, and nobody gets it twice."""
    spool = await DiskSpool.open(tmp_path, NullObserver())
    message = replace(new_message((A, B, "c@y.example")), body=b"x" * 600_000 + b"\r\n.\r\n")
    sink.answer("RCPT", "550 5.1.1 No such user", matching=B)
    async with Sink() as other:
        go_on = asyncio.Event()
        other.answer("DATA", Later(go_on))
        async with working(config(over(other, "other", ("y.example",)), over(sink)), spool) as world:
            await spool.put(message)
            world.dispatch.wake()
            await eventually(lambda: bool(sink.taken), what="delivery")
            with (tmp_path / "bodies" / message.id).open("rb+", buffering=0) as body:
                body.write(b"damage")
            go_on.set()
            await world.settled()
        assert other.taken == []
    await spool.close()

    assert world.counts.seen[:2] == [("delivered", "default", 1), ("bounced", "default", 1)]
    assert [taken.recipients for taken in sink.taken] == [(A,), ("me@here.example",)]
    assert json.loads((tmp_path / "damaged" / f"{message.id}.json").read_text())["recipients"] == ["c@y.example"]
    assert [log["message_id"] for log in logs if log["event"] == "damaged"] == [message.id]
