"""Credentials towards next hops: said to the right one, under TLS, in its order, and to nobody else; a refusal is never the mail's fault."""

from __future__ import annotations

import asyncio
import base64
import traceback
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from smtp_gateway.config.model import HopTls, PasswordCredentials, Smarthost
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.connection import Connection
from smtp_gateway.delivery.faults import HopUnusableError, NotEncryptedError
from smtp_gateway.delivery.session import Hop, Session, open_session
from smtp_gateway.delivery.settings import Settings, Timeouts
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.mail.encryption import Encryption
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.mail.outcome import Deferred, Delivered, Outcome
from smtp_gateway.resolver import Resolver
from tests.pipeline.test_delivery_tls import OTHER_AUTHORITY, server_context, trusting
from tests.support.authenticating import PASSWORD, REFUSED, USERNAME, AuthenticatingSink
from tests.support.dns import NameServer
from tests.support.hostile import Drip, Mute, Reset
from tests.support.messages import BODY
from tests.support.sink import Answer, Cut, Hang, Raw, Sink, greeting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

A = "a@x.example"
PLAIN = base64.b64encode(f"\0{USERNAME}\0{PASSWORD}".encode()).decode()
SAID = (PASSWORD, PLAIN, base64.b64encode(PASSWORD.encode()).decode())
"""What nobody may read who is not the next hop."""
QUICK = Timeouts(*[0.3] * 10)


def credentials(password: str = PASSWORD) -> PasswordCredentials:
    """Return what the next hop wants, or something else."""
    return PasswordCredentials(identity="provider", username=SecretStr(USERNAME), password=SecretStr(password))


def hop(sink: Sink, password: str = PASSWORD, tls: HopTls = HopTls.VERIFY) -> Smarthost:
    """Return *sink* as it is configured."""
    return Smarthost(host="localhost", port=sink.port, tls=tls, credentials=credentials(password))


class Sender:
    """A client, and what it sends by it."""

    def __init__(self, timeouts: Timeouts | None = None, resolver: Resolver | None = None) -> None:
        """Prepare."""
        self.client = Client(resolver or Resolver(), Settings("gateway.example", trusting(), timeouts or Timeouts(*[5.0] * 10)))

    async def send(self, *hops: Smarthost) -> Outcome:
        """Send one message by the first of *hops* that takes it."""
        return (await self.client.deliver(Mail(Envelope("me@here.example", (A,)), BODY), hops))[A]


def lines(sink: Sink) -> list[str]:
    """Return what was said up to the envelope."""
    return [command for command in sink.commands if not command.startswith(("MAIL", "RCPT", "DATA", "QUIT"))]


def deferral(outcome: Outcome) -> str:
    """Return what an attempt without a session came to."""
    assert isinstance(outcome, Deferred)
    assert outcome.unreached
    return str(outcome.reply)


async def test_mail_goes_once_the_next_hop_knows_who_sends(demanding: AuthenticatingSink) -> None:
    """After TLS, in one round trip; the next message needs none, for the session knows."""
    sender = Sender()
    for _ in range(2):
        assert isinstance(await sender.send(hop(demanding)), Delivered)

    assert lines(demanding) == ["EHLO gateway.example", "STARTTLS", "EHLO gateway.example", f"AUTH PLAIN {PLAIN}"]
    assert [taken.tls for taken in demanding.taken] == [True, True]


@pytest.mark.parametrize(
    ("mechanisms", "password", "expected"),
    [
        (("LOGIN",), PASSWORD, ["AUTH LOGIN", *(base64.b64encode(one.encode()).decode() for one in (USERNAME, PASSWORD))]),
        (("PLAIN",), "p" * 400, ["AUTH PLAIN", base64.b64encode(f"\0{USERNAME}\0{'p' * 400}".encode()).decode()]),
    ],
    ids=["LOGIN alone", "too long for the command"],
)
async def test_challenges_are_answered(mechanisms: tuple[str, ...], password: str, expected: list[str]) -> None:
    """LOGIN asks twice, and PLAIN once where the response does not fit the command."""
    async with AuthenticatingSink(USERNAME, password, tls=server_context(), mechanisms=mechanisms) as sink:
        assert isinstance(await Sender().send(hop(sink, password)), Delivered)

    assert lines(sink)[3:] == expected


