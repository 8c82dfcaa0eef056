"""What every spool promises: the disk's and its twin in memory, by the same tests."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from smtp_gateway.mail.dsn import NO_DSN, Asked, Dsn
from smtp_gateway.mail.envelope import Envelope, MessageId
from smtp_gateway.spool.api import Depth, NewMessage, Recipient, Selection, Settlement, Spool, SpoolUnavailableError
from smtp_gateway.spool.bodies import BLOCK
from smtp_gateway.spool.memory import MemorySpool
from tests.support.messages import BODY, NOW, leased, new_message, whole

LARGE_FROM = 100_000
"""Between the sizes that tests call small and large."""
LARGE = b"x" * 400_000 + b"\r\n.\r\n"


async def test_put_returns_the_entry_with_every_recipient_owed(spool: Spool) -> None:
    """A put message is an entry whose recipients were never tried."""
    message = new_message(["a@x.example", "b@x.example"])

    entry = await spool.put(message)

    assert entry.recipients == (Recipient("a@x.example"), Recipient("b@x.example"))
    assert (entry.id, entry.sender, entry.size, entry.accepted_at) == (message.id, "me@here.example", len(BODY), NOW)


async def test_a_leased_entry_is_the_one_that_was_put(spool: Spool) -> None:
    """What is leased equals what put returned, flags and identity included."""
    envelope = Envelope("mé@here.example", ("ü@there.example",), smtputf8=True, body_8bit=True)
    entry = await spool.put(NewMessage(MessageId("FLAGS"), envelope, BODY, NOW, identity="app-logins"))

    assert spool.lease(NOW, 1) == [entry]
    assert (entry.smtputf8, entry.body_8bit, entry.identity) == (True, True, "app-logins")


async def test_what_a_client_asked_to_be_told_stays_with_its_message(spool: Spool) -> None:
    """Through a deferral, for as long as a recipient is owed; who asked for nothing has nothing, by identity."""
    dsn = Dsn("HDRS", "QQ1", {"b@x.example": Asked("NEVER", "rfc822;c@y")})
    envelope = Envelope("me@here.example", ("a@x.example", "b@x.example"), dsn=dsn)
    entry = await spool.put(NewMessage(MessageId("ASKED"), envelope, BODY, NOW, identity="a"), leased=True)
    await spool.put(new_message(identity="b"))
    await spool.settle(Settlement(entry.id, (Recipient("b@x.example", 1, "451"),), NOW + 1))

    asking, other = sorted(spool.lease(NOW + 1, 2), key=lambda entry: entry.identity)
    assert entry.dsn == asking.dsn == dsn
    assert other.dsn is NO_DSN
    assert [listed.entry.dsn for listed in spool.listing(Selection(identity="a"), 1)] == [dsn]


async def test_what_may_travel_under_tls_alone_stays_so(spool: Spool) -> None:
    """Through a deferral and a reading of the list; all other mail is not so."""
    envelope = Envelope("me@here.example", ("a@x.example",), requiretls=True)
    entry = await spool.put(NewMessage(MessageId("TLS"), envelope, BODY, NOW, identity="a"), leased=True)
    await spool.put(new_message(identity="b"))
    await spool.settle(Settlement(entry.id, (Recipient("a@x.example", 1, "451"),), NOW + 1))

    first, second = sorted(spool.lease(NOW + 1, 2), key=lambda entry: entry.identity)
    assert (entry.requiretls, first.requiretls, second.requiretls) == (True, True, False)
    assert [listed.entry.requiretls for listed in spool.listing(Selection(), 2)] in ([True, False], [False, True])


async def test_trap_07_nothing_is_leased_twice(spool: Spool) -> None:
    """Trap 7: two workers never hold one message, whether they ask at once or later."""
    for _ in range(7):
        await spool.put(new_message())

    first, second, third = spool.lease(NOW, 4), spool.lease(NOW, 4), spool.lease(NOW + 9e9, 4)

    assert [len(first), len(second), len(third)] == [4, 3, 0]
    assert not {entry.id for entry in first} & {entry.id for entry in second}


async def test_lease_hands_out_the_oldest_first(spool: Spool) -> None:
    """What fell due first is leased first, in whatever order it arrived."""
    for age in (10, 30, 20):
        await spool.put(new_message([f"{age}@x.example"], accepted_at=NOW - age))

    assert [entry.recipients[0].address for entry in spool.lease(NOW, 2)] == ["30@x.example", "20@x.example"]


async def test_a_message_put_with_a_lease_is_its_callers_alone(spool: Spool) -> None:
    """Nobody else is handed it before the caller settles or releases it."""
    settled, released = [await spool.put(new_message(), leased=True) for _ in range(2)]

    assert spool.lease(NOW, 10) == []
    assert spool.depth().messages == 2
    await spool.settle(Settlement(settled.id))
    spool.release(released.id)
    assert [entry.id for entry in spool.lease(NOW, 10)] == [released.id]


async def test_what_is_not_due_is_not_leased(spool: Spool) -> None:
    """An entry that falls due later stays where it is, and `next_due` tells when."""
    await spool.put(new_message(accepted_at=NOW + 60))

    assert spool.lease(NOW, 10) == []
    assert spool.next_due(NOW) == NOW + 60
    assert len(spool.lease(NOW + 60, 10)) == 1


async def test_next_due_is_about_what_comes(spool: Spool) -> None:
    """What is due already is for `lease`; of the rest the first counts, whoever sent it."""
    for wait, identity in ((0, "a"), (9, "a"), (5, "b")):
        await spool.put(new_message(accepted_at=NOW + wait, identity=identity))

    assert [spool.next_due(NOW + passed) for passed in (0, 5, 9)] == [NOW + 5, NOW + 9, None]


async def test_identities_take_turns(spool: Spool) -> None:
    """A backlog of one does not keep another's message waiting; in each the oldest goes first."""
    for age, identity in ((90, "a"), (80, "a"), (70, "a"), (60, "a"), (2, "b"), (1, ""), (1, "b")):
        await spool.put(new_message([f"{age}@{identity or 'notice'}.example"], accepted_at=NOW - age, identity=identity))

    first, second = spool.lease(NOW, 5), spool.lease(NOW, 5)

    assert sorted(entry.recipients[0].address for entry in first) == [
        "1@b.example",
        "1@notice.example",
        "2@b.example",
        "80@a.example",
        "90@a.example",
    ]
    assert [entry.recipients[0].address for entry in second] == ["70@a.example", "60@a.example"]


