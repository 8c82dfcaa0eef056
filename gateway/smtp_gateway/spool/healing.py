"""A broken spool opens its folder again: what is on the disk counts, and it is compared with what callers were told meanwhile.

The rules, each for one kind of caller:

- a client whose message was refused keeps it, so the message is taken out of the index if it is there, and its file with it;
- an entry that is leased stays leased: it is being delivered, and only its settlement can end that. The settlement was refused, is offered
  again, and is written so that twice is the same as once: removing what is not there does nothing, remaining recipients replace those
  before them, a notice that is there is not written a second time, and an attempt is not counted twice in the history;
- numbers of rows are not used again, so that a settlement cannot meet another message;
- who asked to hold, retry or remove a message was told that it failed. It may be done all the same; asking again is harmless.

What is read back is then written anew and synced before anything is acknowledged (`Journal.succeed`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.spool import ballast, bodies, rows
from smtp_gateway.spool.api import SpoolUnavailableError
from smtp_gateway.spool.journal import Journal, open_journal

if TYPE_CHECKING:
    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.ledger import Ledger
    from smtp_gateway.spool.room import Look


@dataclass(frozen=True, slots=True)
class Patient:
    """What was promised before the failure."""

    damaged: bool
    refused: frozenset[MessageId]
    doubtful: frozenset[MessageId]
    leased: frozenset[MessageId]


@dataclass(frozen=True, slots=True)
class Healed:
    """The spool after its folder was opened again."""

    journal: Journal
    look: Look
    messages: int
    damaged: int
    patient: Patient
    entered: frozenset[MessageId]
    gone: frozenset[MessageId]

    def enter(self, ledger: Ledger) -> None:
        """Bring *ledger* in line with the disk; in the event loop."""
        ledger.messages, ledger.damaged = self.messages, self.damaged
        ledger.turns.forget()
        ledger.refused -= self.patient.refused
        ledger.doubtful -= self.patient.doubtful
        ledger.entered |= self.entered
        ledger.gone |= self.gone & ledger.leased.keys()


def patient_of(ledger: Ledger, *, damaged: bool) -> Patient:
    """Return what *ledger* promised; with *damaged* the index is salvaged."""
    return Patient(damaged, frozenset(ledger.refused), frozenset(ledger.doubtful), frozenset(ledger.leased))


def heal(broken: Journal, patient: Patient) -> Healed:
    """Give up *broken* and open its folder again, with the ballast's room if it cannot be done without; in the thread that syncs.

    Raises `SpoolUnavailableError`, `sqlite3.Error` or `OSError`; it can then be tried again.
    """
    broken.abandon()
    try:
        return _healed(broken, patient)
    except (SpoolUnavailableError, sqlite3.Error, OSError):
        if not ballast.give_up(broken.folder.ballast):
            raise
    return _healed(broken, patient)


def _healed(broken: Journal, patient: Patient) -> Healed:
    folder = broken.folder
    journal = open_journal(folder, damaged=patient.damaged and not broken.salvaged, running=True)
    broken.salvaged = True  # should the rest fail, the next try need not do it again
    try:
        look = journal.succeed(broken, patient.refused)
        for message_id in patient.refused:
            bodies.remove(folder.bodies, message_id)
        entered, present = (_present(journal, ids) for ids in (patient.doubtful, patient.leased))
        return Healed(
            journal,
            look,
            rows.count(journal.connection),
            bodies.count_aside(folder.damaged),
            patient,
            entered,
            patient.leased - present,
        )
    except BaseException:
        journal.abandon()
        raise


def _present(journal: Journal, ids: frozenset[MessageId]) -> frozenset[MessageId]:
    return frozenset(one for one in ids if rows.find(journal.connection, one) is not None)
