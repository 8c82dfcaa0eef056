"""What the disk's spool knows without asking the disk: who is leased, what is on its way to the disk, how much there is.

A change (`Putting`, `Settling`, `Altering`) is told once, by a plain call, that it is durable or that it failed. It enters that here first and
answers its future last, so that no one who waits can find the ledger behind. A future that its caller cancelled is not answered, and
everything else happens all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smtp_gateway.spool.rows import Place
from smtp_gateway.spool.turns import Turns

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Callable

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry, Settlement, SpoolUnavailableError
    from smtp_gateway.spool.room import Room
    from smtp_gateway.spool.rows import Arrival

    Alteration = Callable[[sqlite3.Connection, MessageId], bool]
    """Makes a change to a message; tells whether there is such a message."""


@dataclass(slots=True, eq=False)
class Ledger:
    """The spool's memory."""

    remove_file: Callable[[MessageId], None]
    """Removes the file of a body that is needed no longer."""
    room: Room
    """The account of the volume."""
    turns: Turns = field(default_factory=Turns)
    messages: int = 0
    damaged: int = 0
    leased: dict[MessageId, Place] = field(default_factory=dict)
    settling: set[MessageId] = field(default_factory=set)
    """The leased ones whose settlement is on its way to the disk."""
    unsynced: set[MessageId] = field(default_factory=set)
    """In the index perhaps, on the disk not yet: neither acknowledged nor to be delivered."""
    refused: set[MessageId] = field(default_factory=set)
    """Refused because the disk failed under them: their clients keep them, and they are taken out of the index when it is opened again."""
    doubtful: set[MessageId] = field(default_factory=set)
    """The notices of settlements that failed so: in the index perhaps."""
    entered: set[MessageId] = field(default_factory=set)
    """Those of them that were found in it, so that they must not be written again."""
    gone: set[MessageId] = field(default_factory=set)
    """Leased messages that the index had no longer when it was opened again: settling them changes nothing."""

    def release(self, message_id: MessageId) -> None:
        """End the lease of a message that is not being settled, without a settlement."""
        if message_id in self.leased and message_id not in self.settling:
            self.turns.expect(self.leased.pop(message_id).identity, 0.0)

    def __contains__(self, message_id: object) -> bool:
        """Tell whether a message must not be handed out."""
        return message_id in self.leased or message_id in self.unsynced


@dataclass(slots=True, eq=False)
class Putting:
    """A message on its way to the disk."""

    ledger: Ledger
    arrival: Arrival
    leased: bool
    done: asyncio.Future[Entry]
    number: int = 0
    """In the index, once it is there."""
    _promised: int = 0

    @property
    def place(self) -> Place:
        """Where it is in the index."""
        return Place(self.number, self.arrival.body is None, 0, self.arrival.entry.identity)

    def promise(self, octets: int) -> None:
        """Set *octets* of the volume aside, until it is in the spool or is not."""
        self._promised = octets
        self.ledger.room.promise(octets)

    def succeed(self) -> None:
        """Take note that the message is durable."""
        ledger, entry = self.ledger, self.arrival.entry
        ledger.room.release(self._promised)
        ledger.unsynced.discard(entry.id)
        ledger.messages += 1
        if self.leased:
            ledger.leased[entry.id] = self.place
        else:
            ledger.turns.expect(entry.identity, entry.accepted_at)
        if not self.done.done():
            self.done.set_result(entry)

    def fail(self, fault: SpoolUnavailableError) -> None:
        """Take note that it is not in the spool; its body's file is removed, unless its row may be on the disk all the same."""
        if self.arrival.body is None and self.arrival.entry.id not in self.ledger.refused:
            self.ledger.remove_file(self.arrival.entry.id)
        self.give_up(fault)

    def give_up(self, fault: SpoolUnavailableError) -> None:
        """Take note that it is not in the spool and has no file."""
        self.ledger.room.release(self._promised)
        self.ledger.unsynced.discard(self.arrival.entry.id)
        if not self.done.done():
            self.done.set_exception(fault)


@dataclass(slots=True, eq=False)
class Settling:
    """A settlement on its way to the disk."""

    ledger: Ledger
    place: Place
    settlement: Settlement
    notice: Arrival | None
    done: asyncio.Future[None]

    def leave_out_what_entered(self) -> None:
        """Do not write a notice once more that was found in the index after a failure."""
        if self.notice is not None and self.notice.entry.id in self.ledger.entered:
            self.ledger.entered.discard(self.notice.entry.id)
            self.ledger.unsynced.discard(self.notice.entry.id)
            self.notice = None

    def succeed(self) -> None:
        """End the lease, now that the settlement is durable, and only then let the body's file be removed."""
        ledger, settlement = self.ledger, self.settlement
        goes_on = settlement.leased and bool(settlement.remaining)
        if not goes_on:
            del ledger.leased[settlement.id]
        ledger.settling.discard(settlement.id)
        if self.notice is not None:
            ledger.unsynced.discard(self.notice.entry.id)
            ledger.turns.expect(self.notice.entry.identity, self.notice.entry.accepted_at)
            ledger.messages += 1
        if settlement.remaining and not goes_on:
            ledger.turns.expect(self.place.identity, settlement.next_attempt)
        if settlement.id in ledger.gone and not goes_on:
            ledger.gone.discard(settlement.id)
        elif not settlement.remaining:
            ledger.messages -= 1
            if self.place.in_file:
                ledger.remove_file(settlement.id)
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, fault: SpoolUnavailableError) -> None:
        """Let the lease go on."""
        self.ledger.settling.discard(self.settlement.id)
        if self.notice is not None:
            self.ledger.unsynced.discard(self.notice.entry.id)
        if not self.done.done():
            self.done.set_exception(fault)


@dataclass(slots=True, eq=False)
class Altering:
    """A change that somebody asked for, on its way to the disk: what it changes is found when it is written."""

    ledger: Ledger
    message_id: MessageId
    alter: Alteration
    done: asyncio.Future[bool]
    removes: bool = False
    changed: bool = False

    def apply(self, connection: sqlite3.Connection) -> None:
        """Make the change, unless the message is in somebody's hands. Raises `sqlite3.Error`."""
        self.changed = self.message_id not in self.ledger and self.alter(connection, self.message_id)

    def succeed(self) -> None:
        """Take note that the change is durable."""
        if self.changed:
            self.ledger.turns.forget()
        if self.changed and self.removes:
            self.ledger.messages -= 1
            self.ledger.remove_file(self.message_id)
        if not self.done.done():
            self.done.set_result(self.changed)

    def fail(self, fault: SpoolUnavailableError) -> None:
        """Say that nothing was changed."""
        if not self.done.done():
            self.done.set_exception(fault)
