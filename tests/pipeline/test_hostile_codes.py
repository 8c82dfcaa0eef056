"""Every reply code in every phase, through the whole of dispatch: what it makes of each recipient, and that nothing is lost or doubled.

The expectations are the RFCs' and not the code's. RFC 5321 section 4.2.1: the first digit decides, whatever the others are; section
4.3.2: what goes on after a phase is 220, 250 and 354. A 5yz is final for the mail (section 4.2.1), with these exceptions, each temporary
because it does not speak about the mail: anything before MAIL, what is said of credentials (RFC 4954 section 6, RFC 3207 section 4: other
settings are asked for), and 552 at RCPT (RFC 5321 section 4.5.3.1.10: too many recipients).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import HopTls
from tests.pipeline.test_delivery_tls import server_context
from tests.support.dispatching import config, working
from tests.support.hostile import Fate, Instead, Script, fate, unforeseen
from tests.support.sink import EXTENSIONS, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from tests.support.dispatching import World

    Logs = list[MutableMapping[str, Any]]

A, B, C = "a@x.example", "b@x.example", "c@x.example"
POSITIVE = (200, 211, 214, 220, 221, 235, 250, 251, 252, 259, 290, 299)
INTERMEDIATE = (300, 334, 350, 354, 399)
TRANSIENT = (400, 421, 430, 431, 432, 450, 451, 452, 453, 454, 455, 458, 459, 471, 499)
FINAL = (
    *(500, 501, 502, 503, 504, 510, 511, 512, 517, 521, 523, 530, 531, 533, 534, 535, 538, 541),
    *(550, 551, 552, 553, 554, 555, 556, 557, 571, 579, 590, 599),
)
CREDENTIALS = (530, 534, 535, 538)
CODES = (*POSITIVE, *INTERMEDIATE, *TRANSIENT, *FINAL)
"""RFC 5321, 4954, 3207, 7504, 7505, those that servers use without one (541, 571, 579, 590), and codes that nobody has defined."""


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What was logged."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture(params=[False, True], ids=["one by one", "pipelined"])
def pipelining(request: pytest.FixtureRequest) -> bool:
    """Whether the next hop offers PIPELINING."""
    return bool(request.param)


def goes_on(phase: str, code: int) -> bool:
    """Tell whether the message is delivered when everything else is answered well."""
    if phase in {"connect", "DATA"}:
        return code == {"connect": 220, "DATA": 354}[phase]
    return code in POSITIVE or (phase == "EHLO" and code in {500, 502})  # RFC 5321 section 3.2: then HELO


def expected(phase: str, code: int) -> str:
    """Return what *code* in *phase* makes of a recipient in one attempt."""
    if goes_on(phase, code):
        return "delivered"
    final = code in FINAL and code not in CREDENTIALS and phase in {"MAIL", "RCPT", "DATA", "body"}
    return "bounced" if final and (phase, code) != ("RCPT", 552) else "deferred"


def one(outcome: str) -> Fate:
    """Return the fate of a message to one recipient: one copy, or one notice, in the end."""
    return Fate({A: outcome}, {A: int(outcome != "bounced")}, int(outcome == "bounced"), {}, [])


@pytest.mark.parametrize("phase", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "body"])
async def test_every_code_in_every_phase(logs: Logs, phase: str, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """Each code comes to what the RFCs say; the mail arrives once or is returned once, and 421 is obeyed."""
    scripts = {code: Script(((phase, f"{code} Scripted", ""),), pipelining) for code in CODES}
    fates = dict(zip(CODES, await asyncio.gather(*(fate(script, logs) for script in scripts.values())), strict=True))

    assert fates == {code: one(expected(phase, code)) for code in CODES}
    assert all(str(code) == fates[code].replies[A][:3] for code in CODES if expected(phase, code) != "delivered")
    assert [line for line in fates[421].transcripts[0] if line.startswith("RSET")] == []
    assert len(fates[421].transcripts) == 2
    assert unforeseen(logs) == []


async def test_every_code_to_helo(logs: Logs) -> None:
    """A server from before ESMTP is judged alike, and nothing is final before the mail was spoken of."""
    scripts = [Script((("EHLO", "500 What", ""), ("HELO", f"{code} Scripted", ""))) for code in CODES]
    fates = await asyncio.gather(*(fate(script, logs) for script in scripts))

    assert [found.first[A] for found in fates] == ["delivered" if code in POSITIVE else "deferred" for code in CODES]
    assert unforeseen(logs) == []


@pytest.mark.parametrize("tls", [HopTls.OPPORTUNISTIC, HopTls.REQUIRED])
async def test_every_code_to_starttls(logs: Logs, tls: HopTls) -> None:
    """RFC 3207 section 4: only 220 begins TLS; what follows otherwise depends on whether TLS is demanded, and nothing is final."""
    context = server_context()
    scripts = [Script((("STARTTLS", f"{code} Scripted", ""),), tls=tls, context=context) for code in CODES]
    fates = await asyncio.gather(*(fate(script, logs) for script in scripts))

    delivered = [code == 220 or tls is HopTls.OPPORTUNISTIC for code in CODES]
    assert [found.first[A] == "delivered" for found in fates] == delivered
    assert [found.copies[A] for found in fates] == [1] * len(CODES)
    assert unforeseen(logs) == []


@pytest.mark.parametrize(
    ("phase", "reply", "outcome"),
    [
        ("RCPT", "552", "deferred"),
        ("RCPT", "552 5.5.3 Too many", "deferred"),
        ("RCPT", "552 5.2.2 Mailbox full", "bounced"),
        ("RCPT", "552 4.2.2 Mailbox full", "deferred"),
        ("RCPT", "552 5.2.22222 Mailbox full", "deferred"),
        ("RCPT", "450 5.1.1 Gone, or not", "deferred"),
        ("RCPT", "550 4.2.1 Busy, or not", "bounced"),
        ("RCPT", "550 2.1.5 Ok", "bounced"),
        ("RCPT", "550 5.1 Short", "bounced"),
        ("RCPT", "550 5.1.1.1 Long", "bounced"),
        ("RCPT", "550 5.1.99999 High", "bounced"),
        ("RCPT", "550 X.1.1 Odd", "bounced"),
        ("RCPT", "550", "bounced"),
        ("RCPT", "450", "deferred"),
        ("RCPT", "250 5.1.1 Ok", "delivered"),
        ("RCPT", "250", "delivered"),
        ("body", "250 5.7.1 Ok", "delivered"),
        ("body", "250", "delivered"),
        ("body", "451 2.0.0 Ok", "deferred"),
        ("body", "554 2.0.0 Ok", "bounced"),
    ],
)
async def test_an_enhanced_code_never_outvotes_the_code(logs: Logs, phase: str, reply: str, outcome: str) -> None:
    """RFC 2034 section 4: the class of an enhanced code is the reply's; one of another class, or malformed, is text."""
    assert await fate(Script(((phase, reply, ""),)), logs) == one(outcome)
    assert unforeseen(logs) == []