async def test_turns_go_on_where_they_ended(spool: Spool) -> None:
    """With more identities than one lease serves, the next lease serves those who had to wait."""
    for identity in ("a", "b", "c") * 2:
        await spool.put(new_message([f"{identity}@x.example"], identity=identity))

    served = [{entry.identity for entry in spool.lease(NOW, 2)} for _ in range(3)]
    assert [len(pair) for pair in served] == [2, 2, 2]
    assert served[0] != served[1] != served[2]
    assert served[0] | served[1] == {"a", "b", "c"}


async def test_a_released_entry_is_due_at_once(spool: Spool) -> None:
    """Release gives an entry back as it was."""
    message = await leased(spool, new_message())
    spool.release(message.id)

    assert [entry.id for entry in spool.lease(NOW, 1)] == [message.id]


async def test_a_settled_message_is_gone(spool: Spool) -> None:
    """A settlement without remaining recipients empties the queue."""
    message = await leased(spool, new_message())
    await spool.settle(Settlement(message.id))

    assert spool.depth() == Depth()
    assert spool.lease(NOW + 9e9, 1) == []
    with pytest.raises(KeyError):
        await spool.body(message.id)


async def test_a_deferred_message_comes_back_with_its_history(spool: Spool) -> None:
    """Only the remaining recipients are owed, with their attempts, replies and warnings, when they are due and not before."""
    message = await leased(spool, new_message(["a@x.example", "b@x.example", "c@x.example"]))
    remaining = (Recipient("a@x.example", 2, "450 4.2.1 Busy", NOW + 30, warned=True), Recipient("b@x.example", 3, "451 4.3.0 Later"))
    await spool.settle(Settlement(message.id, remaining, NOW + 30))

    assert spool.lease(NOW + 29, 1) == []
    (entry,) = spool.lease(NOW + 30, 1)
    assert entry.recipients == remaining
    assert await spool.body(entry.id) == BODY


async def test_a_notice_enters_with_the_settlement(spool: Spool) -> None:
    """The bounce of a settlement is a message of its own, due at once."""
    message = await leased(spool, new_message())
    notice = new_message(["me@here.example"], sender="", body=b"Subject: Bounce\r\n\r\n.\r\n")
    await spool.settle(Settlement(message.id, notice=notice))

    (entry,) = spool.lease(NOW, 10)
    assert (entry.id, entry.sender) == (notice.id, "")
    assert await spool.body(entry.id) == notice.body
    assert spool.depth() == Depth(1, NOW)


@pytest.mark.parametrize(
    "body", [b".\r\n", BODY, LARGE, bytes(range(256)) * 2048 + b"\r\n.\r\n"], ids=["empty", "small", "large", "octets"]
)
async def test_a_body_comes_back_octet_for_octet(spool: Spool, body: bytes) -> None:
    """Whatever its size and its octets, a body is the same when it is read."""
    message = await leased(spool, new_message(body=body))

    assert await whole(await spool.body(message.id)) == body


@pytest.mark.parametrize("size", [10, 600_000], ids=["small", "large"])
async def test_a_draft_becomes_the_body(spool: Spool, size: int) -> None:
    """What was written in pieces comes back in their order, whether it turned out large or small."""
    message = new_message()
    draft = spool.draft(message.id)
    pieces = [bytes([number]) * size for number in range(4)] + [b"\r\n.\r\n"]
    for piece in pieces:
        draft.write(piece)
    resumed = asyncio.Event()
    draft.when_written(resumed.set)
    await resumed.wait()

    assert (draft.size, draft.backlog) == (4 * size + 5, 0)
    entry = await spool.put(replace(message, body=draft))
    draft.discard()
    assert entry.size == draft.size
    assert [entry.id for entry in spool.lease(NOW, 1)] == [message.id]
    body = await spool.body(message.id)
    assert isinstance(body, bytes) is (size < LARGE_FROM)
    assert await whole(body) == b"".join(pieces)


