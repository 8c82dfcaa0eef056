"""The spool's port, and the values that cross it. Two implementations live behind it: `disk` and its twin `memory`.

A message enters by `put`, leaves dispatch's hands by `settle`, and is gone once every recipient is delivered or failed. A lease is
held in memory only, so it dies with the process: what was leased when the process died is due again at the next start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from smtp_gateway.mail.dsn import NO_DSN, Dsn

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from smtp_gateway.mail.body import Body
    from smtp_gateway.mail.envelope import Envelope, MessageId

    UnderWay = Callable[[MessageId], bool]
    """Tells whether an attempt of a message is under way."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient that is still owed a delivery, with its own history."""

    address: str
    attempts: int = 0
    """Attempts that ended for this recipient so far."""
    last_reply: str = ""
    """What the last attempt ended with, for people: the next hop's reply, or why there was none."""
    next_attempt: float = 0.0
    """When it is to be tried again, in seconds since the epoch; never tried, it is due at once."""
    warned: bool = False
    """Whether the warning of its delay is done with: sent, or kept back for good."""


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
    dsn: Dsn = NO_DSN
    """What its client asks to be told; of recipients that are owed no longer as well."""
    requiretls: bool = False


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
            dsn=self.envelope.dsn,
            requiretls=self.envelope.requiretls,
        )


@dataclass(frozen=True, slots=True)
class Attempted:
    """What became of some recipients of a message at one attempt; of equal ones in a row, the first stands for all."""

    at: float
    """When it was first so, in seconds since the epoch."""
    event: str
    """`delivered`, `deferred` or `bounced`, as in the log."""
    hop: str
    """The next hop, as `host[address]:port`; empty when none was reached."""
    reply: str
    recipients: tuple[str, ...]
    times: int = 1
    until: float = 0.0
    """When it was last so; when only once, the same as `at`."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt made of an entry: written in one transaction."""

    id: MessageId
    remaining: tuple[Recipient, ...] = ()
    """The recipients still owed; when empty, the message leaves the spool."""
    next_attempt: float = 0.0
    """When the message is due: most often with the earliest of the remaining ones. In seconds since the epoch."""
    history: tuple[Attempted, ...] = ()
    """What this attempt came to, kept for as long as the message stays."""
    notice: NewMessage | None = None
    """A bounce that enters the spool in the same transaction, so that neither can be lost without the other."""
    leased: bool = False
    """Whether the lease goes on, which it only can while recipients are owed."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages are meant: those that everything said here is true of. What is left as it is says nothing."""

    ids: frozenset[str] = frozenset()
    """Any of them."""
    up_to: str | None = None
    """The last identifier that is meant, in their order."""
    sender: str | None = None
    """The sender, compared without case; empty for the null sender."""
    recipient: str | None = None
    """A recipient that is still owed, compared without case."""
    domain: str | None = None
    """The domain of a recipient that is still owed, compared without case."""
    identity: str | None = None
    """Whose mail; empty for the gateway's own notices."""
    older_than: float | None = None
    """Accepted before, in seconds since the epoch."""
    held: bool | None = None
    reply: str | None = None
    """A part of the last reply about a recipient, compared without case."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A queued message as people see it."""

    entry: Entry
    next_attempt: float
    """When it is due, in seconds since the epoch."""
    held: bool = False
    """Whether it stays where it is until it is let go."""
    leased: bool = False
    """Whether it is being delivered, or about to be."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How much the spool holds."""

    messages: int = 0
    oldest: float | None = None
    """When the oldest message was accepted, in seconds since the epoch; None when empty."""
    damaged: int = 0
    """Messages that were moved aside because their body was damaged; they are not among `messages`."""


@dataclass(frozen=True, slots=True)
class Arrears:
    """How far the queue is behind."""

    held: int = 0
    """Messages that are held; they count for nothing else here."""
    oldest: float | None = None
    """When the message that came first of those which are not held was accepted, in seconds since the epoch; None when there is none."""
    lateness: float = 0.0
    """Seconds by which the most overdue message is late that no attempt is under way for; 0 when nothing is due."""


