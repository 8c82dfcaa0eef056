"""How far the queue is behind, as every spool tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.spool.api import Arrears, Recipient, Settlement, Spool
from tests.support.messages import NOW, leased, new_message

if TYPE_CHECKING:
    from smtp_gateway.mail.envelope import MessageId


def nothing(_message_id: MessageId) -> bool:
    """No attempt is under way."""
    return False


async def test_an_empty_queue_is_not_behind(spool: Spool) -> None:
    """Nothing is held, nothing is old, nothing is late."""
    assert spool.arrears(NOW, nothing) == Arrears()


async def test_what_is_put_off_is_not_late_until_it_is_due(spool: Spool) -> None:
    """Mail that waits for its next attempt, for days perhaps, is old and not late."""
    message = await leased(spool, new_message())
    await spool.settle(Settlement(message.id, (Recipient("you@there.example", 9, "450 busy", NOW + 90),), NOW + 90))

    assert spool.arrears(NOW + 90, nothing) == Arrears(oldest=NOW)
    assert spool.arrears(NOW + 91.5, nothing) == Arrears(oldest=NOW, lateness=1.5)


async def test_the_most_overdue_message_counts_whose_ever_it_is(spool: Spool) -> None:
    """Leased mail that waits for its turn is late as well; an attempt under way is not, however long it takes."""
    slow = new_message(accepted_at=NOW - 60)
    for message in (slow, new_message(accepted_at=NOW - 20, identity="shop"), new_message(accepted_at=NOW - 5)):
        await spool.put(message)
    spool.lease(NOW, 10)
    await spool.put(new_message(accepted_at=NOW + 5))

    assert spool.arrears(NOW, nothing).lateness == 60
    assert spool.arrears(NOW, slow.id.__eq__).lateness == 20
    assert spool.arrears(NOW, lambda _: True) == Arrears(oldest=NOW - 60)


async def test_held_mail_is_counted_and_nothing_else(spool: Spool) -> None:
    """It is neither late nor old; let go, it is both again."""
    kept = new_message(accepted_at=NOW - 60)
    for message in (kept, new_message(accepted_at=NOW - 5)):
        await spool.put(message)
    await spool.hold(kept.id)
    assert spool.arrears(NOW, nothing) == Arrears(1, NOW - 5, 5.0)
    assert spool.depth().messages == 2

    await spool.unhold(kept.id)
    assert spool.arrears(NOW, nothing) == Arrears(0, NOW - 60, 60.0)


async def test_a_spool_that_cannot_be_read_tells_what_it_was(spool: Spool) -> None:
    """As its depth, so that a report is never without a queue."""
    await spool.put(new_message(accepted_at=NOW - 5))
    before = spool.arrears(NOW, nothing)
    await spool.close()

    assert spool.arrears(NOW, nothing) == before
