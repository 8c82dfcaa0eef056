"""Random conversations with the real listener on loopback, and what RFC 5321 says about them (`tests.support.model`).

Valid and invalid commands in any order, one by one or several in a write, written in pieces; bodies by DATA and by BDAT. Every reply is the
model's and has an enhanced code (RFC 2034), and every message that was taken is the one that was sent; no reply is missing in docs/protocol.md. `make fuzz` does it for longer.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack
from dataclasses import replace
from ipaddress import IPv4Network
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from smtp_gateway.config.model import Limits, Listener, ListenerAuth, ListenerTls
from smtp_gateway.listener.protocol import REPLIES
from tests.support.conversation import Conversation
from tests.support.gateway import config, reception, trusting
from tests.support.model import RECIPIENTS, SIZE, Answered, Command, State, answered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gateway import Reception

EXAMPLES = int(os.environ.get("FUZZ", "60"))
"""Conversations: as many as CI has time for, or as `make fuzz` asks for."""
TLS = trusting()
LOOPBACK = IPv4Network("127.0.0.0/8")

SENDERS = [b"<a@example.com>", b"<>", b"<A.B+c@Example.ORG>", b'<"q q"@example.com>', b"<a@[192.0.2.1]>", b"<@hop.example:a@example.com>"]
MAIL_PARAMETERS = [b"", b" SIZE=100", b" BODY=8BITMIME", b" size=1 SMTPUTF8", b" RET=HDRS ENVID=Qq+2B1", b" AUTH=<>"]
BAD_MAIL = [(b" SIZE=4001", "552 5.3.4"), (b" SIZE=x", "501 5.5.4"), (b" BODY=BINARYMIME", "501 5.5.4"), (b" RET=SOME", "501 5.5.4")]
BAD_MAIL += [(b" ENVID=a+0D+0A", "501 5.5.4"), (b" NOTIFY=NEVER", "555 5.5.4"), (b" FLY=1", "555 5.5.4"), (b" SMTPUTF8=1", "501 5.5.4")]
RCPT_PARAMETERS = [b"", b" NOTIFY=NEVER", b" notify=success,delay ORCPT=rfc822;B+2Bx@example.net"]
BAD_RCPT = [(b" NOTIFY=NEVER,DELAY", "501 5.5.4"), (b" ORCPT=x", "501 5.5.4"), (b" RET=FULL", "555 5.5.4"), (b" SIZE=1", "555 5.5.4")]
BAD_PATHS = [b"<a@>", b"<a@@b>", b"a@example.com", b"<a b@example.com>", b"<a@b..c>", b"<\xff@example.com>", b"<a@[nowhere]>"]
LINES = [
    *((line, "unknown") for line in (b"FLY me\r\n", b"GET / HTTP/1.1\r\n", b"MAI\r\n", b"STARTTL\r\n")),
    *((line, "fault") for line in (b"NOOP\n", b"NOOP\x00\r\n", b"EHLO a\rb\r\n", b"MAIL FROM:<a@b.example>\n", b"x" * 20_000 + b"\r\n")),
]
PARTS = [
    b"Subject: x\r\n",
    b"\r\n",
    b".\r\n",
    b"..\r\n",
    b".",
    b"text",
    b"\x00\xff",
    b"x" * 1500,
    b"RSET\r\n",
    b"QUIT\r\n",
    b"\r\n.\r\nRSET\r\n",
]
ODD_PARTS = [*PARTS, b"\r", b"\n", b"\r\n.\n", b"\n.\r\n"]

contents = st.lists(st.sampled_from(PARTS), max_size=4).map(b"".join) | st.lists(st.sampled_from(ODD_PARTS), max_size=4).map(b"".join)
whole = st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map(b"".join)
# What DATA cannot carry as content is left to BDAT: a line end that is half of one, before a dot that is the end of data then.
lined = st.lists(st.sampled_from([*PARTS, b"a\nb\r\n", b"a\rb\r\n"]), max_size=4).map(b"".join)
mails = st.builds(lambda path, more: Command("MAIL", b" FROM:" + path + more), st.sampled_from(SENDERS), st.sampled_from(MAIL_PARAMETERS))
rcpts = st.builds(
    lambda path, more: Command("RCPT", b" TO:" + path + more),
    st.sampled_from([SENDERS[0], *SENDERS[2:5]]),
    st.sampled_from(RCPT_PARAMETERS),
)
wrong = st.one_of(
    st.sampled_from(BAD_MAIL).map(lambda bad: Command("MAIL", b" FROM:<a@example.com>" + bad[0], bad[1])),
    st.sampled_from(BAD_RCPT).map(lambda bad: Command("RCPT", b" TO:<a@example.com>" + bad[0], bad[1])),
    st.sampled_from(BAD_PATHS).map(lambda path: Command("MAIL", b" FROM:" + path, "553 5.1.3", early=True)),
    st.sampled_from(BAD_PATHS).map(lambda path: Command("RCPT", b" TO:" + path, "553 5.1.3", early=True)),
    st.just(Command("RCPT", b" TO:<>", "553 5.1.3")),
    st.sampled_from([b"", b" TO:<a@b.example>", b" <a@b.example>"]).map(lambda text: Command("MAIL", text, "501 5.5.4", early=True)),
    st.sampled_from(["EHLO", "HELO"]).map(lambda verb: Command(verb, b"", "501 5.5.4")),
    st.sampled_from(["RSET", "QUIT", "DATA"]).map(lambda verb: Command(verb, b" x", "501 5.5.4")),
    # By their numbers, because hypothesis spells out what it chooses from.
    st.integers(0, len(LINES) - 1).map(lambda number: Command("LINE", *LINES[number])),
)
simple = st.sampled_from(
    [
        Command("EHLO", b" client.example"),
        Command("EHLO", b" [192.0.2.1]"),
        Command("HELO", b" old.example"),
        Command("AUTH"),
        Command("RSET"),
    ]
    + [Command(verb, text) for verb, text in (("NOOP", b""), ("NOOP", b" x"), ("VRFY", b" a@b.example"), ("HELP", b""), ("EXPN", b" x"))]
)
bodies = lined.map(lambda content: Command("DATA", content=content)) | st.builds(
    lambda content, last: Command("BDAT", content=content, last=last), contents, st.booleans()
)
commands = st.one_of(mails, rcpts, rcpts, bodies, bodies, simple, wrong)
READY = [Command("EHLO", b" client.example"), Command("AUTH")]
ENDS = [*[Command("NOOP")] * 12, Command("QUIT")]
ENDS += [Command("BDAT", argument, "501 5.5.4") for argument in (b"", b" LAST", b" -1", b" 1 x", b" 99999999999999999999")]
MESSAGE = [Command("MAIL", b" FROM:<a@example.com>"), Command("RCPT", b" TO:<b@example.net>")]
DOCUMENTED = {f"{meant.reply.code} {meant.reply.enhanced}".strip() for meant in REPLIES}
_ENHANCED = re.compile(r"([245])\d\d[ -](?:\1\.\d{1,3}\.\d{1,3}) \S")


class Listening:
    """A listener for many conversations, in a loop of its own."""

    def __init__(self, runner: asyncio.Runner, way_in: Reception) -> None:
        """Talk to *way_in* in the loop of *runner*."""
        self.runner = runner
        self.way_in = way_in
        self.kept = 0

    async def connect(self, stack: AsyncExitStack, listener: str) -> Conversation:
        """Return a conversation behind its greeting."""
        port = self.way_in.listeners.ports[listener]
        talking = await stack.enter_async_context(Conversation.with_server(port, TLS if listener == "submissions" else None))
        await talking.expect("220 *")
        return talking

    async def exchange(self, talking: Conversation, expected: list[Answered], cuts: list[int]) -> None:
        """Send what is *expected* to be answered so in one write, cut as told, and compare."""
        octets = b"".join(one.octets for one in expected)
        edges = [0, *sorted({cut % (len(octets) + 1) for cut in cuts}), len(octets)]
        for begin, end in pairwise(edges):
            await talking.write(octets[begin:end])
            await asyncio.sleep(0)
        for one in expected:
            for wanted in one.replies:
                said = await talking.reply()
                assert said.startswith(wanted), (one.octets[:200], wanted, said)
                assert wanted in {"250", "354"} or _ENHANCED.match(said), said
                assert wanted in DOCUMENTED, f"{said} is not in docs/protocol.md"
            if one.message is not None:
                messages = self.way_in.spool.bodies
                # A text that begins with an empty line cannot be told from one that got it.
                assert (len(messages), messages[-1]) in {(self.kept + 1, one.message), (self.kept + 1, one.message.removeprefix(b"\r\n"))}
                self.kept += 1
        assert len(self.way_in.spool.messages) == self.kept
        if expected[-1].state.over:
            await talking.hung_up()


class Client(RuleBasedStateMachine):
    """One client, as random as it can be."""

    listening: ClassVar[Listening]

    def __init__(self) -> None:
        """Begin without a connection."""
        super().__init__()
        self.stack = AsyncExitStack()
        self.state = State(tls=False)
        self.talking: Conversation

    def _say(self, said: list[Command], cuts: list[int]) -> None:
        expected = []
        for command in said:
            if not self.state.over:
                expected.append(answered(self.state, command))
                self.state = expected[-1].state
        if expected:
            self.listening.runner.run(self.listening.exchange(self.talking, expected, cuts))

    @initialize(listener=st.sampled_from(["submissions", "submissions", "submission", "relay"]), ready=st.sampled_from([True, True, False]))
    def connect(self, listener: str, *, ready: bool) -> None:
        """Most get to where MAIL is allowed."""
        self.state = State(tls=listener == "submissions", trusted=listener == "relay")
        self.talking = self.listening.runner.run(self.listening.connect(self.stack, listener))
        if ready:
            self._say(READY, [])

    @precondition(lambda self: not self.state.over)
    @rule(command=commands, cuts=st.lists(st.integers(0, 3000), max_size=3))
    def one(self, command: Command, cuts: list[int]) -> None:
        """A command, and its answer."""
        self._say([command], cuts)

    @precondition(lambda self: not self.state.over)
    @rule(several=st.lists(commands, min_size=2, max_size=8), cuts=st.lists(st.integers(0, 3000), max_size=3))
    def pipelined(self, several: list[Command], cuts: list[int]) -> None:
        """Several in one write (RFC 2920), and bodies among them."""
        self._say(several, cuts)

    @precondition(lambda self: not self.state.over)
    @rule(body=st.lists(bodies, min_size=1, max_size=3), cuts=st.lists(st.integers(0, 3000), max_size=3))
    def message(self, body: list[Command], cuts: list[int]) -> None:
        """A whole transaction in one write, with all that it takes."""
        self._say([*READY, *MESSAGE, *body], cuts)

    @precondition(lambda self: not self.state.over)
    @rule(content=whole, edges=st.lists(st.integers(0, 3000), max_size=4), cuts=st.lists(st.integers(0, 3000), max_size=3))
    def message_in_chunks(self, content: bytes, edges: list[int], cuts: list[int]) -> None:
        """The same by BDAT, cut into chunks anywhere."""
        borders = [0, *sorted(edge % (len(content) + 1) for edge in edges), len(content)]
        chunks = [Command("BDAT", content=content[begin:end]) for begin, end in pairwise(borders)]
        self._say([*READY, *MESSAGE, *chunks[:-1], replace(chunks[-1], last=True)], cuts)

    @precondition(lambda self: not self.state.over)
    @rule(way=st.sampled_from(ENDS))
    def end(self, way: Command) -> None:
        """Politely, or by a chunk of which nobody knows where it ends; seldom, because there is more to say."""
        self._say([way], [])

    @precondition(lambda self: not self.state.over)
    @rule(injected=st.sampled_from([b"", b"NOOP\r\n", b"EHLO evil.example\r\nMAIL FROM:<evil@example.com>\r\n", b"BDAT 5 LAST\r\nhello"]))
    def encrypt(self, injected: bytes) -> None:
        """STARTTLS, with what a man in the middle sends behind it in the clear (CVE-2011-0411); once is enough."""
        if self.state.tls:
            self._say([Command("STARTTLS")], [])
        else:
            self.listening.runner.run(self.talking.starttls(TLS, behind=injected))
            self.state = self.state.encrypted

    @precondition(lambda self: self.state.over)
    @rule()
    def come_again(self) -> None:
        """A new session knows nothing of the last one."""
        self.connect("submissions", ready=True)

    def teardown(self) -> None:
        """Hang up."""
        self.listening.runner.run(self.stack.aclose())


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    """A listener with small limits."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        usual = config(limits=Limits(message_size=SIZE, recipients=RECIPIENTS))
        relay = Listener(name="relay", port=25, tls=ListenerTls.OPPORTUNISTIC, auth=ListenerAuth.NONE, allowed_networks=(LOOPBACK,))
        opened = reception(tmp_path, usual.model_copy(update={"listeners": (*usual.listeners, relay)}))
        way_in: Any = runner.run(stack.enter_async_context(opened))
        yield Listening(runner, way_in)
        runner.run(stack.aclose())


@pytest.mark.timeout(120 + EXAMPLES)
def test_random_conversations_are_answered_as_the_model_says(listening: Listening) -> None:
    """Whatever is said in whatever order, and however it is written."""
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=12,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=EXAMPLES == 60,
    )
    run_state_machine_as_test(type("Talking", (Client,), {"listening": listening}), settings=chosen)

    assert listening.kept > EXAMPLES // 4, "few conversations got a message through"
    assert listening.way_in.intake.room.held == 0
