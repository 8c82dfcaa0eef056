"""How sessions end: by silence, by a client that vanishes, and by the gateway's own word."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from tests.support.conversation import Conversation, deaf
from tests.support.gateway import Reception, reception, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

TLS = trusting()


async def test_silence_is_ended_with_a_word(tmp_path: Path) -> None:
    """A client that says nothing is told why it is disconnected."""
    async with reception(tmp_path, patience=0.1) as way_in:
        async with Conversation.with_server(way_in.port) as client:
            await client.expect("220 *")
            await client.expect("421 4.4.2 *")
            await client.hung_up()
        await eventually(lambda: way_in.observer.open == 0)


async def test_a_body_that_never_ends_is_ended(tmp_path: Path) -> None:
    """Silence inside DATA counts like any other, and nothing is accepted."""
    async with reception(tmp_path, patience=0.5) as way_in, Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        await client.ask("MAIL FROM:<a@example.com>")
        await client.ask("RCPT TO:<b@example.net>")
        await client.ask("DATA", "354 *")
        await client.write(b"half a message\r\n")
        await client.expect("421 4.4.2 *")
        await client.hung_up()
        await eventually(lambda: way_in.intake.room.held == 0)
        assert way_in.spool.messages == []


async def test_a_client_that_does_not_read_is_cut(tmp_path: Path) -> None:
    """Replies that nobody takes do not keep a session for ever."""
    async with reception(tmp_path, patience=0.5) as way_in:
        _, writer = await deaf(way_in.port)
        writer.write(b"HELP\r\n" * 200_000)
        await eventually(lambda: way_in.observer.open == 1)
        await eventually(lambda: way_in.observer.open == 0)
        writer.transport.abort()


async def test_connecting_and_closing_is_no_event(way_in: Reception) -> None:
    """Probes of load balancers leave no line in the log, not even from the libraries."""
    with capture_logs() as logs:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", way_in.port)
            writer.close()
            await writer.wait_closed()
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", way_in.listeners.ports["submissions"])
            writer.transport.abort()
        await eventually(lambda: way_in.observer.events.count(("disconnected", "submission")) == 3)

    assert logs == []


async def test_a_client_that_vanishes_inside_data_leaves_nothing(way_in: Reception, client: Conversation) -> None:
    """No half message, no held memory, no session."""
    await client.ask("MAIL FROM:<a@example.com>")
    await client.ask("RCPT TO:<b@example.net>")
    await client.ask("DATA", "354 *")
    await client.write(b"x" * 3000)
    await eventually(lambda: way_in.intake.room.held > 0)
    client.vanish()
    await eventually(lambda: way_in.observer.open == 0)

    assert way_in.intake.room.held == 0
    assert way_in.spool.messages == []


async def test_refusals_are_observed_by_command_and_code(way_in: Reception, client: Conversation) -> None:
    """Labels are verbs that exist: what a client invents is `other`."""
    await client.ask("MAIL FROM:<bad", "553 *")
    await client.ask("INVENTED", "500 *")

    refused = [event for event in way_in.observer.events if event[0] == "refused"]
    assert refused == [("refused", "submission", "MAIL", 553, "5.1.3"), ("refused", "submission", "other", 500, "5.5.2")]


async def test_a_dismissed_session_ends_its_transaction_first(way_in: Reception, client: Conversation) -> None:
    """Idle ones hear 421 at once; one in a transaction after its message was taken."""
    async with Conversation.with_server(way_in.port) as idle:
        await idle.expect("220 *")
        await client.ask("MAIL FROM:<a@example.com>")
        way_in.listeners.stop_accepting()
        finishing = asyncio.create_task(way_in.listeners.finish_sessions(10.0))
        await idle.expect("421 4.3.2 *")
        await idle.hung_up()
        await client.ask("RCPT TO:<b@example.net>", "250 2.1.5 *")
        await client.ask("DATA", "354 *")
        await client.write(b"x\r\n.\r\n")
        await client.expect("250 2.0.0 *")
        await client.expect("421 4.3.2 *")
        await client.hung_up()

    assert await finishing == 0
    assert len(way_in.spool.messages) == 1


async def test_a_session_that_does_not_end_is_cut(way_in: Reception, client: Conversation) -> None:
    """The drain has an end of its own."""
    await client.ask("MAIL FROM:<a@example.com>")

    assert await way_in.listeners.finish_sessions(0.05) == 1
    await client.expect("421 4.3.2 *")
    await client.hung_up()
