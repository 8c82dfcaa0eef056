"""A route that has come back: the mail that waits for it is due, and no other."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from smtp_gateway.config.model import Config, Route
from smtp_gateway.recovering import PAGE, SOON, Recovering
from smtp_gateway.spool.api import Selection, Settlement, SpoolUnavailableError
from smtp_gateway.spool.memory import MemorySpool
from tests.support.gateway import config
from tests.support.messages import NOW, new_message
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry, Spool

LATER = NOW + 3600


class Onward:
    """What dispatch is asked for."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.revived: list[MessageId] = []
        self.forgiven = 0
        self.woken = 0

    def revive(self, entry: Entry) -> None:
        """Take note."""
        self.revived.append(entry.id)

    def retry_refused(self) -> None:
        """Take note."""
        self.forgiven += 1

    def wake(self) -> None:
        """Take note."""
        self.woken += 1


def two_routes() -> Config:
    """Return a configuration with a route of its own for one domain."""
    other = Route(name="other", recipient_domains=("other.example",))
    return config().model_copy(update={"routes": (other, *config().routes)})


def by_sender() -> Config:
    """Return a configuration with a route of its own for one sender's mail that was sent with one login."""
    theirs = Route(name="theirs", sender_domains=("their.example",), logins=("their-login",))
    return config().model_copy(update={"routes": (theirs, *config().routes)})


async def deferred(spool: Spool, *recipients: str, until: float = LATER, sender: str = "me@here.example", identity: str = "") -> MessageId:
    """Put a message into *spool* whose next attempt is at *until*."""
    message = new_message(list(recipients), sender=sender, identity=identity)
    entry = await spool.put(message, leased=True)
    await spool.settle(Settlement(entry.id, entry.recipients, until))
    return entry.id


def due(spool: Spool) -> set[MessageId]:
    """Return what is due now."""
    return {one.entry.id for one in spool.listing(Selection(), 10_000) if one.next_attempt <= NOW}


@asynccontextmanager
async def recovering(spool: Spool, onward: Onward, configuration: Config | None = None) -> AsyncIterator[Recovering]:
    """Hasten what is in *spool*, in the background."""
    made = Recovering(spool, onward, configuration or two_routes(), lambda: NOW)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()


async def test_waiting_mail_of_the_route_is_due(spool: Spool) -> None:
    """Whatever has a recipient on it; its destination is called back once, and refused credentials are tried again.

    Mail of other routes, held mail and what is due soon stay.
    """
    waiting, both = await deferred(spool, "a@x.example"), await deferred(spool, "a@x.example", "b@other.example")
    others, soon = await deferred(spool, "b@other.example"), await deferred(spool, "c@x.example", until=NOW + SOON)
    held = await deferred(spool, "d@x.example")
    await spool.hold(held)
    onward = Onward()

    async with recovering(spool, onward) as recovered:
        with capture_logs() as logs:
            recovered.restored("default")
            await eventually(lambda: bool(logs))

    assert due(spool) == {waiting, both}
    assert others not in due(spool)
    assert soon not in due(spool)
    assert onward.revived == [waiting]
    assert onward.woken == 1
    assert onward.forgiven == 1
    assert [(line["event"], line["routes"], line["messages"]) for line in logs] == [("waiting mail is due", ["default"], 2)]


async def test_a_route_of_some_senders_has_their_mail_alone(spool: Spool) -> None:
    """Sender and login are in the queue, and decide as they did when the mail came."""
    theirs = await deferred(spool, "a@x.example", sender="a@their.example", identity="their-login")
    for sender, identity in (("a@their.example", "another"), ("me@here.example", "their-login"), ("", "")):
        await deferred(spool, "a@x.example", sender=sender, identity=identity)

    async with recovering(spool, Onward(), by_sender()) as recovered:
        recovered.restored("theirs")
        await eventually(lambda: due(spool) == {theirs})


async def test_a_long_queue_is_gone_through_page_by_page(spool: Spool) -> None:
    """None is left out at the borders."""
    waiting = {await deferred(spool, "a@x.example") for _ in range(2 * PAGE + 1)}
    async with recovering(spool, Onward()) as recovered:
        recovered.restored("default")
        await eventually(lambda: due(spool) == waiting)


class Ailing(MemorySpool):
    """A spool that cannot write once."""

    faults = 1

    def retry(self, message_id: MessageId, now: float) -> asyncio.Future[bool]:
        """Fail at first."""
        if self.faults:
            self.faults -= 1
            failed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            failed.set_exception(SpoolUnavailableError("no space"))
            return failed
        return super().retry(message_id, now)


async def test_a_spool_that_cannot_write_is_waited_for() -> None:
    """The same mail is gone through again, and both are due in the end."""
    spool = Ailing()
    waiting = {await deferred(spool, "a@x.example"), await deferred(spool, "b@x.example")}
    async with recovering(spool, Onward()) as recovered:
        recovered.restored("default")
        await eventually(lambda: due(spool) == waiting)