FULL = "the spool's volume is full"
"""What `Spool.healthy` says when room is all that is missing: clients are then told so (452)."""


@dataclass(frozen=True, slots=True)
class Space:
    """What the volume under the spool has, in octets."""

    size: int
    free: int
    """For new mail: what is left beside the reserve and what is promised."""
    used: int
    """By anybody, the reserve's ballast among it."""


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

        None is handed out again before its `settle` or `release`; what is held is not handed out.
        """

    def release(self, message_id: MessageId) -> None:
        """Give back a leased entry untouched, as when a shutdown interrupts its attempt: it is due at once.

        What is being settled is beyond recall.
        """

    def next_due(self, now: float) -> float | None:
        """Tell when the first entry that is not due at *now* and not held falls due; None when there is none.

        While more is due than was leased, it may be told too early.
        """

    async def body(self, message_id: MessageId) -> Body:
        """Return the body of a queued message in wire form: whole up to `smtp_gateway.spool.bodies.LARGE` octets, in blocks above.

        Raises `KeyError` when there is no such message, `OSError` when it cannot be read now, and `DamagedBodyError` when what is on the
        disk is not what was put; a body in blocks says so when it is read. The message has then left the queue, or is leased and leaves it
        with its settlement, whoever is still owed it.
        """

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """Write down what an attempt made of a leased entry, durably, and end its lease.

        The future fails with `SpoolUnavailableError` when that could not be written; the lease then goes on. Raises `ValueError` for an
        entry that is not leased, or is being settled already.
        """

    async def until_readable(self) -> None:
        """Return when `entry`, `history` and `listing` can be asked: at once, or some 100 ms later. Raises `SpoolUnavailableError`."""

    def entry(self, message_id: MessageId) -> Entry | None:
        """Return a queued message; None when there is none of that identifier.

        This and the next two raise `SpoolUnavailableError` when the queue cannot be read at this moment (see `until_readable`).
        """

    def history(self, message_id: MessageId) -> tuple[Attempted, ...]:
        """Return what became of a queued message so far, in the order of the first times."""

    def listing(self, selection: Selection, limit: int, after: str = "") -> list[Listed]:
        """Return at most *limit* messages of *selection* whose identifiers come after *after*, in the order of identifiers, which is that of arrival.

        A page costs as much as the messages it has to look at, in the event loop: up to a second or two where a million were queued and none
        is meant. `stride` gives `Selection.up_to` for a page that does not hold the loop up.
        """

    def stride(self, after: str, messages: int) -> str | None:
        """Return the identifier *messages* further on than *after*; None when there are not as many. Raises as `entry` does."""

    def hold(self, message_id: MessageId) -> asyncio.Future[bool]:
        """Keep a message from being delivered until `unhold`, durably.

        Like the next three, tells False, and changes nothing, when there is no such message or it is leased; fails with
        `SpoolUnavailableError` when it could not be written.
        """

    def unhold(self, message_id: MessageId) -> asyncio.Future[bool]:
        """Let a held message go; it is due when it was before."""

    def retry(self, message_id: MessageId, now: float) -> asyncio.Future[bool]:
        """Make a message with all its recipients due at *now*, in seconds since the epoch. What is held stays held."""

    def remove(self, message_id: MessageId) -> asyncio.Future[bool]:
        """Forget a message with its body. Nobody is told."""

    def depth(self) -> Depth:
        """Tell how much is queued, leased entries included."""

    def arrears(self, now: float, under_way: UnderWay) -> Arrears:
        """Tell how far the queue is behind at *now*. While it cannot be read (see `until_readable`), what it was when it could is told."""

    def healthy(self) -> str | None:
        """Tell why new mail cannot be taken now, as one sentence for the operator of the system; None when it can."""

    def space(self) -> Space | None:
        """Tell what the volume had when it was last looked at; None where there is none."""

    async def close(self) -> None:
        """Finish what is being written and let go of the files."""
