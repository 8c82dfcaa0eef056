"""What is done to a message before a next hop gets it: rewriting, and then signatures, for mail of clients that were known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config import signing_keys
from smtp_gateway.config.model import Config, Listener, ListenerAuth, ListenerTls, Route
from smtp_gateway.config.outgoing import DkimKey, Rewrite, SenderRule
from smtp_gateway.content.dkim import MOST
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.mail.body import Body, DamagedBodyError, beginning, size_of
from smtp_gateway.mail.envelope import Envelope, MessageId
from smtp_gateway.outgoing import KEPT, LARGEST_KEPT, LONGEST_HEAD, Outgoing
from smtp_gateway.spool.api import Entry, Recipient
from tests.support.messages import whole
from tests.support.signing import dkim_key, published, verdicts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ACCEPTED = 1_700_000_000.0
HEAD = b"Received: by here\r\nFrom: Me <me@here.example>\r\nSubject: Hello\r\n\r\n"
TEXT = b"How are you?\r\n..hidden dot\r\n.. \r\n\r\n"
BODY = HEAD + TEXT + b".\r\n"
FIXED = Rewrite(senders=(SenderRule(address="noreply@corp.example"),))
RELAYS = (
    Listener(name="inside", port=25, tls=ListenerTls.NONE, auth=ListenerAuth.NONE, allowed_networks=("192.0.2.0/24",)),
    Listener(name="mx", port=26, tls=ListenerTls.NONE, auth=ListenerAuth.NONE, allowed_recipient_domains=("corp.example",)),
)


@dataclass(frozen=True)
class Stored:
    """A body in blocks, which may turn out to be damaged."""

    octets: bytes
    block: int = 7
    damaged: bool = False

    @property
    def size(self) -> int:
        """Return how many octets there are."""
        return len(self.octets)

    @property
    def headers(self) -> bytes:
        """Return the beginning, as far as the spool keeps it."""
        return self.octets[: 64 * 1024]

    async def blocks(self) -> AsyncIterator[bytes]:
        """Give the blocks."""
        for at in range(0, len(self.octets), self.block):
            if self.damaged and at + self.block >= len(self.octets):
                raise DamagedBodyError
            yield self.octets[at : at + self.block]


def config(*keys: DkimKey, rewrite: Rewrite | None = None) -> Config:
    """Return a configuration with these keys, and with a route called default."""
    return Config(hostname="mail.here.example", listeners=RELAYS, routes=(Route(name="default", rewrite=rewrite),), dkim=keys)


def entry(identity: str = "app-logins", number: int = 1) -> Entry:
    """Return a message of *identity*."""
    return Entry(MessageId(f"T{number}"), "me@here.example", (Recipient("you@there.example"),), ACCEPTED, len(BODY), identity=identity)


async def sent(asked: Config, body: Body = BODY, of: Entry | None = None) -> Mail:
    """Return what goes out of *body*."""
    outgoing = Outgoing.of(asked)
    assert outgoing is not None
    of = of or entry()
    return await outgoing.mail(Mail(Envelope(of.sender, ("you@there.example",)), body), of, asked.routes[0])


def content(wire: bytes) -> bytes:
    """Return the message as a receiver sees it."""
    assert wire.endswith(b"\r\n.\r\n")
    lines = wire.removesuffix(b".\r\n").split(b"\r\n")
    return b"\r\n".join(line.removeprefix(b".") for line in lines)


async def verified(asked: Config, body: Body = BODY, of: Entry | None = None) -> list[bool]:
    """Return what dkimpy says of each signature of what goes out."""
    mail = await sent(asked, body, of)
    octets = await whole(mail.body)
    assert size_of(mail.body) == len(octets)
    assert octets.startswith(beginning(mail.body))
    return verdicts(content(octets), published(asked.dkim))


def test_a_configuration_that_asks_for_nothing_takes_no_step() -> None:
    """There is nobody to ask."""
    assert Outgoing.of(config()) is None


@pytest.mark.parametrize("body", [BODY, *(Stored(BODY, block) for block in (1, 7, len(HEAD) - 2, len(HEAD), len(HEAD) + 1, 10_000))])
async def test_every_key_of_the_domain_signs(body: Body) -> None:
    """RSA and Ed25519 side by side, over the text without the dots that SMTP adds; a large body in blocks of any size."""
    keys = dkim_key(), dkim_key(selector="k2", kind="ed25519")

    assert await verified(config(*keys), body) == [True, True]
    octets = await whole((await sent(config(*keys), body)).body)
    assert octets.endswith(BODY)


@pytest.mark.parametrize("sender", ["me@here.example", "me@HERE.example", "me@a.b.here.example"])
@pytest.mark.parametrize("head", [b"From: %b\r\n\r\n", b"From: %b\r\n", b"From: A <a@other.example>,\r\n B <%b>\r\n\r\n"])
async def test_the_domain_of_from_and_domains_beneath_it_are_signed_for(sender: str, head: bytes) -> None:
    """Also where a message has no text, or more than one author."""
    assert await verified(config(dkim_key()), head % sender.encode() + b".\r\n") == [True]


async def test_the_nearest_domain_signs() -> None:
    """A domain with keys of its own is not signed for by the one above it."""
    keys = dkim_key(), dkim_key("news.here.example", "n1", "ed25519")
    octets = await whole((await sent(config(*keys), b"From: me@a.news.here.example\r\n\r\nx\r\n.\r\n")).body)

    assert octets.count(b"DKIM-Signature:") == 1
    assert b"\td=news.here.example;\r\n\ts=n1;" in octets


@pytest.mark.parametrize(
    "body",
    [
        b"From: me@there.example\r\n\r\nx\r\n.\r\n",
        b"From: me@nothere.example\r\n\r\nx\r\n.\r\n",
        b"From: me@here.example.evil.example\r\n\r\nx\r\n.\r\n",
        b"Sender: me@here.example\r\nFrom: me@there.example\r\n\r\nx\r\n.\r\n",
        b"From: me@here.example\r\nFrom: you@here.example\r\n\r\nx\r\n.\r\n",
        b"From: me@here.example <<\r\n\r\nx\r\n.\r\n",
        b"Subject: x\r\n\r\nFrom: me@here.example\r\n.\r\n",
        b"\r\nFrom: me@here.example\r\n.\r\n",
        b"no header\r\nFrom: me@here.example\r\n\r\nx\r\n.\r\n",
        b".\r\n",
        b"To: a\r\n" * MOST + HEAD + b".\r\n",
        Stored(b"X-Long: x\r\n" * (LONGEST_HEAD // 11 + 1) + BODY, 65536),
    ],
)
async def test_what_is_of_no_domain_with_a_key_goes_as_it_is(body: Body) -> None:
    """Or of nobody who can be told: no verifier accepts a second From either."""
    assert (await sent(config(dkim_key()), body)).body is body


async def test_a_header_section_longer_than_the_spool_keeps_is_signed() -> None:
    """It is read from the body; another beginning is in its place when it goes out."""
    body = Stored(b"X-Long: x\r\n" * 20_000 + BODY, 65536)

    assert await verified(config(dkim_key()), body) == [True]


@pytest.mark.parametrize(
    ("identity", "signs"), [("app-logins", True), ("", True), ("listener/inside", True), ("listener/mx", False), ("listener/gone", False)]
)
async def test_only_mail_of_known_clients_is_signed(identity: str, signs: bool) -> None:  # noqa: FBT001 a row of the table
    """By a login or by their network, and bounces: who may write to some domains from anywhere must not borrow a domain's name."""
    assert await verified(config(dkim_key()), of=entry(identity)) == [True] * signs


