"""Routes at work: by sender and login, decided again at each attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.dispatching import A, config, hand_over, over, working
from tests.support.sink import Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.config.model import Route


def some(sink: Sink, name: str, *, senders: Sequence[str] = (), logins: Sequence[str] = ()) -> Route:
    """Return a route over *sink* for some senders or logins."""
    return over(sink, name).model_copy(update={"sender_domains": tuple(senders), "logins": tuple(logins)})


async def test_mail_takes_the_route_of_its_sender_and_login(sink: Sink) -> None:
    """The same recipient is reached over three servers: by domain of the sender, by login, and otherwise."""
    async with Sink() as invoices, Sink() as news:
        routes = (some(invoices, "invoices", senders=["*.invoices.example"]), some(news, "news", logins=["newsletter"]), over(sink))
        async with working(config(*routes)) as world:
            await world.put(A, sender="a@eu.invoices.example")
            await world.put(A, sender="a@here.example")
            await world.put(A, sender="")
            await hand_over(world, A, "newsletter")
            await world.settled()

        assert [taken.sender for taken in invoices.taken] == ["a@eu.invoices.example"]
        assert [taken.sender for taken in news.taken] == ["me@here.example"]
        assert sorted(taken.sender for taken in sink.taken) == ["", "a@here.example"]
        assert sorted(world.counts.seen) == sorted(("delivered", route, 1) for route in ("invoices", "news", "default", "default"))


async def test_trap_08_the_route_of_a_sender_is_decided_again_at_each_attempt(sink: Sink) -> None:
    """Mail that was deferred on one route goes over the one that its sender has now (trap 8)."""
    sink.answer("MAIL", "451 4.3.0 Not now")
    async with Sink() as theirs, working(config(over(sink))) as world:
        await world.put(A, sender="a@their.example")
        await world.deferred()
        world.dispatch.reconfigure(config(some(theirs, "theirs", senders=["their.example"]), over(sink)))
        world.later(30)
        await eventually(lambda: len(theirs.taken) == 1)
        await world.settled()

    assert world.counts.seen == [("deferred", "default", 1), ("delivered", "theirs", 1)]