@pytest.mark.parametrize("put", [True, False], ids=["put", "discarded"])
async def test_who_waits_for_a_draft_is_told_although_it_ends(spool: Spool, *, put: bool) -> None:
    """A client that was not read from while the disk was behind is read again, also when what was gathered is written with the end."""
    message = new_message()
    draft = spool.draft(message.id)
    for _ in range(3):
        draft.write(b"x" * 300_000)
    resumed = asyncio.Event()
    draft.when_written(resumed.set)
    if put:
        await spool.put(replace(message, body=draft))
    else:
        draft.discard()

    await asyncio.wait_for(resumed.wait(), 5)


async def test_a_draft_is_put_once_and_as_itself(spool: Spool) -> None:
    """Another message's draft is refused, and the draft of an identifier that is taken replaces nothing."""
    message, other = new_message(), new_message(body=LARGE)
    draft = spool.draft(message.id)
    with pytest.raises(ValueError, match="not drafted for it"):
        spool.put(replace(other, body=draft))
    await spool.put(other)
    again = spool.draft(other.id)
    again.write(b"y" * 400_000)

    with pytest.raises(SpoolUnavailableError):
        await spool.put(replace(other, body=again))
    assert await whole(await spool.body(other.id)) == LARGE
    draft.discard()


async def test_a_large_body_shows_its_headers(spool: Spool) -> None:
    """The header section with the line that ends it; where there is no such end, 64 KiB."""
    found = []
    for body in (b"Subject: Hi\r\n\r\n" + LARGE, LARGE):
        message = new_message(body=body)
        await spool.put(message)
        stored = await spool.body(message.id)
        assert not isinstance(stored, bytes)
        assert stored.size == len(body)
        found.append(stored.headers)
        assert [len(block) for block in [block async for block in stored.blocks()]] == [BLOCK, len(body) - BLOCK]

    assert found == [b"Subject: Hi\r\n\r\n", b"x" * 65536]


async def test_what_was_begun_is_done_although_nobody_waits(spool: Spool) -> None:
    """A cancelled wait stops neither a put nor a settlement."""
    message = new_message()
    putting = spool.put(message, leased=True)
    putting.cancel()
    await spool.put(new_message())
    assert spool.depth().messages == 2

    settling = spool.settle(Settlement(message.id))
    settling.cancel()
    await spool.put(new_message())
    assert spool.depth().messages == 2


async def test_settling_what_is_not_leased_is_refused(spool: Spool) -> None:
    """A settlement needs a lease; the message stays."""
    message = new_message()
    await spool.put(message)

    with pytest.raises(ValueError, match="not leased"):
        await spool.settle(Settlement(message.id))
    assert spool.depth().messages == 1


async def test_an_identifier_is_taken_once(spool: Spool) -> None:
    """A second message under the same identifier is refused, and the first one keeps its body."""
    message = await leased(spool, new_message(body=LARGE))
    again = NewMessage(message.id, message.envelope, b"y" * 400_000 + b"\r\n.\r\n", NOW)

    with pytest.raises(SpoolUnavailableError):
        await spool.put(again)
    assert await whole(await spool.body(message.id)) == LARGE
    assert spool.depth().messages == 1


async def test_depth_counts_messages_and_knows_the_oldest(spool: Spool) -> None:
    """Depth includes what is leased."""
    assert spool.depth() == Depth()
    for age in (50, 40):
        await spool.put(new_message(accepted_at=NOW - age))
    (first,) = spool.lease(NOW, 1)

    assert spool.depth() == Depth(2, NOW - 50)
    await spool.settle(Settlement(first.id))
    assert spool.depth() == Depth(1, NOW - 40)


async def test_messages_put_at_once_are_all_there(spool: Spool) -> None:
    """A hundred concurrent puts make a hundred messages, each with its own body."""
    messages = [new_message(body=b"%d\r\n.\r\n" % number) for number in range(100)]
    await asyncio.gather(*(spool.put(message) for message in messages))

    entries = spool.lease(NOW, 200)
    assert {entry.id for entry in entries} == {message.id for message in messages}
    for message in messages:
        assert await spool.body(message.id) == message.body


async def test_a_volume_is_told_where_there_is_one(spool: Spool) -> None:
    """A spool on a disk says what its volume has for new mail, never more than is not used of it; memory has none."""
    space = spool.space()

    if isinstance(spool, MemorySpool):
        assert space is None
    else:
        assert space is not None
        assert 0 < space.free <= space.size - space.used < space.size


async def test_a_closed_spool_takes_nothing(spool: Spool) -> None:
    """After close the client keeps its mail, and `healthy` says why."""
    assert spool.healthy() is None
    await spool.close()

    assert spool.healthy() == "the spool is closed"
    with pytest.raises(SpoolUnavailableError):
        await spool.put(new_message())
