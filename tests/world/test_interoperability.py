"""Delivery into other people's mail servers: what they keep is what was sent, octet for octet, behind what they wrote on the envelope."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import eventually_sync
from tests.world.receivers import PATIENCE, Receiver, receiver
from tests.world.scenery import RECEIVERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.world.scenery import World

TEXTS = {
    "dots": b".\r\n..\r\n...three\r\n.one\r\n\r\n.\r\nend .\r\n.\r\n",
    "long-lines": b"x" * 998 + b"\r\n" + b"." * 998 + b"\r\n" + b"y" * 5000 + b"\r\n",
    "eight-bit": "Grüße, 你好, \N{PARTY POPPER}\r\n".encode() + bytes(range(0x80, 0x100)) + b"\r\n",
    "white-space": b"  \r\n\t\r\nblanks   \r\n\ttab\t\r\n\r\n\r\n",
    "boundaries": b"From here on\r\n>From there\r\n--\r\n-- \r\nQUIT\r\nRSET\r\n",
    "nothing": b"",
    "a-megabyte": (b"z" * 70 + b"\r\n.\r\n") * 14_000,
}
_TRACE = re.compile(
    rb"(?:(?:Return-[Pp]ath|X-Original-To|Delivered-To|Envelope-to|Delivery-date|Received):[^\r]*\r\n(?:[ \t][^\r]*\r\n)*)+"
)


def message(text: str, domain: str) -> bytes:
    """Return a message whose name says which it is."""
    fields = (
        b"From: Me <me@sender.example>",
        f"To: You <you@{domain}.example>".encode(),
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= and a line\r\n\tthat is folded, " + b"w" * 900,
        b"Date: Fri, 15 Jan 2027 08:00:00 +0000",
        f"Message-ID: <{text}.{domain}@client.example>".encode(),
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: 8bit",
    )
    return b"\r\n".join((*fields, b"", TEXTS.get(text, b"Hello\r\n")))


@pytest.fixture(scope="module")
def receivers(around: World, folder: Path) -> Iterator[Mapping[str, Receiver]]:
    """The mail servers, and all that they are to get on its way to them."""
    with ExitStack() as stack:
        running = {name: stack.enter_context(receiver(name, address, folder / name)) for name, address in RECEIVERS.items()}
        for name in running:
            for text in TEXTS:
                around.submit(f"{text}@{name}.example", message=message(text, name), options=("BODY=8BITMIME",))
        yield running


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", RECEIVERS)
def test_content_arrives_octet_for_octet(around: World, receivers: Mapping[str, Receiver], name: str, text: str) -> None:
    """Whatever the lines are like; before it there are trace fields, and nothing else."""
    line = around.outcome(f"{text}@{name}.example")
    assert line["event"] == "delivered", line

    kept, sent = receivers[name].stored(f"{text}.{name}@client.example"), message(text, name)

    assert kept.endswith(sent)
    assert _TRACE.fullmatch(kept.removesuffix(sent)), kept[:2000]


@pytest.mark.parametrize("name", RECEIVERS)
def test_smuggling_through_chunks(around: World, receivers: Mapping[str, Receiver], name: str) -> None:
    """A chunk may hold what ends a message that comes by DATA (RFC 3030): it arrives as content, and as one message."""
    recipient = f"victim@{name}.example"
    second = b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<you@%s.example>\r\nDATA\r\nMessage-ID: <evil.%s@client.example>\r\n\r\n" % (
        (name.encode(),) * 2
    )
    sent = message("chunk", name) + b"\r\n.\r\n" + second + b"\r\n.\r\n"
    with around.client() as client:
        client.mail("me@sender.example")
        client.rcpt(recipient)
        client.send(b"BDAT %d LAST\r\n%s" % (len(sent), sent))
        assert client.getreply()[0] == 250
    around.submitted.add(recipient)
    assert around.outcome(recipient)["event"] == "delivered"

    assert receivers[name].stored(f"chunk.{name}@client.example").endswith(sent)
    assert all("evil@sender.example" not in path.read_text(errors="replace").partition("\n\n")[0] for path in receivers[name].kept)


@pytest.mark.parametrize(("name", "says"), [("postfix", b"(using TLSv1.3 with cipher "), ("exim", b" with esmtps  (TLS1.3) tls ")])
def test_what_is_to_be_verified_came_under_tls(receivers: Mapping[str, Receiver], name: str, says: bytes) -> None:
    """Both say so in the trace of each message."""
    for text in TEXTS:
        kept = receivers[name].stored(f"{text}.{name}@client.example")

        assert says in kept[: kept.index(b"\r\nFrom: ")], kept[:1000]


def test_exim_sees_pipelining(around: World, receivers: Mapping[str, Receiver]) -> None:
    """It notes an `L` for a session that used what it offered, and `L-` for one that did not (log selector `pipelining`)."""
    around.outcome("dots@exim.example")

    arrivals = [line for line in receivers["exim"].log.splitlines() if " <= me@sender.example " in line]
    assert arrivals
    assert all(" L " in line for line in arrivals)


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_addresses_beyond_ascii_arrive(around: World, receivers: Mapping[str, Receiver], name: str) -> None:
    """SMTPUTF8 is used where it is offered (RFC 6531)."""
    recipient = f"zoë@{name}.example"
    around.submit(recipient, message=message("smtputf8", name), options=("SMTPUTF8", "BODY=8BITMIME"))

    assert around.outcome(recipient)["event"] == "delivered"
    assert recipient in receivers[name].stored(f"smtputf8.{name}@client.example").decode("utf-8", "replace")


def test_addresses_beyond_ascii_are_returned_where_they_are_not_known(around: World, receivers: Mapping[str, Receiver]) -> None:
    """OpenSMTPD does not offer SMTPUTF8, so that such a message goes back and is not sent in another form (RFC 6531 section 3.2)."""
    recipient = "zoë@opensmtpd.example"
    around.submit(recipient, message=message("smtputf8", "opensmtpd"), options=("SMTPUTF8", "BODY=8BITMIME"))

    line = around.outcome(recipient)
    assert line["event"] == "bounced"
    assert line["reply"].startswith("553 5.6.7")
    assert "zoë" not in receivers["opensmtpd"].log


def test_postfix_tells_the_sender_what_it_asked_for(around: World, receivers: Mapping[str, Receiver]) -> None:
    """The DSN parameters get through: Postfix' notice of success bears the sender's own name of the message and of the recipient."""
    recipient, mailbox = "dsn@postfix.example", around.exchangers["valid"]
    around.submit(
        recipient,
        message=message("dsn", "postfix"),
        options=("RET=HDRS", "ENVID=order+2B17"),
        about=("NOTIFY=SUCCESS", "ORCPT=rfc822;D@x.example"),
    )
    receivers["postfix"].stored("dsn.postfix@client.example")

    eventually_sync(
        lambda: [each for each in mailbox.taken if b"Original-Envelope-Id: order+17" in each.body], PATIENCE, "a notice of success"
    )
    (notice,) = (each for each in mailbox.taken if b"Original-Envelope-Id: order+17" in each.body)
    assert notice.recipients == ("me@sender.example",)
    assert b"Original-Recipient: rfc822;D@x.example" in notice.body
    assert b"Action: delivered" in notice.body
