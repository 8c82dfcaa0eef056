"""The spool's port, and the values that cross it. Two implementations live behind it: `disk` and its twin `memory`.

A message enters by `put`, leaves dispatch's hands by `settle`, and is gone once every recipient is delivered or failed. A lease is
held in memory only, so it dies with the process: what was leased when the process died is due again at the next start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from smtp_gateway.mail.body import Body
    from smtp_gateway.mail.envelope import Envelope, MessageId


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient that is still owed a delivery, with its own history."""

    address: str
    attempts: int = 0
    """Attempts that ended for this recipient so far."""
    last_reply: str = ""
    """What the last attempt ended with, for people: the next hop's reply, or why there was none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One queued message, without its body."""

    id: MessageId
    sender: str
    recipients: tuple[Recipient, ...]
    """Those still owed; never empty."""
    accepted_at: float
    """Seconds since the epoch."""
    size: int
    """Octets of the body in wire form."""
    smtputf8: bool = False
    body_8bit: bool = False
    identity: str = ""
    """The name of the Secret of the login that sent it; empty for the gateway's own notices."""


class Draft(Protocol):
    """A large body on its way in, from `Spool.draft`: written while it arrives, so that it is never held whole.

    What cannot be written is remembered and reported by `put`; until then a draft swallows what it is given.
    """

    @property
    def size(self) -> int:
        """Octets taken so far."""

    @property
    def backlog(self) -> int:
        """Octets taken and not yet written: what it costs in memory."""

    def write(self, octets: bytes) -> None:
        """Take the next *octets* of the body in wire form. Returns at once, never raises; a thread writes them in their order."""

    def when_written(self, resume: Callable[[], None]) -> None:
        """Call *resume* once, in the event loop, as soon as the backlog is empty."""

    def discard(self) -> None:
        """Forget the draft and remove what was written. Once it was given to `put`, or discarded, this does nothing."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to take responsibility for."""

    id: MessageId
    envelope: Envelope
    body: bytes | Draft
    """In wire form (see `smtp_gateway.mail.envelope`), trace header included; a draft has the message's own identifier."""
    accepted_at: float
    identity: str = ""

    @property
    def size(self) -> int:
        """Octets of the body in wire form."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.size

    def as_entry(self) -> Entry:
        """Return the message as the queue sees it at first: every recipient owed, none tried."""
        return Entry(
            id=self.id,
            sender=self.envelope.sender,
            recipients=tuple(Recipient(address) for address in self.envelope.recipients),
            accepted_at=self.accepted_at,
            size=self.size,
            smtputf8=self.envelope.smtputf8,
            body_8bit=self.envelope.body_8bit,
            identity=self.identity,
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt made of an entry: written in one transaction."""

    id: MessageId
    remaining: tuple[Recipient, ...] = ()
    """The recipients still owed; when empty, the message leaves the spool."""
    next_attempt: float = 0.0
    """When the remaining ones are due, in seconds since the epoch."""
    notice: NewMessage | None = None
    """A bounce that enters the spool in the same transaction, so that neither can be lost without the other."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How much the spool holds."""

    messages: int = 0
    oldest: float | None = None
    """When the oldest message was accepted, in seconds since the epoch; None when empty."""
    damaged: int = 0
    """Messages that were moved aside because their body was damaged; they are not among `messages`."""


FULL = "the spool's volume is full"
"""What `Spool.healthy` says when room is all that is missing: clients are then told so (452)."""


class SpoolUnavailableError(Exception):
    """The spool could not make a message durable; the client must keep it (451)."""


class SpoolFullError(SpoolUnavailableError):
    """There is no space left for it (452)."""


class Spool(Protocol):
    """Durable custody of messages. Used by one event loop; no call blocks it on a sync of the disk.

    `put` and `settle` return futures. What they do is done whether or not anybody waits, and whether or not the waiting is cancelled.
    """

    def put(self, message: NewMessage, *, leased: bool = False) -> asyncio.Future[Entry]:
        """Make *message* durable. When the future is done, neither a crash nor a power cut can lose it.

        With *leased* the caller has its entry as from `lease`. The future fails with `SpoolFullError` or `SpoolUnavailableError`, and then
        the message is not in the spool. Raises `ValueError` for an identifier that no message can have.
        """

    def draft(self, message_id: MessageId) -> Draft:
        """Begin the body of a message that will be put as *message_id*. Raises `ValueError` as `put` does."""

    def lease(self, now: float, limit: int) -> list[Entry]:
        """Hand out at most *limit* due entries: identities take turns, and each has its oldest first, whatever others have queued.

        None is handed out again before its `settle` or `release`.
        """

    def release(self, message_id: MessageId) -> None:
        """Give back a leased entry untouched, as when a shutdown interrupts its attempt: it is due at once.

        What is being settled is beyond recall.
        """

    def next_due(self, now: float) -> float | None:
        """Tell when the first entry that is not due at *now* falls due; None when there is none."""

    async def body(self, message_id: MessageId) -> Body:
        """Return the body of a queued message in wire form: whole up to `smtp_gateway.spool.bodies.LARGE` octets, in blocks above.

        Raises `KeyError` when there is no such message, `OSError` when it cannot be read now, and `DamagedBodyError` when what is on the
        disk is not what was put; the message has then left the queue. A body in blocks says so when it is read.
        """

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """Write down what an attempt made of a leased entry, durably, and end its lease.

        The future fails with `SpoolUnavailableError` when that could not be written; the lease then goes on. Raises `ValueError` for an
        entry that is not leased, or is being settled already.
        """

    def depth(self) -> Depth:
        """Tell how much is queued, leased entries included."""

    def healthy(self) -> str | None:
        """Tell why new mail cannot be taken now, as one sentence for the operator of the system; None when it can."""

    async def close(self) -> None:
        """Finish what is being written and let go of the files."""
