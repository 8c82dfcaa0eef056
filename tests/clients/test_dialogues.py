"""Programs that do not run here: what is known of their dialogues gets them through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.clients.dialogues import DIALOGUES
from tests.support.conversation import Conversation
from tests.support.gateway import trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.clients.dialogues import Dialogue
    from tests.support.gateway import Process
    from tests.support.sink import Sink

BODY = b"Subject: x\r\nDate: y\r\nMessage-ID: <z@example.com>\r\n\r\nhello\r\n.\r\n"


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.program)
async def test_a_documented_dialogue_sends_mail(dialogue: Dialogue, gateway: Process, sink: Sink) -> None:
    """Line by line, each reply as that program needs it."""
    tls = await asyncio.to_thread(trusting)
    async with Conversation.with_server(gateway.ports["submission"]) as client:
        await client.expect("220 *")
        await client.ask(f"EHLO {dialogue.hello}", "250*STARTTLS*")
        await client.starttls(tls)
        await client.ask(f"EHLO {dialogue.hello}", "250*AUTH*LOGIN*")
        for line, reply in dialogue.auth:
            await client.ask(line, reply)
        for line, reply in ((dialogue.mail, "250 2.1.0 *"), (dialogue.rcpt, "250 2.1.5 *"), ("DATA", "354 *")):
            await client.ask(line, reply)
        await client.write(BODY)
        await client.expect("250 2.0.0 *")
        await client.ask("QUIT", "221 *")
    await eventually(lambda: sink.taken, 60)

    (taken,) = sink.taken
    assert (taken.sender, taken.recipients) == ("app@example.com", ("one@example.net",))
    assert taken.body.endswith(b"\r\n" + BODY)
