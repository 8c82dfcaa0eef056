"""What is said on one connection: a machine of five states (`State`) that is moved on by what arrives, without a task.

    COMMAND --usual command--> COMMAND        --DATA--> DATA --end of data--> WAIT --made durable--> COMMAND
    COMMAND --anything else--> SLOW --answered--> COMMAND, DATA or CHUNK      DATA --refused--> COMMAND

All commands of one read are answered in one write (RFC 2920). Canonical ones that succeed are answered here, by the same checks as those
of the slow way, which takes whatever is unusual, refused or wrong.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.listener import entrance, proxy, replies, usual
from smtp_gateway.listener.chunking import ChunkPhase
from smtp_gateway.listener.connection import State
from smtp_gateway.listener.hooks import NULL_PATH
from smtp_gateway.listener.lines import FAULTS_LIMIT, LINE_TOO_LONG, TOO_MANY_FAULTS, LineTooLongError, line_fault, verb_of
from smtp_gateway.mail import reply
from smtp_gateway.policy import checks

if TYPE_CHECKING:
    import asyncio
    import re
    from collections.abc import Callable

    from smtp_gateway.listener.connection import Front
    from smtp_gateway.mail.reply import Reply

REPLIES = 256
"""Commands that are answered in one write, so that a client that does not read is noticed in time."""
_log = structlog.get_logger()


class Conversation(ChunkPhase):
    """One client's conversation, as far as it is as usual."""

    def __init__(self, front: Front) -> None:
        """Begin with the greeting."""
        super().__init__(front)
        self._faults = 0
        self._slow: asyncio.Task[None] | None = None
        self._queued = False
        """Whether what has arrived waits for a turn of the loop."""

    def data_received(self, data: bytes) -> None:
        """Use *data*, or keep it until it can be used."""
        self._inbox.add(data)
        if self._queued or not self._front.turns.admit(self._peer.identity or "", self):
            self._queued = True
            self._regulate()
        else:
            self._go_on()

    def proceed(self) -> None:
        """Use what has arrived, now that it is this session's turn."""
        self._queued = False
        self._go_on()

    # ---- the machine

    def _go_on(self) -> None:
        """Use what has arrived, as far as the state allows."""
        try:
            while self._inbox.octets and self._step():
                pass
        except Exception as error:  # noqa: BLE001 whatever it is, the log gets the cause and the client keeps its message
            self._break(error)
        if self._leaving:
            self._depart()
        self._flush()
        if self._ended and not self._unread and self._state in {State.COMMAND, State.DATA, State.CHUNK}:
            self._end()
        self._regulate()
        if self._state is State.SLOW:
            self._arrived()

    @abstractmethod
    def _arrived(self) -> None:
        """Let the task know that answers a command, and may wait for a line of an exchange: the session's part."""

    def _step(self) -> bool:
        """Use some of what has arrived; tell whether more may be done."""
        if self._over or self._unread:
            return False
        if self._state is State.COMMAND:
            return self._commands()
        if self._state is State.DATA:
            return self._receive()
        return self._state is State.CHUNK and self._receive_chunk()

    def _break(self, error: Exception) -> None:
        """Part after a mistake of ours: what follows could be taken for what it is not."""
        self._tell_failure(error)
        self.cut()

    def _tell_failure(self, error: Exception) -> None:
        _log.error("session failed", peer=self._peer.address, listener=self._front.listener, command=self._label, exc_info=error)

    # ---- commands

    def _commands(self) -> bool:
        """Answer the usual commands up to the first that is none, or changes the state; tell whether more may be done."""
        octets = self._inbox.take()
        position = answered = 0
        usual_so_far = True
        while usual_so_far and position < len(octets) and answered < REPLIES and self._listens():
            end = self._usual(octets, position)
            usual_so_far = end > position
            if usual_so_far:
                position, answered = end, answered + 1
        self._inbox.add(octets[position:])
        if answered:
            self._reset_timeout()
        if answered == REPLIES:
            self._flush()
        return usual_so_far or self._unusual()

    def _listens(self) -> bool:
        """Tell whether another command is taken now."""
        if self._leaving:
            self._depart()
        return self._state is State.COMMAND and not self._over

    def _usual(self, octets: bytes, position: int) -> int:
        """Answer the canonical command at *position* and return its end; *position*, and nothing is done, when it does not simply succeed."""
        found = usual.command(octets, position)
        if found is None:
            return position
        self._verb = verb = str(found.lastgroup)
        try:
            answer = _ANSWERS[verb](self, found)
        except Exception as error:  # noqa: BLE001 whatever it is, the log gets the cause and the client comes again
            self._tell_failure(error)
            self._answer(reply.TRY_AGAIN_LATER)
            return found.end()
        if answer is None:
            return position
        self._say(answer)
        return found.end()

    def _unusual(self) -> bool:
        """Let the next line be answered the slow way, or refuse it as a line; tell whether the next one may be looked at."""
        try:
            line = self._inbox.line()
            fault = None if line is None else line_fault(line)
        except LineTooLongError:
            line, fault = b"", LINE_TOO_LONG
        if line is None:
            return False
        self._verb = verb_of(line)
        if proxy.claimed(line):
            self._refuse_proxy_header()
            return True
        if fault is not None:
            self._refuse_line(fault)
            return True
        self._state = State.SLOW
        self._slow = self.loop.create_task(self._slowly(line))
        return False

    @abstractmethod
    async def _slowly(self, line: bytes) -> None:
        """Answer a well-formed line by aiosmtpd's methods: the session's part."""

    def _refuse_proxy_header(self) -> None:
        """End a session whose client speaks for others and may not; where it was let in as itself, nothing that follows is its own."""
        self._front.admission.refuse(entrance.UNTRUSTED, self._client, self._front)
        self._answer(replies.PROXY_HEADER_REFUSED)
        self._end()

    def _refuse_line(self, fault: Reply) -> None:
        self._faults += 1
        if self._faults < FAULTS_LIMIT:
            self._answer(fault)
        else:
            self._answer(TOO_MANY_FAULTS)
            self._end()

    def _ehlo(self, found: re.Match[bytes]) -> bytes:
        self._greeted(found["extended"], extended=True)
        encrypted, starttls = self._tls_version is not None, self._terms.starttls
        recipients, certified = self._front.intake.config.limits.recipients, bool(self._certified)
        offers = replies.Offers(self.data_size_limit or 0, recipients, encrypted=encrypted, starttls=starttls, certified=certified)
        return replies.extended_greeting(self.hostname, offers)

    def _helo(self, found: re.Match[bytes]) -> bytes:
        self._greeted(found["plain"], extended=False)
        return replies.plain_greeting(self.hostname)

    def _greeted(self, name: bytes, *, extended: bool) -> None:
        self.session.host_name, self.session.extended_smtp = name.decode("ascii"), extended
        self._known = None
        self._forget_transaction()

    def _mail(self, found: re.Match[bytes]) -> bytes | None:
        session, envelope, intake = self.session, self.envelope, self._front.intake
        sender, parameters = usual.mailbox(found, "sender"), usual.parameters(found)
        if sender is None or parameters is None or parameters.size > (self.data_size_limit or 0) or envelope.mail_from:
            return None
        if not session.host_name or not (session.extended_smtp or not parameters.options):
            return None
        if checks.transaction(self._peer, self._terms):
            return None
        if intake.unwilling() or checks.sender(sender, smtputf8=parameters.smtputf8):
            return None
        if intake.rules.sender(self._peer.identity, sender):
            return None
        envelope.mail_from = sender or NULL_PATH
        envelope.mail_options.extend(parameters.options)
        envelope.smtp_utf8 = parameters.smtputf8
        return _SENDER_OK

    def _rcpt(self, found: re.Match[bytes]) -> bytes | None:
        envelope, address = self.envelope, usual.mailbox(found, "recipient")
        if address is None or not envelope.mail_from or self._chunks is not None:
            return None
        limit = self._front.intake.config.limits.recipients
        if checks.recipient(address, len(envelope.rcpt_tos), limit, smtputf8=envelope.smtp_utf8):
            return None
        if self._terms.domains is not None and self.out_of_bounds(address):
            return None
        envelope.rcpt_tos.append(address)
        return _RECIPIENT_OK

    def _data(self, _found: re.Match[bytes]) -> bytes | None:
        if not self.envelope.rcpt_tos or self._chunks is not None or checks.transaction(self._peer, self._terms):
            return None
        self._begin_body()
        return _GO_AHEAD

    def _rset(self, _found: re.Match[bytes]) -> bytes:
        self._forget_transaction()
        return _OK

    def _noop(self, _found: re.Match[bytes]) -> bytes:
        return _OK

    def _quit(self, _found: re.Match[bytes]) -> bytes:
        self._say(_BYE)
        self._end()
        return _NOTHING


def _line(text: str | Reply) -> bytes:
    return f"{text}\r\n".encode()


_OK, _SENDER_OK, _RECIPIENT_OK = _line(replies.OK), _line(replies.SENDER_OK), _line(replies.RECIPIENT_OK)
_NOTHING = b""
_GO_AHEAD, _BYE = _line(replies.GO_AHEAD), _line(replies.BYE)
_ANSWERS: dict[str, Callable[[Conversation, re.Match[bytes]], bytes | None]] = {
    "EHLO": Conversation._ehlo,  # noqa: SLF001 the class's own table
    "HELO": Conversation._helo,  # noqa: SLF001 the same
    "MAIL": Conversation._mail,  # noqa: SLF001 the same
    "RCPT": Conversation._rcpt,  # noqa: SLF001 the same
    "DATA": Conversation._data,  # noqa: SLF001 the same
    "RSET": Conversation._rset,  # noqa: SLF001 the same
    "NOOP": Conversation._noop,  # noqa: SLF001 the same
    "QUIT": Conversation._quit,  # noqa: SLF001 the same
}
"""What answers each usual command: the reply, or None when the slow way has to."""
