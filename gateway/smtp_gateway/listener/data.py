"""What follows DATA on one connection: a body, and what becomes of it.

Of a body at most `LARGE` octets are held; a larger one goes to the spool while it arrives, and the client is not read from while the disk
is behind. So one connection holds less than `MEMORY`, whatever it sends, and all of them together hold no more of bodies than intake has
room for. A body that is refused is swallowed to its end, so that what it contains is never taken for commands; one that breaks off
leaves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from smtp_gateway.listener.body import IncomingBody
from smtp_gateway.listener.connection import Connection, State
from smtp_gateway.listener.hooks import NULL_PATH
from smtp_gateway.listener.replies import REQUIRETLS
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.mail.reply import Reply
from smtp_gateway.spool.bodies import LARGE

if TYPE_CHECKING:
    from smtp_gateway.intake import Incoming
    from smtp_gateway.listener.connection import Front
    from smtp_gateway.spool.api import Draft

MEMORY = 2 * 1024 * 1024
"""Octets that one connection holds at most: a body or its backlog of `LARGE` and one read (256 KiB), what was read behind it, a copy of
each while it is handed on, and replies that wait for the client."""
PROGRESS = 16 * 1024
"""Octets of a body that count as progress. With the session's 300 s that is 55 octets a second: slower than any link, faster than a
client that only holds a session. Octets that are swallowed are no progress, so that an endless body ends."""

_log = structlog.get_logger()


class DataPhase(Connection):
    """The bodies of one client's messages."""

    def __init__(self, front: Front) -> None:
        """Begin with none."""
        super().__init__(front)
        self._body: IncomingBody
        self._incoming: Incoming | None = None
        """The message whose body arrives, once it had to be named."""
        self._draft: Draft | None = None
        self._silent = 0
        """Octets of the body that arrived since the last progress."""

    def connection_lost(self, error: Exception | None) -> None:
        """End, and leave nothing of a message that was not whole."""
        if self._state is State.DATA:
            self._abandon()
        super().connection_lost(error)

    def _begin_body(self) -> None:
        self._state = State.DATA
        self._body = IncomingBody(self.data_size_limit or 0, self._front.intake.room)
        self._silent = 0

    def _receive(self) -> bool:
        """Take what has arrived of the body; tell whether it is over and there may be commands behind it."""
        chunk = self._inbox.take()
        rest = self._body.feed(chunk)
        if rest is not None:
            self._inbox.add(rest)
            self._complete()
            return True
        self._note_progress(len(chunk))
        if self._body.refusal is not None:
            self._discard()
        elif self._draft is not None or self._body.held > LARGE:
            self._store()
        return False

    def _note_progress(self, octets: int) -> None:
        self._silent += octets
        if self._silent >= PROGRESS and self._body.progressing:
            self._silent = 0
            self._reset_timeout()

    def _store(self) -> None:
        """Hand what is held to the spool; read on when that is written, if it takes its time."""
        octets = self._body.spill()
        draft = self._draft
        if draft is not None:
            draft.write(octets)
        else:
            incoming = self._front.intake.begin(self._peer, self._said, octets)
            if isinstance(incoming, Reply):
                self._body.refuse(incoming)
                return
            self._incoming = incoming
            draft = self._draft = self._front.intake.draft(incoming, octets)
        if draft.backlog > LARGE and not self._behind:
            self._behind = True
            draft.when_written(self._caught_up)

    def _caught_up(self) -> None:
        self._behind = False
        self._reset_timeout()
        self._go_on()

    def _complete(self) -> None:
        """Hand the message to intake, or refuse it."""
        if self._body.refusal is None and (self._draft is not None or self._body.held > LARGE):
            self._store()
        if self._body.refusal is not None:
            self._refuse_message(self._body.refusal)
        elif self._incoming is not None and self._draft is not None:
            self._accept(self._incoming, self._draft)
        else:
            body = self._body.take()
            incoming = self._front.intake.begin(self._peer, self._said, body)
            if isinstance(incoming, Reply):
                self._refuse_message(incoming)
            else:
                self._accept(incoming, body)

    def _accept(self, incoming: Incoming, body: bytes | Draft) -> None:
        self._state = State.WAIT
        self._incoming = self._draft = None
        self._front.intake.accept(incoming, body, self._accepted)

    def _accepted(self, answer: Reply) -> None:
        """Tell the client what became of its message, if it is still there."""
        self._conclude(answer)
        self._go_on()

    def _refuse_message(self, refusal: Reply) -> None:
        self._discard()
        peer = self._peer
        _log.info("refused", peer=peer.address, listener=peer.listener, identity=peer.identity, reply=str(refusal))
        self._conclude(refusal)

    def _conclude(self, answer: Reply) -> None:
        self._body.release()
        self._forget_transaction()
        self._reset_timeout()
        self._state = State.COMMAND
        self._answer(answer)

    def _abandon(self) -> None:
        """Leave nothing of a message that will not be whole."""
        self._discard()
        self._body.release()

    def _discard(self) -> None:
        if self._draft is not None:
            self._draft.discard()
        self._incoming = self._draft = None

    @property
    def _said(self) -> Envelope:
        """What MAIL and RCPT said."""
        said = self.envelope
        return Envelope(
            sender="" if said.mail_from == NULL_PATH else str(said.mail_from),
            recipients=tuple(said.rcpt_tos),
            smtputf8=said.smtp_utf8,
            body_8bit="BODY=8BITMIME" in said.mail_options,
            dsn=said.dsn,
            requiretls=REQUIRETLS in said.mail_options,
        )