@pytest.mark.parametrize("prompts", [("334 ", "334 "), ("334 VXNlciBOYW1lAA==", "334 UGFzc3dvcmQA"), ("334 Username:", "334 Password:")])
async def test_what_login_asks_with_does_not_matter(prompts: tuple[str, str]) -> None:
    """Its prompts were never written down: servers ask with others, with none, and without base64."""
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=server_context(), mechanisms=("LOGIN",)) as sink:
        sink.answer("AUTH", prompts[0])
        sink.answer("response", prompts[1], times=1)
        assert isinstance(await Sender().send(hop(sink)), Delivered)


REFUSALS = (
    REFUSED,
    "534 5.7.9 Application-specific password required",
    "530 5.7.0 Must issue a STARTTLS command first",
    "538 5.7.11 Encryption required",
    "504 5.5.4 Unrecognized authentication type",
    "501 5.5.2 Cannot decode",
    "500 5.5.1 Command unrecognized",
    "550 5.7.1 Account suspended",
    "454 4.7.0 Temporary authentication failure",
    "432 4.7.12 A password transition is needed",
    "421 4.7.0 Too many errors",
)


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refusal_is_temporary_in_the_next_hops_words(demanding: AuthenticatingSink, refusal: str) -> None:
    """Somebody has to mend the credentials; the mail waits for that, and nothing of it was said."""
    demanding.answer("AUTH", refusal)

    assert deferral(await Sender().send(hop(demanding))) == refusal
    await eventually(lambda: not demanding.open_sessions)
    assert not [one for one in demanding.commands if one.startswith("MAIL")]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_another_smarthost_takes_the_mail(demanding: AuthenticatingSink, refusal: str) -> None:
    """Whatever the first one says about the credentials."""
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=server_context()) as second:
        demanding.answer("AUTH", refusal)

        assert isinstance(await Sender().send(hop(demanding), hop(second)), Delivered)


async def test_refused_credentials_are_not_offered_with_each_message(demanding: AuthenticatingSink) -> None:
    """Each would be a failed login, for which accounts are locked; other credentials are offered at once, and these when somebody says so."""
    sender = Sender()
    for _ in range(3):
        assert deferral(await sender.send(hop(demanding, "wrong"))) == REFUSED
    assert demanding.refused == 1

    assert isinstance(await sender.send(hop(demanding)), Delivered)
    demanding.passwords = {"wrong"}
    sender.client.retry_refused()
    assert isinstance(await sender.send(hop(demanding, "wrong")), Delivered)


async def test_what_could_not_be_compared_is_offered_again(demanding: AuthenticatingSink) -> None:
    """454 is no refusal of these credentials: the next message tries."""
    demanding.answer("AUTH", "454 4.7.0 Temporary authentication failure", times=1)
    sender = Sender()

    assert deferral(await sender.send(hop(demanding))) == "454 4.7.0 Temporary authentication failure"
    assert isinstance(await sender.send(hop(demanding)), Delivered)


@pytest.mark.parametrize(("refusal", "sessions"), [(REFUSED, 1), ("454 4.7.0 Temporary authentication failure", 3)])
async def test_the_other_addresses_of_a_host_know_the_same_passwords(refusal: str, sessions: int) -> None:
    """Three addresses are one failed login; but one of them alone may be unable to tell."""
    async with NameServer() as names, AuthenticatingSink(USERNAME, PASSWORD, tls=server_context("many.example")) as sink:
        await sink.stop()
        sink.host, sink.port = "0.0.0.0", 0
        await sink.start()
        names.add("many.example.", "A", *(f"127.0.0.{number}" for number in range(1, 4)))
        sink.answer("AUTH", refusal)
        sender = Sender(resolver=names.resolver(2))

        assert deferral(await sender.send(Smarthost(host="many.example.", port=sink.port, credentials=credentials()))) == refusal
        assert sink.sessions == sessions


