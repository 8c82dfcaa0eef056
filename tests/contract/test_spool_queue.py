"""What every spool promises to people: history, holding, retrying, removing, listing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smtp_gateway.mail.envelope import Envelope, MessageId
from smtp_gateway.spool.api import Attempted, Depth, Listed, NewMessage, Recipient, Selection, Settlement, Spool
from tests.support.messages import BODY, NOW, leased, new_message

LARGE = b"x" * 400_000 + b"\r\n.\r\n"


async def test_the_history_of_a_message_is_kept_while_it_stays(spool: Spool) -> None:
    """What its attempts came to can be read until it leaves; each recipient has its own next attempt."""
    message = await leased(spool, new_message(["a@x.example", "b@x.example"]))
    told = Attempted(NOW, "deferred", "hop[192.0.2.1]:25", "450 4.2.1 Büsy", ("a@x.example", "b@x.example"), until=NOW)
    remaining = (Recipient("a@x.example", 1, "450 4.2.1 Büsy", NOW + 30), Recipient("b@x.example", 1, "450 4.2.1 Büsy", NOW + 90))
    await spool.settle(Settlement(message.id, remaining, NOW + 30, (told,)))
    (entry,) = spool.lease(NOW + 30, 1)
    await spool.settle(Settlement(message.id, remaining[1:], NOW + 90, (replace(told, at=NOW + 30, until=NOW + 30),)))

    assert entry.recipients == remaining
    assert spool.history(message.id) == (replace(told, times=2, until=NOW + 30),)
    queued = spool.entry(message.id)
    assert queued is not None
    assert queued.recipients == remaining[1:]
    spool.lease(NOW + 90, 1)
    await spool.settle(Settlement(message.id))
    assert (spool.entry(message.id), spool.history(message.id)) == (None, ())


async def test_what_is_held_stays(spool: Spool) -> None:
    """It is not leased and falls due for nobody until it is let go; then it is due as before."""
    kept, other = new_message(), new_message(accepted_at=NOW + 5)
    for message in (kept, other):
        await spool.put(message)

    assert await spool.hold(kept.id)
    assert (spool.lease(NOW, 10), spool.next_due(NOW - 1)) == ([], NOW + 5)
    assert [(one.entry.id, one.held) for one in spool.listing(Selection(), 10)] == [(kept.id, True), (other.id, False)]
    assert spool.depth().messages == 2
    assert await spool.unhold(kept.id)
    assert [entry.id for entry in spool.lease(NOW, 10)] == [kept.id]


async def test_a_retry_makes_all_of_a_message_due(spool: Spool) -> None:
    """Whatever its recipients wait for."""
    message = await leased(spool, new_message())
    await spool.settle(Settlement(message.id, (Recipient("you@there.example", 1, "450", NOW + 90),), NOW + 60))

    assert spool.lease(NOW, 1) == []
    assert await spool.retry(message.id, NOW)
    (entry,) = spool.lease(NOW, 1)
    assert entry.recipients == (Recipient("you@there.example", 1, "450", NOW),)


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
async def test_a_removed_message_is_gone(spool: Spool, body: bytes) -> None:
    """With its history and its body; another may come under its identifier."""
    message = await leased(spool, new_message(body=body))
    told = Attempted(NOW, "deferred", "", "450", ("you@there.example",), until=NOW)
    await spool.settle(Settlement(message.id, (Recipient("you@there.example", 1, "450", NOW),), NOW, (told,)))

    assert await spool.remove(message.id)
    assert (spool.depth(), spool.entry(message.id), spool.history(message.id), spool.lease(NOW, 1)) == (Depth(), None, (), [])
    with pytest.raises(KeyError):
        await spool.body(message.id)


async def test_what_is_in_somebodys_hands_is_not_changed(spool: Spool) -> None:
    """A leased message is neither held nor retried nor removed, and what is not there cannot be."""
    message = await leased(spool, new_message())

    for one in (message.id, MessageId("NOBODY")):
        assert [await done for done in (spool.hold(one), spool.unhold(one), spool.retry(one, NOW), spool.remove(one))] == [False] * 4
    assert [listed.leased for listed in spool.listing(Selection(held=False), 10)] == [True]
    await spool.settle(Settlement(message.id))


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (Selection(), "ABCD"),
        (Selection(ids=frozenset(("A", "C", "X"))), "AC"),
        (Selection(sender="ME@here.example"), "AB"),
        (Selection(sender=""), "D"),
        (Selection(recipient="you@THERE.example"), "AD"),
        (Selection(domain="There.example"), "ABD"),
        (Selection(domain="here.example"), ""),
        (Selection(identity="app"), "AB"),
        (Selection(identity=""), "CD"),
        (Selection(older_than=NOW), "AB"),
        (Selection(held=True), "B"),
        (Selection(held=False), "ACD"),
        (Selection(reply="MAILBOX full"), "A"),
        (Selection(sender="me@here.example", domain="there.example", held=False), "A"),
    ],
)
async def test_a_selection_is_what_all_of_it_is_true_of(spool: Spool, selection: Selection, found: str) -> None:
    """Each part by itself, some together, and none that only nearly fits."""
    for one, envelope, accepted_at, identity in (
        ("A", Envelope("me@here.example", ("you@there.example", "they@x.example")), NOW - 2, "app"),
        ("B", Envelope("me@HERE.example", ("her@there.example",)), NOW - 1, "app"),
        ("C", Envelope("them@here.example", ("you@nothere.example", "there.example@x.example")), NOW, ""),
        ("D", Envelope("", ("You@there.example",)), NOW, ""),
    ):
        await spool.put(NewMessage(MessageId(one), envelope, BODY, accepted_at, identity))
    await spool.hold(MessageId("B"))
    (entry,) = spool.lease(NOW - 2, 1)
    recipients = tuple(replace(one, attempts=1, last_reply="452 4.2.2 Mailbox Full") for one in entry.recipients)
    await spool.settle(Settlement(entry.id, recipients, NOW))

    assert "".join(listed.entry.id for listed in spool.listing(selection, 10)) == found


async def test_a_listing_goes_on_where_a_page_ended(spool: Spool) -> None:
    """Pages of two, in the order of identifiers, until an empty one; what is due when is told."""
    messages = [new_message(accepted_at=NOW + number) for number in range(5)]
    for message in reversed(messages):
        await spool.put(message)
    await spool.until_readable()
    pages: list[list[Listed]] = []
    while page := spool.listing(Selection(), 2, pages[-1][-1].entry.id if pages else ""):
        pages.append(page)

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [(one.entry.id, one.next_attempt) for page in pages for one in page] == [(one.id, one.accepted_at) for one in messages]


async def test_a_long_queue_is_looked_at_in_strides(spool: Spool) -> None:
    """A selection can end at an identifier, and the identifier so many messages further on is told; None where there are fewer."""
    ids = sorted([(await spool.put(new_message())).id for _ in range(5)])

    assert [spool.stride("", 1), spool.stride("", 5), spool.stride("", 6)] == [ids[0], ids[4], None]
    assert [spool.stride(ids[1], 2), spool.stride(ids[4], 1)] == [ids[3], None]
    found = spool.listing(Selection(up_to=ids[3]), 10, after=ids[0])
    assert [one.entry.id for one in found] == ids[1:4]