@pytest.mark.parametrize("body", [BODY, Stored(BODY)])
async def test_what_is_rewritten_is_signed_for_its_new_domain(body: Body) -> None:
    """Envelope and header say the same, and the signature is over what is sent."""
    asked = config(dkim_key(), dkim_key("corp.example", "c1"), rewrite=FIXED)
    mail = await sent(asked, body)
    octets = await whole(mail.body)

    assert mail.envelope.sender == "noreply@corp.example"
    assert b"From: Me <noreply@corp.example>\r\n" in octets
    assert b"\td=corp.example;\r\n\ts=c1;" in octets
    assert await verified(asked, body) == [True]


async def test_a_route_that_rewrites_needs_no_keys() -> None:
    """And a bounce keeps its null sender."""
    bounce = replace(entry(""), sender="")
    mail = await sent(config(rewrite=FIXED), BODY, bounce)

    assert mail == Mail(Envelope("", ("you@there.example",)), BODY.replace(b"me@here.example", b"noreply@corp.example"))


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was signed."""
    signed: list[bytes] = []
    real = signing_keys.signature

    def counted(key: signing_keys.SigningKey, octets: bytes) -> bytes:
        signed.append(octets)
        return real(key, octets)

    monkeypatch.setattr(signing_keys, "signature", counted)
    return signed


async def test_a_message_is_signed_once_in_a_while(signatures: list[bytes]) -> None:
    """Its next recipients get the same octets without another signature, and so does a later attempt with one."""
    asked, outgoing = config(dkim_key()), Outgoing(config(dkim_key()))

    async def once(number: int) -> Mail:
        return await outgoing.mail(Mail(Envelope("me@here.example", ("you@there.example",)), BODY), entry(number=number), asked.routes[0])

    first = await once(1)
    assert await once(1) == first
    assert len(signatures) == 1
    for number in range(2, KEPT + 2):
        await once(number)
    assert await once(1) == first
    assert len(signatures) == KEPT + 2


async def test_a_long_header_section_is_not_kept(signatures: list[bytes]) -> None:
    """A hundred of them would be felt; it is signed again, and the same."""
    asked = config(dkim_key(kind="ed25519"))
    outgoing, body = Outgoing(asked), b"X-Long: x\r\n" * (LARGEST_KEPT // 11) + BODY
    mails = [await outgoing.mail(Mail(Envelope("", ()), body), entry(), asked.routes[0]) for _ in range(2)]

    assert mails[0] == mails[1]
    assert len(signatures) == 2


async def test_a_damaged_body_is_found_out() -> None:
    """It is not signed, and the message is set aside by whom it concerns."""
    with pytest.raises(DamagedBodyError):
        await sent(config(dkim_key()), Stored(BODY, damaged=True))