@pytest.mark.parametrize(
    ("mechanisms", "sentence"),
    [
        ((), "451 4.7.4 The next hop offers no AUTH under TLS; the credentials are for PLAIN or LOGIN"),
        (
            ("CRAM-MD5", "XOAUTH2"),
            "451 4.7.4 The next hop offers AUTH CRAM-MD5 XOAUTH2 alone under TLS; the credentials are for PLAIN or LOGIN",
        ),
    ],
)
async def test_without_a_mechanism_there_is_no_session(mechanisms: tuple[str, ...], sentence: str) -> None:
    """Mail is not handed over as if nobody had asked for credentials, and the sentence says what is offered."""
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=server_context(), mechanisms=mechanisms) as sink:
        assert deferral(await Sender().send(hop(sink))) == sentence


def unsaid(sinks: Sequence[Sink]) -> None:
    """Check that the credentials were told to none of *sinks*."""
    for sink in sinks:
        assert not [one for one in sink.commands if one.startswith("AUTH") or any(said in one for said in SAID)]


IN_THE_CLEAR: dict[str, tuple[str, Answer]] = {
    "offered before TLS, and TLS not": ("EHLO", greeting("sink.example", "AUTH PLAIN LOGIN")),
    "refused": ("STARTTLS", "454 4.7.0 TLS not available"),
    "broken off": ("STARTTLS", Cut(b"220 Go ahead\r\n")),
    "no TLS": ("STARTTLS", Raw(b"220 Go ahead\r\n250-evil.example\r\n250 AUTH PLAIN LOGIN\r\nplain\r\n")),
}


@pytest.mark.parametrize("tls", [HopTls.REQUIRED, HopTls.VERIFY])
@pytest.mark.parametrize(("phase", "answer"), IN_THE_CLEAR.values(), ids=IN_THE_CLEAR)
async def test_nothing_is_said_in_the_clear(tls: HopTls, phase: str, answer: Answer) -> None:
    """Whoever strips TLS, or offers AUTH without it, learns nothing."""
    async with Sink() as stripping:
        stripping.answer("EHLO", greeting("sink.example", "STARTTLS", "AUTH PLAIN LOGIN"))
        stripping.answer(phase, answer)

        assert deferral(await Sender().send(hop(stripping, tls=tls))).startswith("45")
        await eventually(lambda: not stripping.open_sessions)

    unsaid([stripping])


@pytest.mark.parametrize("tls", [HopTls.NONE, HopTls.OPPORTUNISTIC])
async def test_a_session_in_the_clear_never_authenticates(sink: Sink, tls: HopTls) -> None:
    """Whatever asks for it: the configuration refuses this before, and the delivery does not rely on that."""
    sink.answer("EHLO", greeting("sink.example", "AUTH PLAIN LOGIN"))

    with pytest.raises(HopUnusableError) as fault:
        await open_session(Hop("localhost", sink.host, sink.port, tls, credentials()), Settings("gateway.example", trusting(), QUICK))

    assert isinstance(fault.value.__cause__, NotEncryptedError)
    unsaid([sink])


@pytest.mark.parametrize("context", [lambda: server_context("elsewhere.example"), lambda: server_context(authority=OTHER_AUTHORITY)])
async def test_nobody_else_is_told(context: object) -> None:
    """A certificate for another name, or from an authority that is not trusted: Verify is what smarthosts get unless told otherwise."""
    assert callable(context)
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=context()) as other:
        assert deferral(await Sender().send(hop(other))).startswith("451 4.7.5 TLS handshake failed")

        unsaid([other])
        assert isinstance(await Sender().send(hop(other, tls=HopTls.REQUIRED)), Delivered)


