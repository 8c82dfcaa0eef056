"""Next hops that break off, drip, flood, hang, or answer out of step: each act in each phase, through the whole of dispatch.

Whatever they do is temporary (RFC 5321 section 4.5.4.1: without an answer nothing is known), costs no more than the patience for the
phase, and loses nothing. Only a message that the server believes to have taken while the client could not know it is sent twice
(RFC 1047).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import HopTls
from smtp_gateway.delivery.replies import MAX_TEXT
from smtp_gateway.routing.circuit import MISSES
from tests.pipeline.test_delivery_tls import server_context
from tests.support.dispatching import AROUND, LIFETIME, config, over, working
from tests.support.hostile import PATIENT, QUICK, RETRY, Drip, Endless, Fate, Gone, Instead, Mute, Reset, Script, back, fate, unforeseen
from tests.support.sink import EXTENSIONS, Cut, Hang, Raw, Sink, Stall
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from tests.support.sink import Answer

    Logs = list[MutableMapping[str, Any]]

A, B, C = "a@x.example", "b@x.example", "c@x.example"
PHASES = ("connect", "EHLO", "MAIL", "RCPT", "DATA", "body")
OK = {"connect": "220 Hello", "EHLO": "250 Hello", "MAIL": "250 Ok", "RCPT": "250 Ok", "DATA": "354 Go", "body": "250 Taken"}
"""A good answer to each phase."""
ONCE = Fate({A: "deferred"}, {A: 1}, 0, {}, [])
"""Put off at first, and delivered once in the end."""
WELL = Fate({A: "delivered"}, {A: 1}, 0, {}, [])

BREAKS: dict[str, Answer] = {
    "closes": Cut(),
    "closes within the code": Cut(b"2"),
    "closes within the text": Cut(b"250 2.0.0 O"),
    "closes within CRLF": Cut(b"250 2.0.0 Ok\r"),
    "closes within the lines": Cut(b"250-first\r\n250-second\r\n"),
    "resets": Reset(),
    "resets within the reply": Reset(b"250-fir"),
}
SILENCES: dict[str, Answer] = {
    "says nothing": Hang(),
    "says half": Mute(b"250 2.0.0 O"),
    "says no last line": Mute(b"250-first\r\n250-second\r\n"),
    "drips a line": Endless(b"2", pause=0.02),
    "drips a reply": Drip(b"250-" + b"x" * 8000, pause=0.02),
    "drips lines": Endless(b"250-x\r\n", pause=0.02),
}
FLOODS: dict[str, Answer] = {
    "an endless line": Endless(b"250-" + b"x" * 100_000),
    "endless lines": Endless(b"250-x\r\n" * 10_000),
    "endless zeros": Endless(b"\0" * 100_000),
    "endless line ends": Endless(b"\r\n" * 50_000),
}
NONSENSE: dict[str, Answer] = {
    "another protocol": Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "TLS": Raw(b"\x15\x03\x03\x00\x02\x02\x50" * 20 + b"\r\n"),
    "no CR": Raw(b"250 Ok\n"),
    "no digits": Raw(b"OK\r\n"),
    "an empty line": Raw(b"\r\n"),
    "a code too low": Raw(b"150 x\r\n"),
    "a code too high": Raw(b"650 x\r\n"),
    "two codes in one reply": Raw(b"250-a\r\n550 b\r\n"),
    "digits of another script": Raw("٢٥٠ x\r\n".encode()),
}


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What was logged."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture(params=[False, True], ids=["one by one", "pipelined"])
def pipelining(request: pytest.FixtureRequest) -> bool:
    """Whether the next hop offers PIPELINING."""
    return bool(request.param)


async def everywhere(answer: Answer, logs: Logs, script: Script) -> dict[str, Fate]:
    """Return the fate of one message under *answer* in each phase."""
    fates = await asyncio.gather(*(fate(replace(script, answers=((phase, answer, ""),)), logs) for phase in PHASES))
    return dict(zip(PHASES, fates, strict=True))


@pytest.mark.parametrize("act", BREAKS)
async def test_a_connection_that_breaks_in_any_phase(logs: Logs, act: str, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """However much of a reply came before: the mail is put off, and arrives once."""
    assert await everywhere(BREAKS[act], logs, Script((), pipelining)) == dict.fromkeys(PHASES, ONCE)
    assert unforeseen(logs) == []


@pytest.mark.parametrize("act", SILENCES)
async def test_no_answer_in_any_phase(logs: Logs, act: str, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """The patience is for the whole reply: octets that go on coming do not renew it (RFC 5321 section 4.5.3.2)."""
    fates = await everywhere(SILENCES[act], logs, Script((), pipelining, timeouts=QUICK))

    assert fates == dict.fromkeys(PHASES, ONCE)
    assert {found.replies[A] for found in fates.values()} == {"451 4.4.2 No answer within 0.3 s"}
    assert unforeseen(logs) == []


@pytest.mark.parametrize("act", FLOODS)
async def test_a_flood_in_any_phase(logs: Logs, act: str, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """A server that never stops talking is left as soon as no reply can be so long, without waiting for the patience to end."""
    fates = await everywhere(FLOODS[act], logs, Script((), pipelining, timeouts=PATIENT))

    assert fates == dict.fromkeys(PHASES, ONCE)
    assert all(found.replies[A].startswith("451 4.5.0 ") for found in fates.values())
    assert unforeseen(logs) == []


@pytest.mark.parametrize("act", NONSENSE)
async def test_nonsense_in_any_phase(logs: Logs, act: str, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """What is not SMTP ends the session, and says nothing about the mail."""
    fates = await everywhere(NONSENSE[act], logs, Script((), pipelining))

    assert fates == dict.fromkeys(PHASES, ONCE)
    assert all(found.replies[A].startswith("451 4.5.0 ") for found in fates.values())
    assert unforeseen(logs) == []


async def test_replies_that_drip_in_time_are_replies(logs: Logs, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """Each octet of each reply in a segment of its own: a slow server is not a bad one."""
    answers: dict[str, Answer] = {phase: Drip(reply=reply) for phase, reply in OK.items()}
    if pipelining:
        answers["EHLO"] = Drip(b"250-Hello\r\n250 PIPELINING\r\n", "250 Hello")
    found = await fate(Script(tuple((phase, answer, "") for phase, answer in answers.items()), pipelining, recipients=(A, B)), logs)

    assert found == Fate({A: "delivered", B: "delivered"}, {A: 1, B: 1}, 0, {}, [])


async def test_the_last_word_before_the_end_counts(logs: Logs, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """A 250 to the end of data is a delivery although the connection ends with it; a second one would be a duplicate."""
    script = Script((("body", Gone(b"250 2.0.0 Taken\r\n", "250 2.0.0 Taken"), ""),), pipelining)

    assert await fate(script, logs) == WELL
    assert unforeseen(logs) == []


@pytest.mark.parametrize(
    "answer",
    [Gone(reply="250 Taken"), Reset(reply="250 Taken"), Instead(reply="250 Taken"), Instead(b"250 Tak", "250 Taken")],
    ids=["closes", "resets", "says nothing", "says half"],
)
async def test_a_lost_250_costs_a_copy_and_never_the_mail(logs: Logs, answer: Answer, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """RFC 1047: the server has it and could not say so; it gets it again, in the next attempt and not within this one."""
    found = await fate(Script((("body", answer, ""),), pipelining, timeouts=QUICK), logs)

    assert found == Fate({A: "deferred"}, {A: 2}, 0, {}, [])
    assert unforeseen(logs) == []


@pytest.mark.parametrize("tls", [HopTls.OPPORTUNISTIC, HopTls.REQUIRED])
@pytest.mark.parametrize(
    "answer",
    [
        *(Cut(), Reset(), Hang(), Endless(b"x" * 100_000), Raw(b"hello\r\n"), Cut(b"220 Go\r\n"), Reset(b"220 Go\r\n")),
        *(Instead(b"220 Go\r\n"), Instead(b"220 Go\r\n" + b"garbage" * 1000), Instead(b"220 Go\r\n220 Go\r\n"), Stall("220 Go")),
        *(Endless(b"220 Go\r\n"), Instead(b"220 Go\r\n\x16\x03\x03\xff\xff"), Instead(b"220 Go\r\n\x15\x03\x03\x00\x02\x02\x28")),
    ],
    ids=[
        *("closes", "resets", "says nothing", "floods", "nonsense", "closes after 220", "resets after 220"),
        *("no handshake", "garbage", "220 twice", "reads nothing", "220 for ever", "half a record", "alert"),
    ],
)
async def test_whatever_happens_to_starttls(logs: Logs, answer: Answer, tls: HopTls) -> None:
    """A handshake that fails, in whatever way, ends in the clear where that is allowed, and waits elsewhere (RFC 7435 section 3)."""
    found = await fate(Script((("STARTTLS", answer, ""),), tls=tls, context=server_context(), timeouts=QUICK), logs)

    assert found == (WELL if tls is HopTls.OPPORTUNISTIC else ONCE)
    assert unforeseen(logs) == []


@pytest.mark.parametrize(
    "act",
    [
        *(Raw(b"421 4.4.2 Idle too long\r\n"), Cut(), Cut(b"421 4.3.2 Bye\r\n"), Reset(), Raw(b"250 Unasked\r\n"), Raw(b"hello\r\n")),
        *(Raw(b"2"), Endless(b"250-x\r\n" * 1000), Hang(), Stall("")),
    ],
    ids=["421", "closes", "421 and closes", "resets", "250", "nonsense", "half a code", "floods", "hangs", "reads no more"],
)
async def test_whatever_an_idle_session_does_costs_no_attempt(logs: Logs, act: Answer, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """Between two messages a server may do what it likes to the session: the next message arrives in its first attempt, once."""
    async with Sink(extensions=(*EXTENSIONS, "PIPELINING") if pipelining else EXTENSIONS) as sink:
        sink.answer("idle", act, times=1)
        async with working(config(over(sink)), around=replace(AROUND, timeouts=QUICK)) as world:
            await world.put(A)
            await world.settled()
            await world.put(B)
            await world.settled()

        assert [taken.recipients for taken in sink.taken] == [(A,), (B,)]
        assert sink.sessions == 2
    assert [line["attempts"] for line in logs if line["event"] == "delivered"] == [1, 1]
    assert unforeseen(logs) == []


OUT_OF_STEP: dict[str, tuple[str, str, str, str, str]] = {
    "merged": ("delivered", "", "", "", "250 M|250 A|250 B|354 Go"),
    "two and two": ("delivered", "", "250 M|250 A", "", "250 B|354 Go"),
    "with the next": ("delivered", "250 M|250 A", "", "250 B|354 Go", ""),
    "one too few": ("deferred", "250 M", "", "250 B", "354 Go"),
    "two too few": ("deferred", "", "", "250 B", "354 Go"),
    "one too many at first": ("deferred", "250 M|250 M", "250 A", "250 B", "354 Go"),
    "one too many at the end": ("deferred", "250 M", "250 A", "250 B", "354 Go|250 Taken"),
    "each twice": ("deferred", "250 M|250 M", "250 A|250 A", "250 B|250 B", "354 Go|354 Go"),
    "everything before it was asked": ("deferred", "250 M|250 A|250 B|354 Go|250 Taken", "", "", ""),
    "354 for all": ("deferred", "354 Go", "354 Go", "354 Go", "354 Go"),
}
"""What two recipients come to in one attempt, and what is sent when MAIL, RCPT for each and DATA arrive."""


@pytest.mark.parametrize("violation", OUT_OF_STEP)
async def test_pipelined_replies_out_of_step(logs: Logs, violation: str) -> None:
    """Replies that arrive together or cut anywhere are the same replies (RFC 2920 section 3.2); one too few or too many is temporary."""
    outcome, *sent = OUT_OF_STEP[violation]
    octets = ["".join(f"{line}\r\n" for line in text.split("|") if line).encode() for text in sent]
    believed = ("250 M", "250 A", "250 B", "354 Go")
    phases = (("MAIL", ""), ("RCPT", A), ("RCPT", B), ("DATA", ""))
    answers = tuple(
        (phase, Instead(*what), matching) for (phase, matching), what in zip(phases, zip(octets, believed, strict=True), strict=True)
    )
    found = await fate(Script(answers, pipelining=True, timeouts=QUICK, recipients=(A, B)), logs)

    assert found == Fate({A: outcome, B: outcome}, {A: 1, B: 1}, 0, {}, [])
    assert unforeseen(logs) == []


@pytest.mark.parametrize("code", [300, 334, 350, 353, 355, 399])
async def test_a_session_that_may_want_content_is_not_used_again(logs: Logs, code: int, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """3yz says that more is expected (RFC 5321 section 4.2.1): what is not 354 is left, or the next commands would be content."""
    async with Sink(extensions=(*EXTENSIONS, "PIPELINING") if pipelining else EXTENSIONS) as sink:
        sink.answer("DATA", Instead(f"{code} Go\r\n".encode(), "354 Go"), times=1)
        async with working(config(over(sink))) as world:
            await world.put(A, sender="")
            await world.deferred()
            await world.put(B)
            await eventually(lambda: [taken.recipients for taken in sink.taken] == [(B,)], within=2)

        assert (sink.sessions, [line for line in sink.transcripts[0] if line == "RSET"]) == (2, [])
    assert unforeseen(logs) == []


REFUSAL, STRAY = "550 5.1.1 Gone", "554 5.7.1 Stray"


@pytest.mark.parametrize(
    ("phase", "sent"),
    [("MAIL", f"250 Ok|{STRAY}"), ("MAIL", f"250 Ok|{STRAY}|{STRAY}"), ("RCPT", f"250 Ok|{STRAY}"), ("EHLO", f"250 Ok|{STRAY}")],
)
async def test_a_refusal_of_nothing_refuses_nobody(logs: Logs, phase: str, sent: str) -> None:
    """A 5yz that comes before its command is sent is not about it: who was not asked for is not returned."""
    octets = "".join(f"{line}\r\n" for line in sent.split("|")).encode()
    found = await fate(Script(((phase, Instead(octets, "250 Ok"), ""),), recipients=(A, B)), logs)

    assert found == Fate({A: "deferred", B: "deferred"}, {A: 1, B: 1}, 0, {}, [])
    assert unforeseen(logs) == []


@pytest.mark.parametrize("sent", [("250 M|250 M", REFUSAL, "250 B", "354 Go"), ("250 M", f"{REFUSAL}|{REFUSAL}", "250 B", "354 Go")])
async def test_pipelined_refusals_out_of_step_return_nothing(logs: Logs, sent: tuple[str, ...]) -> None:
    """When there are more replies than commands, nobody knows whom a refusal was about: everybody waits."""
    phases = (("MAIL", ""), ("RCPT", A), ("RCPT", B), ("DATA", ""))
    octets = ["".join(f"{line}\r\n" for line in text.split("|")).encode() for text in sent]
    answers = tuple(
        (phase, Instead(what, "354 Go" if phase == "DATA" else "250 Ok"), matching)
        for (phase, matching), what in zip(phases, octets, strict=True)
    )
    found = await fate(Script(answers, pipelining=True, recipients=(A, B)), logs)

    assert found == Fate({A: "deferred", B: "deferred"}, {A: 1, B: 1}, 0, {}, [])
    assert unforeseen(logs) == []


async def test_421_behind_the_refusals_changes_nothing(logs: Logs) -> None:
    """RFC 5321 section 3.8: a server may close at any time with 421; what it said before stands."""
    answers = (("RCPT", "550 5.1.1 Gone", A), ("RCPT", "450 4.2.1 Busy", B), ("DATA", Raw(b"554 5.5.1 No\r\n421 4.3.2 Bye\r\n"), ""))
    found = await fate(Script(answers, pipelining=True, recipients=(A, B)), logs)

    assert found == Fate({A: "bounced", B: "deferred"}, {A: 0, B: 1}, 1, {}, [])
    assert unforeseen(logs) == []


async def test_a_server_that_reads_nothing_is_left(logs: Logs, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """A body that is not taken waits for a block's time; whoever takes an octet a second does not hold the place for ever."""
    async with Sink(extensions=(*EXTENSIONS, "PIPELINING") if pipelining else EXTENSIONS) as sink:
        sink.answer("DATA", Stall("354 Go"), times=1)
        async with working(config(over(sink)), around=replace(AROUND, timeouts=QUICK)) as world:
            await world.put(A, body=b"x" * 20_000_000 + b"\r\n.\r\n")
            await world.deferred()
            world.later(RETRY)
            await world.settled()

    assert [line["reply"] for line in logs if line["event"] == "deferred"] == ["451 4.4.2 The next hop took no data for 0.3 s"]
    assert [taken.recipients for taken in sink.taken] == [(A,)]
    assert unforeseen(logs) == []


