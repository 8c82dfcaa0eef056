"""One message to a scripted next hop: what it gets, and what its answers make of each recipient."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import HopTls, Smarthost
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.settings import Settings, Timeouts
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.mail.outcome import Deferred, Delivered, Failed, Outcome
from smtp_gateway.resolver import Resolver
from tests.support.hostile import Drip
from tests.support.messages import BODY
from tests.support.sink import EXTENSIONS, Answer, Cut, Hang, Raw, Sink, Stall
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

QUICK = Timeouts(connect=2, greeting=0.3, hello=0.3, mail=0.3, rcpt=0.3, data=0.3, block=0.3, end_of_data=0.3, goodbye=0.3)
"""For next hops that do not answer."""
PATIENT = Timeouts(*[20.0] * 10)
A, B, C = "a@x.example", "b@x.example", "c@x.example"


@pytest.fixture(params=[(), ("PIPELINING",)], ids=["one by one", "pipelined"])
async def sink(request: pytest.FixtureRequest) -> AsyncIterator[Sink]:
    """A next hop that takes commands one by one, and one that takes several at once: what they come to is the same."""
    async with Sink(extensions=(*EXTENSIONS, *request.param)) as running:
        yield running


def hop(sink: Sink, tls: HopTls = HopTls.NONE) -> Smarthost:
    """Return *sink* as a configured next hop."""
    return Smarthost(host=sink.host, port=sink.port, tls=tls)


async def deliver(*hops: Smarthost, mail: Mail | None = None, timeouts: Timeouts = PATIENT) -> Mapping[str, Outcome]:
    """Deliver *mail* (or a plain one to A and B) over *hops*."""
    client = Client(Resolver(), Settings("gateway.example", timeouts=timeouts))
    try:
        return await client.deliver(mail or to(A, B), hops)
    finally:
        client.close()


def to(*recipients: str, sender: str = "me@here.example", body: bytes = BODY, smtputf8: bool = False, body_8bit: bool = False) -> Mail:
    """Return a message for *recipients*."""
    return Mail(Envelope(sender, recipients, smtputf8, body_8bit), body)


def kinds(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """Return the outcomes by their names and codes: `Failed 550`."""
    return {address: f"{type(outcome).__name__} {outcome.reply.code}" for address, outcome in outcomes.items()}


async def test_a_message_is_delivered_octet_for_octet(sink: Sink) -> None:
    """Envelope and body arrive as they were given, in one transaction, and the session ends with QUIT."""
    body = b"Subject: Dots\r\n\r\n..\r\n..leading\r\n\x00\xff\r\n\r\n.\r\n"
    outcomes = await deliver(hop(sink), mail=to(A, B, body=body))

    assert kinds(outcomes) == {A: "Delivered 250", B: "Delivered 250"}
    (taken,) = sink.taken
    assert (taken.sender, taken.recipients, taken.body) == ("me@here.example", (A, B), body)
    await eventually(lambda: sink.commands[-1] == "QUIT")
    assert [command.partition(" ")[0] for command in sink.commands] == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]
    assert sink.commands[0] == "EHLO gateway.example"


@pytest.mark.parametrize("body", [b".\r\n", b"x" * 3_000_000 + b"\r\n.\r\n", b"\r\n.\r\n"], ids=["empty", "3 MB in a line", "blank line"])
async def test_bodies_of_every_size_arrive(sink: Sink, body: bytes) -> None:
    """An empty body, and one of many blocks, arrive as they are."""
    outcomes = await deliver(hop(sink), mail=to(A, body=body))

    assert kinds(outcomes) == {A: "Delivered 250"}
    assert sink.taken[0].body == body


async def test_the_null_sender_is_empty_brackets(sink: Sink) -> None:
    """A notice is sent from `<>`."""
    await deliver(hop(sink), mail=to(A, sender=""))

    assert sink.commands[1].startswith("MAIL FROM:<> ")


async def test_trap_02_a_refused_recipient_is_the_only_one_that_fails(sink: Sink) -> None:
    """Trap 2: a 5xx for one recipient fails that one only; a 4xx defers its own; the rest is delivered."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching=A)
    sink.answer("RCPT", "450 4.2.1 Busy", matching=B)
    outcomes = await deliver(hop(sink), mail=to(A, B, C))

    assert kinds(outcomes) == {A: "Failed 550", B: "Deferred 450", C: "Delivered 250"}
    assert sink.taken[0].recipients == (C,)
    assert str(outcomes[A].reply) == "550 5.1.1 No such user"
    assert outcomes[A].hop == f"127.0.0.1[127.0.0.1]:{sink.port}"