async def test_what_was_offered_before_tls_does_not_count(demanding: AuthenticatingSink) -> None:
    """A mechanism that somebody added in the clear is not used after it (RFC 3207 section 4.2)."""
    demanding.answer("EHLO", greeting("sink.example", "STARTTLS", "AUTH LOGIN"), times=1)
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=server_context(), mechanisms=()) as silent:
        silent.answer("EHLO", greeting("sink.example", "STARTTLS", "AUTH PLAIN"), times=1)

        assert isinstance(await Sender().send(hop(demanding)), Delivered)
        assert deferral(await Sender().send(hop(silent))).startswith("451 4.7.4 The next hop offers no AUTH")

    assert f"AUTH PLAIN {PLAIN}" in demanding.commands
    unsaid([silent])


HOSTILE: dict[str, tuple[str, Answer, str]] = {
    "hangs at AUTH": ("AUTH", Hang(), "451 4.4.2 No answer within 0.3 s"),
    "drips": ("AUTH", Drip(reply="334 ", pause=0.1), "451 4.4.2 No answer within 0.3 s"),
    "closes at AUTH": ("AUTH", Cut(), "451 4.4.2 Connection lost"),
    "closes within a reply": ("AUTH", Cut(b"334 VXNl"), "451 4.4.2 Connection lost"),
    "resets at AUTH": ("AUTH", Reset(), "451 4.4.2 Connection lost"),
    "says what is no reply": ("AUTH", Raw(b"235\n"), "451 4.5.0 The next hop does not speak SMTP"),
    "says two codes": ("AUTH", Raw(b"334-VXNl\r\n235 Ok\r\n"), "451 4.5.0 The next hop does not speak SMTP"),
    "an endless challenge": ("AUTH", Raw(b"334 " + b"A" * 10_000), "451 4.5.0 The next hop does not speak SMTP"),
    "asks for mail": ("AUTH", "354 Go ahead", "451 4.5.0 The next hop answered AUTH with 354"),
    "agrees in another way": ("AUTH", "250 2.0.0 Ok", "451 4.5.0 The next hop answered AUTH with 250"),
    "asks without end": ("response", "334 UGFzc3dvcmQ6", "451 4.5.0 The next hop asked for more than AUTH LOGIN has to say"),
    "hangs at a response": ("response", Hang(), "451 4.4.2 No answer within 0.3 s"),
    "closes at a response": ("response", Cut(), "451 4.4.2 Connection lost"),
    "falls silent": ("response", Mute(b"33"), "451 4.4.2 No answer within 0.3 s"),
    "refuses the username": ("response", "535 5.7.8 Nobody of that name", "535 5.7.8 Nobody of that name"),
}


@pytest.mark.parametrize(("phase", "answer", "reply"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_server_gains_nothing(phase: str, answer: Answer, reply: str) -> None:
    """At each step the attempt ends in time, as a deferral, and the next smarthost is tried."""
    async with (
        AuthenticatingSink(USERNAME, PASSWORD, tls=server_context(), mechanisms=("LOGIN",)) as sink,
        AuthenticatingSink(USERNAME, PASSWORD, tls=server_context()) as second,
    ):
        sink.answer(phase, answer)

        assert deferral(await Sender(QUICK).send(hop(sink))).startswith(reply)
        assert isinstance(await Sender(QUICK).send(hop(sink), hop(second)), Delivered)
        assert not [one for one in sink.commands if one.startswith("MAIL")]


async def test_a_server_that_asks_for_more_is_told_that_there_is_no_more() -> None:
    """By "*" (RFC 4954 section 4), and not by saying the password once more."""
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=server_context(), mechanisms=("PLAIN",)) as sink:
        sink.answer("AUTH", "334 ")
        assert deferral(await Sender().send(hop(sink))).endswith("The next hop asked for more than AUTH PLAIN has to say")

    assert lines(sink)[-2:] == [f"AUTH PLAIN {PLAIN}", "*"]
    assert sink.refused == 1


INJECTED: dict[str, bytes] = {
    "a second challenge": b"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n",
    "success": b"334 VXNlcm5hbWU6\r\n235 2.7.0 Accepted\r\n",
    "success and a taken message": b"334 VXNlcm5hbWU6\r\n235 2.7.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go\r\n250 2.0.0 Taken\r\n",
    "half a line": b"334 VXNlcm5hbWU6\r\n23",
}


@pytest.mark.parametrize("octets", INJECTED.values(), ids=INJECTED)
async def test_replies_to_what_was_not_said_yet_end_the_session(octets: bytes) -> None:
    """They would answer the lines after their own; the password is not said behind them, and no mail is taken for delivered."""
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=server_context(), mechanisms=("LOGIN",)) as sink:
        sink.answer("AUTH", Raw(octets))
        assert deferral(await Sender(QUICK).send(hop(sink))) == "451 4.5.0 The next hop answered before it was asked"
        await eventually(lambda: not sink.open_sessions)

    assert lines(sink)[-1] == "AUTH LOGIN"