@pytest.mark.parametrize("reply", ["552 5.3.4 Too big", "451 4.3.1 Full", "421 4.3.2 Closing"])
async def test_a_refusal_before_the_end_of_the_content(logs: Logs, reply: str, pipelining: bool) -> None:  # noqa: FBT001 a fixture
    """A server that knows enough says so while the content is on its way; it is quoted, and its answer counts."""
    script = Script((("DATA", Raw(f"354 Go\r\n{reply}\r\n".encode()), ""),), pipelining)
    found = await fate(script, logs)

    assert found.first == {A: "bounced" if reply.startswith("5") else "deferred"}
    assert found.replies == {A: reply}
    assert unforeseen(logs) == []


async def test_long_replies_are_not_kept_whole(logs: Logs) -> None:
    """What a server says is kept with each message and quoted in logs and notices: it must not be what fills memory and disk."""
    text = "451-" + "\r\n451-".join(["x" * 8000] * 90)
    found = await fate(Script((("body", Raw(f"{text}\r\n451 End\r\n".encode()), ""),)), logs)

    assert found == ONCE
    assert len(found.replies[A]) <= len("451 ") + MAX_TEXT


@pytest.mark.parametrize(
    "text",
    [
        *(
            "x" * 8000,
            "x " * 4000,
            "\t",
            " ",
            "5.1.1",
            "\N{NEXT LINE}Bcc: evil@x.example",
            "\N{LINE SEPARATOR}.",
            "\0\x07\x1b[2J",
            "ü" * 500,
        ),
        *("a\r\n550-\r\n550-.\r\n550-.\r\n550 From: evil@x.example", "=?utf-8?q?=0D=0A?=", "--=boundary--", "\udcff\udcfe"),
    ],
    ids=["long", "long words", "tab", "space", "code alone", "NEL", "LS", "controls", "UTF-8", "lines", "encoded", "boundary", "not UTF-8"],
)
async def test_whatever_a_refusal_says_the_notice_is_proper_mail(text: str) -> None:
    """The text of a reply is the server's: it is quoted in the notice, and cannot become a header, a part, or a line that is too long."""
    script = Script((("RCPT", Raw(b"550-" + text.encode("utf-8", "surrogateescape") + b"\r\n550 End\r\n"), ""),))
    async with script.sink() as sink, Sink() as home, working(config(back(home), script.route(sink))) as world:
        await world.put(A)
        await world.settled()

    (notice,) = home.taken
    mail = message_from_bytes(notice.content, policy=policy.default)
    assert [part.get_content_type() for part in mail.iter_parts()][:2] == ["text/plain", "message/delivery-status"]
    assert all(part.defects == [] for part in mail.walk())
    assert mail["Bcc"] is None
    assert mail["From"].addresses[0].domain == "gateway.example"
    assert max(map(len, notice.body.split(b"\r\n"))) <= 998  # RFC 5322 section 2.1.1


async def test_a_hostile_destination_costs_others_nothing(logs: Logs) -> None:
    """While one next hop hangs, floods and drips, mail for another arrives; and mail for the first is returned when its time is over."""
    async with Sink() as sink, Sink() as bad:
        for phase, act in (("connect", Hang()), ("EHLO", Endless(b"250-x\r\n", 0.02)), ("MAIL", Endless(b"\0" * 100_000)), ("body", Cut())):
            bad.answer(phase, act, times=2)
        bad.answer("RCPT", "450 4.2.1 Never")
        routes = (over(bad, "bad", ("bad.example",)), over(sink))
        async with working(config(*routes), around=replace(AROUND, timeouts=QUICK)) as world:
            for _ in range(3 * MISSES):
                await world.put("a@bad.example", sender="")
            await world.put(A)
            await eventually(lambda: [taken.recipients for taken in sink.taken] == [(A,)])
            await eventually(lambda: sum(log["event"] == "deferred" for log in logs) == 3 * MISSES)
            world.later(LIFETIME)
            await world.settled()

    assert sum(log["event"] == "bounced" for log in logs) == 3 * MISSES
    assert unforeseen(logs) == []
