"""Messages for tests, and the surroundings in which dispatch is tested."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from smtp_gateway.mail.envelope import Envelope, MessageId
from smtp_gateway.spool.api import NewMessage
from smtp_gateway.spool.memory import octets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.mail.body import Body
    from smtp_gateway.spool.api import Spool

__all__ = ["BODY", "NOW", "leased", "new_message", "octets", "whole"]

NOW = 1_800_000_000.0
"""When tests with a clock of their own take place: 15 January 2027, 08:00 UTC."""
BODY = b"Subject: Hello\r\n\r\nHow are you?\r\n.\r\n"
_numbers = count(1)


def new_message(
    recipients: Sequence[str] = ("you@there.example",),
    *,
    sender: str = "me@here.example",
    body: bytes = BODY,
    accepted_at: float = NOW,
    identity: str = "",
) -> NewMessage:
    """Return a message with an identifier of its own."""
    return NewMessage(MessageId(f"T{next(_numbers):06d}"), Envelope(sender, tuple(recipients)), body, accepted_at, identity)


async def whole(body: Body) -> bytes:
    """Return all of a stored body."""
    return body if isinstance(body, bytes) else b"".join([block async for block in body.blocks()])


async def leased(spool: Spool, message: NewMessage) -> NewMessage:
    """Put *message* and lease it."""
    await spool.put(message)
    assert [entry.id for entry in spool.lease(NOW, 10)] == [message.id]
    return message