@pytest.mark.parametrize("injected", ["250 2.1.0 Ok", "235 2.7.0 Accepted"])
async def test_replies_behind_success_take_no_mail(demanding: AuthenticatingSink, injected: str) -> None:
    """Everything up to the envelope is answered one by one."""
    demanding.answer("AUTH", Raw(f"235 2.7.0 Accepted\r\n{injected}\r\n".encode()))
    outcome = await Sender(QUICK).send(hop(demanding))

    assert isinstance(outcome, Deferred)
    assert not demanding.taken


async def test_an_attempt_that_is_given_up_leaves_no_session(demanding: AuthenticatingSink) -> None:
    """A pod that stops does not wait for a server that never answers AUTH."""
    demanding.answer("AUTH", Hang())
    sending = asyncio.create_task(Sender().send(hop(demanding)))
    await eventually(lambda: any(one.startswith("AUTH") for one in demanding.commands))
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending

    await demanding.stop()
    assert not demanding.open_sessions


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_what_was_said_is_shown_nowhere(mechanism: str) -> None:
    """Also not by a server that quotes it, in a log line, an outcome, an error or the text of a session."""
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=server_context(), mechanisms=(mechanism,)) as sink:
        quoted = SAID[2] if mechanism == "LOGIN" else PLAIN
        sink.answer("AUTH" if mechanism == "PLAIN" else "response", f"535 5.7.8 Bad: {quoted} ({PASSWORD})", matching=quoted)
        target = Hop("localhost", sink.host, sink.port, HopTls.VERIFY, credentials())
        with capture_logs() as logs:
            outcome = await Sender().send(hop(sink))
            with pytest.raises(HopUnusableError) as fault:
                await open_session(target, Settings("gateway.example", trusting()))
    session = Session(target, Connection(), frozenset(), encryption=Encryption("TLSv1.3", "TLS_AES_256_GCM_SHA384", verified=True))

    assert deferral(outcome) == "535 5.7.8 (the text is withheld: it repeats what was sent)"
    shown = f"{logs} {outcome!r} {fault.value!r} {fault.value} {fault.value.outcome!r} {target!r} {target} {session!r} {hop(sink)!r}"
    assert not [said for said in (*SAID, USERNAME) if said in shown]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_server_that_echoes_gets_nothing_of_it_into_a_log(mechanism: str) -> None:
    """What is no reply is shown otherwise, as far as it helps."""
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=server_context(), mechanisms=(mechanism,)) as sink:
        echo = f"AUTH PLAIN {PLAIN}" if mechanism == "PLAIN" else SAID[2]
        sink.answer("AUTH" if mechanism == "PLAIN" else "response", Raw(f"{echo}\r\n".encode()), matching=echo)

        assert deferral(await Sender().send(hop(sink))) == "451 4.5.0 The next hop does not speak SMTP: it repeats what it is sent"
        with pytest.raises(HopUnusableError) as fault:
            await open_session(
                Hop("localhost", sink.host, sink.port, HopTls.VERIFY, credentials()), Settings("gateway.example", trusting())
            )

    shown = "".join(traceback.format_exception(fault.value))
    assert not [said for said in SAID if said in shown]
