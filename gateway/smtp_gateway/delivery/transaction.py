"""One message in an open session: MAIL, RCPT and DATA in one write where the next hop offers PIPELINING (RFC 2920), one by one elsewhere.

Either way the replies are collected in the order of their commands first, and a pure function judges them: what was refused by name
keeps its answer, and all others share one. The content is sent only after 354, never with the commands.

What can go wrong: the connection (`SessionError`), and what a next hop says after it was asked out of turn. A next hop that wants the
content of a message whose recipients it refused gets a lone dot (RFC 2920 section 3.1); one that wants it although it refused MAIL is
left, because an empty message might then go to somebody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from smtp_gateway.delivery import requiretls
from smtp_gateway.delivery.connection import CLOSING
from smtp_gateway.delivery.faults import ForeignProtocolError
from smtp_gateway.mail.body import beginning, size_of
from smtp_gateway.mail.dsn import NO_DSN
from smtp_gateway.mail.envelope import END_OF_DATA
from smtp_gateway.mail.outcome import Delivered, Failed, Outcome, Phase, judge
from smtp_gateway.mail.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.delivery.session import Session
    from smtp_gateway.delivery.settings import Timeouts
    from smtp_gateway.mail.body import Body
    from smtp_gateway.mail.envelope import Envelope

GO_AHEAD = 354
_WHO_ARE_YOU = 530
"""Authentication required (RFC 4954 section 6)."""
_NEEDS_SMTPUTF8 = Failed(Reply(553, "5.6.7", "The message needs SMTPUTF8, which the next hop does not offer"), local=True)
"""RFC 6531 section 3.5 and 3.7.4: such a message is rejected, never downgraded."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One message for those of its recipients that share a next hop."""

    envelope: Envelope
    body: Body
    """In wire form."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a next hop answered to the commands of a transaction."""

    told: dict[str, Outcome]
    """The recipients that were refused by name."""
    shared: Outcome | None
    """What all others come to; None when the content decides."""


def judged(recipients: Sequence[str], replies: Sequence[Reply], hop: str) -> Verdict:
    """Return what *replies* to MAIL, to RCPT for each of *recipients* and to DATA mean; they end early where asking ended."""
    mail, *rest = replies
    if not mail.positive:
        return Verdict({}, judge(Phase.MAIL, mail, hop))
    told: dict[str, Outcome] = {}
    for address, reply in zip(recipients, rest, strict=False):
        if reply.code == CLOSING:
            return Verdict(told, judge(Phase.RCPT, reply, hop))
        if not reply.positive:
            told[address] = judge(Phase.RCPT, reply, hop)
    if len(told) == len(recipients):
        return Verdict(told, judge(Phase.RCPT, rest[len(recipients) - 1], hop))
    data = rest[len(recipients)]
    return Verdict(told, None if data.code == GO_AHEAD else judge(Phase.DATA, data, hop))


def hopeless(recipients: Sequence[str], replies: Sequence[Reply]) -> bool:
    """Tell whether nothing more is worth asking after *replies*: one at a time, no command is sent that cannot help."""
    if not replies[0].positive or replies[-1].code == CLOSING:
        return True
    return len(replies) == len(recipients) + 1 and not any(reply.positive for reply in replies[1:])


