"""Routes at work: by sender and login, decided again at each attempt; and which of their smarthosts gets the mail."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import HopTls, IpFamily, Route, Smarthost
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.reachability import Reachability
from smtp_gateway.delivery.settings import Settings
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.probing.probe import Probe
from smtp_gateway.resolver import Nameserver, Resolver
from tests.support.deaf import deaf
from tests.support.dispatching import AROUND, A, config, hand_over, over, working
from tests.support.dns import NameServer
from tests.support.messages import BODY
from tests.support.sink import Cut, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.dispatch import Surroundings


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


async def test_trap_04_smarthosts_share_the_mail_by_weight_and_each_message_goes_once(sink: Sink) -> None:
    """Weights divide attempts and never copy a message (trap 4); the one with another priority waits for both to fail."""
    draws = cycle((0.1, 0.5, 0.9))  # of 20 to 10: the first, the first, the second; and each draws its second for itself
    async with Sink() as other, Sink() as last:
        hops = [
            hop.model_copy(update=more)
            for hop, more in zip(
                (*over(last).smarthosts, *over(sink).smarthosts, *over(other).smarthosts),
                ({"priority": 5}, {"weight": 20}, {"weight": 10}),
                strict=True,
            )
        ]
        around = replace(AROUND, chance=lambda: next(draws))
        async with working(config(Route(name="default", smarthosts=tuple(hops))), around=around) as world:
            for number in range(30):
                await world.put(f"a{number}@x.example")
            await world.settled()

    got = [taken.recipients[0] for server in (sink, other) for taken in server.taken]
    assert sorted(got) == sorted(f"a{number}@x.example" for number in range(30))
    assert sink.taken
    assert other.taken
    assert last.sessions == 0


async def test_a_smarthost_that_is_away_costs_one_message_its_time_and_not_each(sink: Sink) -> None:
    """The first message finds out, and the others begin with the one that works; nothing is lost when that goes too."""
    async with Sink() as first:
        first.answer("connect", Cut())
        route = Route(name="default", smarthosts=(*over(first).smarthosts, *over(sink).smarthosts))
        async with working(config(route)) as world:
            for number in range(5):
                await world.put(f"a{number}@x.example")
                await world.settled()
            assert (first.sessions, len(sink.taken)) == (1, 5)
            await sink.stop()
            first.forget_rules()
            await world.put(A)
            await world.settled()

    assert [taken.recipients for taken in first.taken] == [(A,)]


async def test_what_a_probe_found_decides_where_mail_begins(sink: Sink) -> None:
    """No message pays for a smarthost that a probe could not reach, and when a probe reaches it, it is the first again."""
    known = Reachability()
    async with Sink() as first:
        first.answer("connect", Cut())
        hops = (*over(first).smarthosts, *over(sink).smarthosts)
        settings = Settings("gateway.example", timeouts=AROUND.timeouts)
        probe, client = Probe(Resolver(), settings, reachability=known), Client(Resolver(), settings, known)
        mail = Mail(Envelope("me@here.example", (A,)), BODY)
        assert not (await probe(hops[0])).answered
        await client.deliver(mail, hops)
        assert (first.sessions, len(sink.taken)) == (1, 1)
        first.forget_rules()
        assert (await probe(hops[0])).answered
        await client.deliver(mail, hops)
        client.close()

    assert len(first.taken) == 1


async def test_mail_does_not_go_to_addresses_of_a_family_that_is_off(sink: Sink) -> None:
    """Neither at first nor after the other one failed; the change takes effect with the next attempt."""
    async with NameServer() as names, Sink(host="::1") as six:
        await six.stop()
        six.port = sink.port
        await six.start()
        names.add("x.example.", "MX", "10 mx.example.")
        names.add("mx.example.", "AAAA", "::1")
        around = replace(AROUND, resolver=names.resolver(2), mx_port=sink.port)
        both = config(Route(name="default"))
        async with working(both.model_copy(update={"ip_families": (IpFamily.IPV4,)}), around=around) as world:
            await world.put(A)
            await world.deferred()
            assert six.sessions == 0
            world.dispatch.reconfigure(both)
            world.later(30)
            await world.settled()

    assert [taken.recipients for taken in six.taken] == [(A,)]


def ours(names: NameServer, sink: Sink) -> Surroundings:
    """Return a world in which us.example is this gateway, with the address 127.0.0.5."""
    names.add("us.example.", "A", "127.0.0.5")
    names.add("sink.example.", "A", "127.0.0.1")
    names.add("down.example.", "A", "127.0.0.9")
    resolver = Resolver(Nameserver("127.0.0.1", names.port), 2.0, leads_away=lambda address: address != "127.0.0.5")
    return replace(AROUND, resolver=resolver, mx_port=sink.port)


@pytest.mark.parametrize(
    ("exchangers", "outcome", "taken"),
    [
        (("10 sink.example.", "20 us.example."), "delivered", 1),
        (("10 us.example.", "20 sink.example."), "bounced", 0),  # the backup would send it back
        (("10 down.example.", "20 us.example.", "30 sink.example."), "deferred", 0),
        (("10 us.example.",), "bounced", 0),
    ],
)
async def test_an_exchanger_with_our_own_address_ends_the_list(sink: Sink, exchangers: tuple[str, ...], outcome: str, taken: int) -> None:
    """RFC 5321 section 5.1: it and what is preferred less is left out. Those before it are tried, and what they come to counts."""
    async with NameServer() as names:
        names.add("x.example.", "MX", *exchangers)
        async with working(config(Route(name="default")), around=ours(names, sink)) as world:
            await world.put(A, sender="")
            await eventually(lambda: bool(world.counts.seen))

    assert world.counts.seen == [(outcome, "default", 1)]
    assert len(sink.taken) == taken


async def test_what_was_down_lately_is_tried_though_our_own_address_comes_before_it_now(sink: Sink) -> None:
    """The order of preference says what is behind us, and not the one in which next hops are tried."""
    async with NameServer() as names:
        names.add("x.example.", "MX", "10 sink.example.", "20 us.example.")
        sink.answer("connect", Cut(), times=1)
        async with working(config(Route(name="default")), around=ours(names, sink)) as world:
            await world.put(A, sender="")
            await world.deferred()
            world.later(30)
            await world.settled()

    assert world.counts.seen == [("deferred", "default", 1), ("delivered", "default", 1)]


async def test_a_blocked_port_25_is_recognised_and_so_is_its_end(sink: Sink) -> None:
    """Mail to three domains gets no answer and none gets through: it is the network; the first that gets through ends it."""
    async with NameServer() as names:
        for number in range(3):
            names.add(f"d{number}.example.", "MX", f"10 mx.d{number}.example.")
            names.add(f"mx.d{number}.example.", "A", f"127.0.0.{20 + number}")
        names.add("x.example.", "A", "127.0.0.1")
        impatient = replace(AROUND.timeouts, connect=0.2)
        around = replace(AROUND, resolver=names.resolver(), mx_port=sink.port, timeouts=impatient)
        with ExitStack() as stack:
            for number in range(3):
                stack.enter_context(deaf(f"127.0.0.{20 + number}", sink.port))
            async with working(config(Route(name="default")), around=around) as world:
                await world.put("a@d0.example", "a@d1.example")
                await world.deferred(2)
                assert not world.reachability.port_25_blocked
                await world.put("a@d2.example")
                await eventually(lambda: world.reachability.port_25_blocked)
                await world.put(A)
                await eventually(lambda: len(sink.taken) == 1)
                assert not world.reachability.port_25_blocked


async def test_a_smarthost_whose_port_drops_packets_is_used_on_another_one(sink: Sink) -> None:
    """As clouds block 25: the connection times out, and the mail goes to the alternate port."""
    with deaf(sink.host) as port:
        hop = Smarthost(host=sink.host, port=port, alternate_ports=(sink.port,), tls=HopTls.NONE)
        around = replace(AROUND, timeouts=replace(AROUND.timeouts, connect=0.2))
        async with working(config(Route(name="default", smarthosts=(hop,))), around=around) as world:
            await world.put(A)
            await world.settled()
            assert not world.reachability.port_25_blocked

    assert [taken.recipients for taken in sink.taken] == [(A,)]