async def test_every_recipient_has_a_code_of_its_own(logs: Logs, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """In one transaction each recipient gets another code, and each has its own outcome; 421 would end it for all."""
    codes = [code for code in CODES if code != 421]
    recipients = {code: f"to-{code}@x.example" for code in codes}
    answers = tuple(("RCPT", f"{code} Scripted", f"to-{code}@") for code in codes)
    found = await fate(Script(answers, pipelining, recipients=tuple(recipients.values())), logs)

    assert found.first == {recipients[code]: expected("RCPT", code) for code in codes}
    assert found.copies == {recipients[code]: int(expected("RCPT", code) != "bounced") for code in codes}
    assert found.notices == 1
    assert unforeseen(logs) == []


@pytest.mark.parametrize(("phase", "code", "outcome"), [("DATA", 451, "deferred"), ("DATA", 554, "bounced"), ("body", 550, "bounced")])
async def test_a_refused_recipient_keeps_its_answer_whatever_comes_after(
    logs: Logs,
    phase: str,
    code: int,
    outcome: str,
    pipelining: bool,  # noqa: FBT001 a fixture
) -> None:
    """What was said to RCPT stands for its recipient; the others share what was said about the content."""
    answers = (("RCPT", "550 5.1.1 Gone", A), ("RCPT", "450 4.2.1 Busy", B), (phase, f"{code} Scripted", ""))
    found = await fate(Script(answers, pipelining, recipients=(A, B, C)), logs)

    assert found.first == {A: "bounced", B: "deferred", C: outcome}
    assert found.copies == {A: 0, B: 1, C: int(outcome == "deferred")}
    assert unforeseen(logs) == []


async def test_421_among_the_recipients_defers_those_that_were_not_refused(logs: Logs, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """RFC 5321 section 3.8: the server closes; who was refused before stays refused, and nobody else is."""
    answers = (("RCPT", "550 5.1.1 Gone", A), ("RCPT", "421 4.3.2 Closing", B))
    found = await fate(Script(answers, pipelining, recipients=(A, B, C)), logs)

    assert found.first == {A: "bounced", B: "deferred", C: "deferred"}
    assert found.copies == {A: 0, B: 1, C: 1}
    assert unforeseen(logs) == []


async def second_after(world: World, logs: Logs) -> MutableMapping[str, Any]:
    """Send one message more, and return the line of its delivery."""
    message_id = await world.put(C)
    await eventually(lambda: [line for line in logs if line["event"] == "delivered" and line["message_id"] == message_id])
    return next(line for line in logs if line["event"] == "delivered" and line["message_id"] == message_id)


@pytest.mark.parametrize("code", [250, 200, 299, 300, 354, 421, 450, 500, 503, 554])
async def test_every_answer_to_rset(logs: Logs, code: int) -> None:
    """RFC 5321 section 4.1.1.5: 250 goes on in the session; after anything else a fresh one is opened, and no attempt is lost by it."""
    async with Sink() as sink, working(config(Script(()).route(sink))) as world:
        sink.orderly = True
        sink.answer("RCPT", "550 5.1.1 Gone", matching=A)
        sink.answer("RSET", f"{code} Scripted")
        await world.put(A, sender="")
        await world.settled()
        line = await second_after(world, logs)

        assert line["attempts"] == 1
        assert sink.sessions == (1 if code in POSITIVE else 2)
        behind = sink.transcripts[0][sink.transcripts[0].index("RSET") + 1 :]
        assert [line[:4] for line in behind if line != "QUIT"] == (["MAIL", "RCPT", "DATA"] if code in POSITIVE else [])
    assert [taken.recipients for taken in sink.taken] == [(C,)]
    assert unforeseen(logs) == []


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA", "body"])
@pytest.mark.parametrize("code", [451, 554])
async def test_a_session_goes_on_after_a_refusal(logs: Logs, phase: str, code: int, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """A refused message costs no connection: the next one goes over the same session, and never into an open transaction."""
    async with Sink(extensions=(*EXTENSIONS, "PIPELINING") if pipelining else EXTENSIONS) as sink:
        sink.orderly = True
        sink.answer(phase, f"{code} Scripted", times=1)
        async with working(config(Script(()).route(sink))) as world:
            await world.put(A, sender="")
            await eventually(lambda: world.counts.seen)
            line = await second_after(world, logs)

        assert (line["attempts"], sink.sessions) == (1, 1)
    assert [taken.recipients for taken in sink.taken] == [(C,)]


async def test_what_is_said_to_quit_is_of_no_account(logs: Logs) -> None:
    """The mail is safe by then."""
    scripts = [Script((("QUIT", f"{code} Scripted", ""),)) for code in CODES]
    scripts += [Script((("QUIT", Instead(octets), ""),)) for octets in (b"\0" * 100_000, b"250-x\r\n" * 10_000, b"")]
    fates = await asyncio.gather(*(fate(script, logs) for script in scripts))

    assert all(found == one("delivered") for found in fates)
    assert unforeseen(logs) == []