@dataclass(slots=True)
class Transaction:
    """One transaction in *session*; `told` has what was refused by name, also when `run` ends in an error."""

    session: Session
    mail: Mail
    recipients: tuple[str, ...]
    patience: Timeouts
    told: dict[str, Outcome] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    """The answers so far."""
    settled: bool = False
    """Whether the next hop is as it was before MAIL: it answered to the end of data."""

    @property
    def closing(self) -> bool:
        """Whether the next hop said that it closes the session."""
        return any(reply.code == CLOSING for reply in self.replies)

    @property
    def forgotten(self) -> bool:
        """Whether the next hop asks who we are, after it was told or shown: credentials were withdrawn, or count for so long only."""
        hop = self.session.hop
        told = hop.credentials is not None or hop.client_certificate is not None
        return told and bool(self.replies) and self.replies[0].code == _WHO_ARE_YOU

    async def run(self) -> Outcome:
        """Hand the message over; return the outcome of all recipients that are not in `told`.

        Raises `SessionError`, and `HopUnusableError` for a message that asks for what this next hop does not promise.
        """
        if self.mail.envelope.requiretls:
            requiretls.check(self.session, self.mail.envelope)
        if needs_smtputf8(self.mail) and "SMTPUTF8" not in self.session.extensions:
            self.settled = True
            return _NEEDS_SMTPUTF8
        connection = self.session.connection
        connection.bound(self.patience.asking(len(self.recipients)))
        try:
            await self._ask()
        finally:
            connection.bound(math.inf)
            self._keep_refusals()
        verdict = judged(self.recipients, self.replies, str(self.session.hop))
        if verdict.shared is None:
            return self._taken(judge(Phase.END_OF_DATA, await self._send(self.mail.body), str(self.session.hop)))
        if len(self.replies) == len(self.recipients) + 2 and self.replies[-1].code // 100 == 3:  # noqa: PLR2004 DATA, and more is expected
            await self._send_nothing()
        return verdict.shared

    def _taken(self, outcome: Outcome) -> Outcome:
        """Note how the message travelled, if it arrived, and whether the next hop was told what the sender asked to be told."""
        if not isinstance(outcome, Delivered):
            return outcome
        encryption = self.session.encryption
        asked = self.mail.envelope.dsn is not NO_DSN and "DSN" in self.session.extensions
        return outcome if encryption is None and not asked else replace(outcome, encryption=encryption, asked=asked)

    async def _ask(self) -> None:
        """Send the commands and collect the replies, as many as make sense."""
        connection = self.session.connection
        commands, patience = self._commands()
        if "PIPELINING" in self.session.extensions:
            if early := connection.send(*commands):
                self.replies.append(early)
            else:
                await connection.answers(patience, self.replies)
                self._check_step()
            return
        for command, seconds in zip(commands, patience, strict=True):
            self.replies.append(await connection.exchange(command, seconds))
            if hopeless(self.recipients, self.replies):
                return

    def _check_step(self) -> None:
        """Return when there are as many replies as commands; 421 may follow. Raises `ForeignProtocolError`, and then none of them counts.

        Behind 354 a refusal may have come already: of the content.
        """
        if self.replies[-1].code not in (GO_AHEAD, CLOSING):
            try:
                if closing := self.session.connection.unasked():
                    self.replies.append(closing)
            except ForeignProtocolError:
                self.replies.clear()
                raise

    def _commands(self) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """Return the commands, and the seconds to wait for the reply to each."""
        patience, recipients = self.patience, self.recipients
        dsn = self.mail.envelope.dsn if "DSN" in self.session.extensions else NO_DSN
        asked = (f"RCPT TO:<{address}>{dsn.about(address).parameters if dsn is not NO_DSN else ''}" for address in recipients)
        commands = (mail_command(self.mail, self.session.extensions), *asked, "DATA")
        return commands, (patience.mail, *(patience.rcpt,) * len(recipients), patience.data)

    def _keep_refusals(self) -> None:
        """Keep what was refused by name, whatever happens to the connection afterwards."""
        if self.replies and self.replies[0].positive:
            for address, reply in zip(self.recipients, self.replies[1:], strict=False):
                if not reply.positive and reply.code != CLOSING:  # 3yz too: who was not accepted gets nothing at the end of data
                    self.told[address] = judge(Phase.RCPT, reply, str(self.session.hop))

    async def _send(self, body: Body) -> Reply:
        reply = await self.session.connection.send_body(body, self.patience.block, self.patience.end_of_data)
        self.replies.append(reply)
        self.settled = True
        return reply

    async def _send_nothing(self) -> None:
        """Answer a 354 for content that nobody is to get; what would be risky to answer ends the connection."""
        if self.replies[0].positive and self.replies[-1].code == GO_AHEAD:
            await self._send(END_OF_DATA)
        else:
            self.session.connection.cut("The next hop asked for content that it is not to get")


def mail_command(mail: Mail, extensions: frozenset[str]) -> str:
    """Return the MAIL command with the parameters that the next hop offers and the message needs.

    SIZE is an estimate, as RFC 1870 section 6.3 allows: the doubled dots are counted, the end of data is not. Eight-bit content goes
    out as it is where 8BITMIME is not offered: such servers take it in practice, and re-encoding would break signatures. What the client
    asked to be told goes to servers that know DSN, and to no others (RFC 3461 section 5.2).
    """
    parameters = (
        f"SIZE={size_of(mail.body) - len(END_OF_DATA)}" if "SIZE" in extensions else "",
        "BODY=8BITMIME" if mail.envelope.body_8bit and "8BITMIME" in extensions else "",
        "SMTPUTF8" if mail.envelope.smtputf8 and "SMTPUTF8" in extensions else "",
        requiretls.KEYWORD if mail.envelope.requiretls and requiretls.KEYWORD in extensions else "",
    )
    dsn = mail.envelope.dsn.parameters if mail.envelope.dsn is not NO_DSN and "DSN" in extensions else ""
    return " ".join((f"MAIL FROM:<{mail.envelope.sender}>", *filter(None, parameters))) + dsn


def needs_smtputf8(mail: Mail) -> bool:
    """Tell whether an address or a header of *mail* is beyond ASCII; a client may have declared SMTPUTF8 without needing it."""
    envelope = mail.envelope
    if not all(address.isascii() for address in (envelope.sender, *envelope.recipients)):
        return True
    if not envelope.smtputf8:
        return False
    head = beginning(mail.body)
    return not head[: head.find(b"\r\n\r\n") + 1].isascii()
