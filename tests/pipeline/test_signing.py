"""Mail that is rewritten and signed on its way through dispatch: by route, by the keys in force, and never lost for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config import signing_keys
from smtp_gateway.config.model import Config, HopTls, Listener, Route, Smarthost
from smtp_gateway.config.outgoing import DkimKey, Rewrite, SenderRule
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.spool.memory import MemorySpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.dispatching import working
from tests.support.signing import dkim_key, published, verdicts
from tests.support.sink import Sink

if TYPE_CHECKING:
    from pathlib import Path

    from smtp_gateway.mail.body import Body
    from smtp_gateway.mail.envelope import MessageId

BODY = b"From: Me <me@here.example>\r\nSubject: Hello\r\n\r\n..dots \r\n.\r\n"
KEYS = dkim_key(), dkim_key("corp.example", "c1", "ed25519")
NOW = 1_700_000_000.0
"""Verifiers refuse a signature from the future, where the clock of other tests is."""


def hop(sink: Sink) -> Smarthost:
    """Return *sink* as a next hop."""
    return Smarthost(host="127.0.0.1", port=sink.port, tls=HopTls.NONE)


def config(*routes: Route, keys: tuple[DkimKey, ...] = KEYS) -> Config:
    """Return a configuration with *routes*."""
    return Config(hostname="mail.here.example", listeners=(Listener(name="submission", port=587),), routes=routes, dkim=keys)


async def test_each_route_has_its_own_sender_and_its_own_signature(sink: Sink) -> None:
    """One message for two routes: one of them rewrites it, in envelope and header, and both copies verify."""
    async with Sink() as other:
        rewrite = Rewrite(senders=(SenderRule(address="noreply@corp.example"),))
        provider = Route(name="provider", recipient_domains=("x.example",), smarthosts=(hop(other),), rewrite=rewrite)
        asked = config(provider, Route(name="default", smarthosts=(hop(sink),)))
        async with working(asked) as world:
            world.clock.now = NOW
            await world.put("a@x.example", "b@y.example", body=BODY)
            await world.settled()

        (rewritten,), (plain,) = other.taken, sink.taken
        assert (rewritten.sender, plain.sender) == ("noreply@corp.example", "me@here.example")
        assert b"\r\nFrom: Me <noreply@corp.example>\r\n" in rewritten.content
        assert plain.body.endswith(BODY)
        assert [verdicts(one.content, published(asked.dkim)) for one in (rewritten, plain)] == [[True], [True]]


async def test_the_key_in_force_signs(sink: Sink) -> None:
    """A new one without a restart, also mail that came before it."""
    route = Route(name="default", smarthosts=(hop(sink),))
    later = config(route, keys=(dkim_key(selector="k2", kind="ed25519"),))
    sink.answer("MAIL", "451 4.3.0 Later", times=1)
    async with working(config(route)) as world:
        world.clock.now = NOW
        await world.put("a@x.example", body=BODY)
        await world.deferred()
        world.dispatch.reconfigure(later)
        world.later(3600)
        await world.settled()

    (taken,) = sink.taken
    assert b"\ts=k2; t=1700000000;" in taken.content
    assert verdicts(taken.content, published(later.dkim)) == [True]


class SlowSpool(MemorySpool):
    """A spool that reads no body before it may."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self.asked, self.may = asyncio.Event(), asyncio.Event()

    async def body(self, message_id: MessageId) -> Body:
        """Wait first."""
        self.asked.set()
        await self.may.wait()
        return await super().body(message_id)


async def test_an_attempt_ends_by_the_configuration_that_it_began_with(sink: Sink) -> None:
    """The next hop that was chosen gets the sender that it takes, although its route has another name by then, or rewrites no more."""
    rewrite = Rewrite(senders=(SenderRule(address="noreply@corp.example"),))
    spool = SlowSpool()
    async with working(config(Route(name="provider", smarthosts=(hop(sink),), rewrite=rewrite)), spool) as world:
        world.clock.now = NOW
        await world.put("a@x.example", body=BODY)
        await spool.asked.wait()
        world.dispatch.reconfigure(config(Route(name="default", smarthosts=(hop(sink),)), keys=()))
        spool.may.set()
        await world.settled()

    (taken,) = sink.taken
    assert taken.sender == "noreply@corp.example"
    assert verdicts(taken.content, published(KEYS)) == [True]


async def test_a_large_body_is_signed_from_its_file(sink: Sink, tmp_path: Path) -> None:
    """It goes out as the spool has it, with another beginning."""
    asked = config(Route(name="default", smarthosts=(hop(sink),)))
    body = BODY.removesuffix(b".\r\n") + b"0123456789abcdef  \r\n..\r\n" * 60_000 + b".\r\n"
    spool = await DiskSpool.open(tmp_path, NullObserver())
    async with working(asked, spool) as world:
        world.clock.now = NOW
        await world.put("a@x.example", body=body)
        await world.settled()
    await spool.close()

    (taken,) = sink.taken
    assert taken.body.endswith(body)
    assert f"SIZE={len(taken.body) - 3}" in taken.parameters
    assert verdicts(taken.content, published(asked.dkim)) == [True]


@pytest.mark.allow_blocking  # the log's traceback reads the source files
async def test_a_signature_that_fails_defers(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent unsigned that should be signed, nothing is bounced, and the next attempt tries again."""
    real, faults = signing_keys.signature, iter([OSError("no randomness")])

    def failing(key: signing_keys.SigningKey, octets: bytes) -> bytes:
        for fault in faults:
            raise fault
        return real(key, octets)

    asked = config(Route(name="default", smarthosts=(hop(sink),)))
    async with working(asked) as world:
        world.clock.now = NOW
        monkeypatch.setattr(signing_keys, "signature", failing)
        await world.put("a@x.example", body=BODY)
        await world.deferred()
        assert sink.taken == []
        world.later(3600)
        await world.settled()

    (taken,) = sink.taken
    assert verdicts(taken.content, published(asked.dkim)) == [True]
    assert [event for event, *_ in world.counts.seen] == ["deferred", "delivered"]