async def test_without_a_recipient_there_is_no_content(sink: Sink) -> None:
    """When every recipient is refused, DATA is not sent, or, where it was sent ahead and is answered 354, a lone dot follows (RFC 2920)."""
    sink.answer("RCPT", "550 5.1.1 No such user")

    assert kinds(await deliver(hop(sink))) == {A: "Failed 550", B: "Failed 550"}
    assert [(taken.recipients, taken.body) for taken in sink.taken] == ([((), b".\r\n")] if "DATA" in sink.commands else [])


async def test_without_a_sender_there_is_no_content(sink: Sink) -> None:
    """A next hop that refuses MAIL and wants the content all the same gets nothing at all: somebody might get an empty message."""
    sink.answer("MAIL", "550 5.1.8 No such sender")

    assert kinds(await deliver(hop(sink))) == {A: "Failed 550", B: "Failed 550"}
    await eventually(lambda: sink.open_sessions == 0)
    assert sink.taken == []


@pytest.mark.parametrize(
    ("phase", "answer", "expected"),
    [
        ("connect", "421 4.3.2 Restarting", "Deferred 421"),
        ("connect", "554 5.7.1 Blocked", "Deferred 554"),
        ("EHLO", "451 4.3.0 Later", "Deferred 451"),
        ("EHLO", "550 5.7.1 Bad name", "Deferred 550"),
        ("MAIL", "451 4.3.0 Later", "Deferred 451"),
        ("MAIL", "550 5.1.8 No such sender", "Failed 550"),
        ("MAIL", "530 5.7.0 Authentication required", "Deferred 530"),
        ("RCPT", "421 4.3.2 Closing", "Deferred 421"),
        ("RCPT", "552 Too many recipients", "Deferred 552"),
        ("RCPT", "552 5.2.2 Mailbox full", "Failed 552"),
        ("DATA", "451 4.3.0 Later", "Deferred 451"),
        ("DATA", "554 5.5.1 No", "Failed 554"),
        ("DATA", "250 2.0.0 What", "Deferred 250"),
        ("body", "452 4.3.1 Full", "Deferred 452"),
        ("body", "550 5.7.1 Spam", "Failed 550"),
        ("body", "354 What", "Deferred 354"),
    ],
)
async def test_each_answer_in_its_phase(sink: Sink, phase: str, answer: str, expected: str) -> None:
    """The table of outcomes, through a real session."""
    sink.answer(phase, answer)

    assert kinds(await deliver(hop(sink))) == {A: expected, B: expected}


@pytest.mark.parametrize("phase", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "body"])
@pytest.mark.parametrize("answer", [Hang(), Cut(), Cut(b"250-half a rep")], ids=["hang", "cut", "cut within the reply"])
async def test_trap_01_silence_and_loss_are_temporary(sink: Sink, phase: str, answer: Answer) -> None:
    """Trap 1: whatever a next hop does not say is temporary, after the end of data too."""
    sink.answer(phase, answer)
    outcomes = await deliver(hop(sink), timeouts=QUICK)

    assert kinds(outcomes) == {A: "Deferred 451", B: "Deferred 451"}
    assert all(isinstance(outcome, Deferred) and outcome.local for outcome in outcomes.values())
    assert outcomes[A].reply.enhanced == "4.4.2"


