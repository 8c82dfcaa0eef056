"""What became of each recipient of a message, told to the log and to the observer once it is written down: a line for all that are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from smtp_gateway.mail.body import DamagedBodyError
from smtp_gateway.mail.outcome import Delivered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from smtp_gateway.mail.encryption import Encryption
    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.mail.outcome import Outcome
    from smtp_gateway.routing.table import Batch
    from smtp_gateway.spool.api import Entry
    from smtp_gateway.telemetry.observer import Observer

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Settled:
    """One attempt that is over."""

    entry: Entry
    """With those of its recipients that were tried."""
    batches: tuple[Batch, ...]
    outcomes: Mapping[str, Outcome]
    """By recipient, as they finally are."""
    notice: MessageId | None
    """The bounce that tells the sender what failed."""


def age(entry: Entry, now: float) -> float:
    """Return the seconds since *entry* was accepted."""
    return round(now - entry.accepted_at, 3)


def again(entry: Entry, batch: Batch) -> bool:
    """Tell whether an attempt of *batch* is not the first of one of its recipients."""
    return any(recipient.attempts and recipient.address in batch.recipients for recipient in entry.recipients)


def tell_broken_off(entry: Entry, fault: Exception, now: float) -> None:
    """Tell the log at *now* why an attempt of *entry* did not come to its end; whoever had not been answered for by then is still owed."""
    if isinstance(fault, DamagedBodyError):
        _log.error("damaged", message_id=entry.id, sender=entry.sender, reason=str(fault), age=age(entry, now))
    else:
        _log.error("attempt broken off", message_id=entry.id, exc_info=fault)


def tell(settled: Settled, observer: Observer, now: float) -> None:
    """Tell the log and *observer* at *now* what became of each recipient."""
    entry, seconds = settled.entry, age(settled.entry, now)
    about = {"message_id": entry.id, "age": seconds, "attempts": max(recipient.attempts for recipient in entry.recipients) + 1}
    for batch in settled.batches:
        route, identity = batch.route.name, entry.identity
        for (event, hop, reply, encryption), addresses in _alike(batch, settled.outcomes).items():
            told: Mapping[str, Any] = {"notice": _notice(settled, addresses)} if event == "bounced" else {}
            if event == "delivered":
                told = _travelled(encryption)
            _log.info(event, **about, route=route, hop=hop, reply=reply, recipients=len(addresses), to=addresses, **told)
            if event == "delivered":
                observer.delivered(route, identity, len(addresses), seconds)
                if encryption is not None:
                    observer.encrypted(route, len(addresses), encryption)
            elif event == "deferred":
                observer.deferred(route, identity, len(addresses))
            else:
                observer.bounced(route, identity, len(addresses))


def _notice(settled: Settled, addresses: Iterable[str]) -> MessageId | None:
    """Return the bounce, when it tells of any of *addresses*."""
    return settled.notice if any(settled.entry.dsn.about(address).failure for address in addresses) else None


_IN_THE_CLEAR = {"tls": "none"}


def _travelled(encryption: Encryption | None) -> Mapping[str, Any]:
    """Return what the log says of how a message got to its next hop."""
    if encryption is None:
        return _IN_THE_CLEAR
    return {"tls": encryption.version, "cipher": encryption.cipher, "verified": encryption.verified}


def _alike(batch: Batch, outcomes: Mapping[str, Outcome]) -> dict[tuple[str, str, str, Encryption | None], list[str]]:
    """Divide *batch*'s recipients by what became of them, what was said about it, and how the message travelled."""
    found: dict[tuple[str, str, str, Encryption | None], list[str]] = {}
    for address in batch.recipients:
        outcome = outcomes[address]
        encryption = outcome.encryption if isinstance(outcome, Delivered) else None
        found.setdefault((outcome.event, outcome.hop, str(outcome.reply), encryption), []).append(address)
    return found