async def test_a_loss_keeps_what_was_refused_before(sink: Sink) -> None:
    """A recipient that was refused stays refused when the connection breaks afterwards."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching=A)
    sink.answer("DATA", Cut())

    assert kinds(await deliver(hop(sink))) == {A: "Failed 550", B: "Deferred 451"}


@pytest.mark.parametrize(
    "octets",
    [b"hello\r\n", b"99 x\r\n", b"250 x\n", b"250-a\r\n251 b\r\n", b"250 " + b"x" * 9000 + b"\r\n", b"250-x\r\n" * 101, b"2500 x\r\n"],
    ids=["no code", "two digits", "bare LF", "two codes", "long line", "many lines", "four digits"],
)
async def test_what_is_not_smtp_is_temporary(sink: Sink, octets: bytes) -> None:
    """Malformed and oversized replies defer, and the session ends there."""
    sink.answer("MAIL", Raw(octets))
    outcomes = await deliver(hop(sink))

    assert kinds(outcomes) == {A: "Deferred 451", B: "Deferred 451"}
    assert outcomes[A].reply.enhanced == "4.5.0"


async def test_an_answer_before_its_question_ends_the_session(sink: Sink) -> None:
    """A reply too many would answer the next command: no mail is taken for delivered on its account."""
    sink.answer("DATA", Raw(b"354 Go\r\n250 2.0.0 Taken\r\n"))
    outcomes = await deliver(hop(sink))

    assert kinds(outcomes) == {A: "Deferred 451", B: "Deferred 451"}
    assert sink.taken == []


async def test_a_late_421_is_read_as_the_refusal_that_it_is(sink: Sink) -> None:
    """A server that closes between two commands with 421 is quoted."""
    sink.answer("MAIL", Raw(b"250 Ok\r\n421 4.4.2 Too slow\r\n"))

    assert kinds(await deliver(hop(sink))) == {A: "Deferred 421", B: "Deferred 421"}


async def test_trap_01_a_refused_connection_is_temporary(sink: Sink) -> None:
    """Trap 1: nobody listens."""
    await sink.stop()
    outcomes = await deliver(hop(sink))

    assert kinds(outcomes) == {A: "Deferred 451", B: "Deferred 451"}
    assert outcomes[A].reply.enhanced == "4.4.1"


async def test_a_name_that_does_not_resolve_is_temporary() -> None:
    """A configured next hop may not exist yet."""
    outcomes = await deliver(Smarthost(host="nowhere.invalid"))

    assert kinds(outcomes) == {A: "Deferred 451", B: "Deferred 451"}
    assert outcomes[A].reply.enhanced == "4.4.4"


@pytest.mark.parametrize("phase", ["connect", "EHLO"])
async def test_trap_04_the_next_hop_is_tried_when_the_first_refuses_the_session(sink: Sink, phase: str) -> None:
    """Trap 4: several next hops mean failover."""
    async with Sink() as second:
        sink.answer(phase, "421 4.3.2 Restarting")
        outcomes = await deliver(hop(sink), hop(second))

        assert kinds(outcomes) == {A: "Delivered 250", B: "Delivered 250"}
        assert (len(sink.taken), len(second.taken)) == (0, 1)


async def test_the_next_hop_is_tried_when_the_first_is_away(sink: Sink) -> None:
    """A refused connection, and a name without an address, lead to the next hop."""
    async with Sink() as second:
        await sink.stop()

        assert kinds(await deliver(Smarthost(host="nowhere.invalid"), hop(sink), hop(second))) == {A: "Delivered 250", B: "Delivered 250"}


async def test_trap_04_a_message_goes_to_one_next_hop_only(sink: Sink) -> None:
    """Trap 4: never fan-out; once the mail has begun, the second hop is not asked."""
    async with Sink() as second:
        sink.answer("body", "451 4.3.0 Later")
        outcomes = await deliver(hop(sink), hop(second))

        assert kinds(outcomes) == {A: "Deferred 451", B: "Deferred 451"}
        assert second.sessions == 0


@pytest.mark.parametrize("answer", ["500 5.5.1 What", "502 5.5.1 Not here"])
async def test_helo_where_ehlo_is_unknown(sink: Sink, answer: str) -> None:
    """RFC 5321 section 3.2: an old server is greeted with HELO and gets no parameters."""
    sink.answer("EHLO", answer)

    assert kinds(await deliver(hop(sink))) == {A: "Delivered 250", B: "Delivered 250"}
    assert sink.commands[1:3] == ["HELO gateway.example", "MAIL FROM:<me@here.example>"]


async def test_parameters_are_sent_where_they_are_offered(sink: Sink) -> None:
    """SIZE, BODY=8BITMIME and SMTPUTF8 go out when offered and needed."""
    await deliver(hop(sink), mail=to("ü@x.example", smtputf8=True, body_8bit=True))

    assert sink.taken[0].parameters == f"SIZE={len(BODY) - 3} BODY=8BITMIME SMTPUTF8"
    assert sink.taken[0].recipients == ("ü@x.example",)


async def test_smtputf8_is_never_downgraded() -> None:
    """A message that needs SMTPUTF8 fails where it is not offered; one that only declared it goes out."""
    async with Sink(extensions=()) as plain:
        needs = await deliver(hop(plain), mail=to("ü@x.example", smtputf8=True))
        header = await deliver(hop(plain), mail=to(A, smtputf8=True, body="Subject: Grüße\r\n\r\nHi\r\n.\r\n".encode()))
        declared = await deliver(hop(plain), mail=to(A, smtputf8=True, body_8bit=True, body="Subject: Hi\r\n\r\nGrüße\r\n.\r\n".encode()))

        assert [str(outcome.reply)[:9] for outcome in (*needs.values(), *header.values())] == ["553 5.6.7"] * 2
        assert all(isinstance(outcome, Failed) for outcome in (*needs.values(), *header.values()))
        assert isinstance(declared[A], Delivered)
        assert plain.taken[0].parameters == ""


@pytest.mark.parametrize(
    "body",
    [
        b"a\nb\r\n.\r\n",
        b"a\rb\r\n.\r\n",
        b"a\r\n.\r\nMAIL FROM:<evil@x.example>\r\n.\r\n",
        b".\r\nQUIT\r\n.\r\n",
        b"no end\r\n",
        b"a\n.\n\r\n.\r\n",
        b"a\r\n.\n\r\n.\r\n",
        b"a\n\r.\r\n.\r\n",
        b"",
    ],
)
async def test_what_is_not_in_wire_form_never_leaves(sink: Sink, body: bytes) -> None:
    """Outbound smuggling: a body with a bare CR or LF, or a second end of data, is deferred and not one octet of it is sent."""
    assert kinds(await deliver(hop(sink), mail=to(A, body=body))) == {A: "Deferred 451"}
    assert sink.sessions == 0


@pytest.mark.parametrize("address", ["a@x.example>\r\nRCPT TO:<b@x.example", "a@x.example> SIZE=1", "a b@x.example", "a\x00@x.example", ""])
async def test_an_address_that_ends_early_never_leaves(sink: Sink, address: str) -> None:
    """Such a recipient is deferred; the others get their mail."""
    outcomes = await deliver(hop(sink), mail=to(address, B))

    assert kinds(outcomes) == {address: "Deferred 451", B: "Delivered 250"}
    assert sink.taken[0].recipients == (B,)


async def test_quoted_and_bare_local_parts_leave(sink: Sink) -> None:
    """What RFC 5321 allows between the brackets is sent as it is."""
    mail = to('"a b>"@x.example', "postmaster", "a@[192.0.2.1]")

    assert set(kinds(await deliver(hop(sink), mail=mail)).values()) == {"Delivered 250"}


async def test_many_recipients_go_in_transactions_that_every_server_takes(sink: Sink) -> None:
    """RFC 5321 section 4.5.3.1.8: a hundred at a time, in one session."""
    everyone = [f"{number}@x.example" for number in range(250)]
    outcomes = await deliver(hop(sink), mail=to(*everyone))

    assert set(kinds(outcomes).values()) == {"Delivered 250"}
    assert [len(taken.recipients) for taken in sink.taken] == [100, 100, 50]
    assert [address for taken in sink.taken for address in taken.recipients] == everyone
    assert sink.sessions == 1


async def test_a_next_hop_that_dawdles_does_not_hold_a_message_for_hours(sink: Sink) -> None:
    """It answers each RCPT in time, and all of them together take too long: what it has said by name counts, the rest is tried again."""
    everyone = [f"{number}@x.example" for number in range(100)]
    sink.answer("RCPT", Drip(reply="250 2.1.5 Ok", pause=0.01))
    sink.answer("RCPT", "550 5.1.1 No such user", matching="<0@")
    outcomes = kinds(await deliver(hop(sink), mail=to(*everyone), timeouts=replace(QUICK, rcpt=0.5)))

    assert outcomes.pop("0@x.example") == "Failed 550"
    assert set(outcomes.values()) == {"Deferred 451"}
    assert sink.taken == []


async def test_recipients_that_were_too_many_go_with_the_next_transaction(sink: Sink) -> None:
    """A next hop that takes one at a time (452) gets all of them in one attempt, and nobody twice."""
    everyone = [f"{number}@x.example" for number in range(3)]
    sink.answer("RCPT", "452 4.5.3 Too many recipients", matching="1@x", times=1)
    sink.answer("RCPT", "452 4.5.3 Too many recipients", matching="2@x", times=2)
    outcomes = await deliver(hop(sink), mail=to(*everyone))

    assert set(kinds(outcomes).values()) == {"Delivered 250"}
    assert [taken.recipients for taken in sink.taken] == [(address,) for address in everyone]


async def test_recipients_are_not_tried_one_by_one_where_nobody_answers(sink: Sink) -> None:
    """When no session comes about for the first hundred, the others come to the same without a connection each."""
    await sink.stop()
    outcomes = await deliver(hop(sink), mail=to(*(f"{number}@x.example" for number in range(250))))

    assert len(outcomes) == 250
    assert {type(outcome) for outcome in outcomes.values()} == {Deferred}
    assert len({id(outcome) for outcome in outcomes.values()}) == 1


async def test_a_flood_of_replies_is_bounded(sink: Sink) -> None:
    """A server that never stops talking is left before it fills the memory."""
    sink.answer("MAIL", Raw(b"250-" + b"x" * 5_000_000))

    assert kinds(await deliver(hop(sink))) == {A: "Deferred 451", B: "Deferred 451"}


async def test_a_next_hop_that_takes_no_data_is_left(sink: Sink) -> None:
    """When no block of the body is taken for its time, the rest is not waited for."""
    sink.answer("DATA", Stall("354 Go ahead"))
    outcomes = await deliver(hop(sink), mail=to(A, body=b"x" * 30_000_000 + b"\r\n.\r\n"), timeouts=replace(PATIENT, block=0.2))

    assert str(outcomes[A].reply) == "451 4.4.2 The next hop took no data for 0.2 s"


async def test_a_refusal_in_the_middle_of_the_body_is_heard(sink: Sink) -> None:
    """A server that refuses before it has read everything is quoted."""
    sink.answer("DATA", Raw(b"354 Go ahead\r\n552 5.3.4 Too big\r\n"))

    assert kinds(await deliver(hop(sink))) == {A: "Failed 552", B: "Failed 552"}


async def test_an_interrupted_delivery_closes_its_connection(sink: Sink) -> None:
    """A cancelled attempt leaves no session behind."""
    sink.answer("body", Hang())
    attempt = asyncio.create_task(deliver(hop(sink)))
    await eventually(lambda: "DATA" in sink.commands)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt

    await sink.stop()
    assert sink.open_sessions == 0
