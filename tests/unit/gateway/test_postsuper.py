"""What a person may do to queued messages, over the spool in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.mailq import showq
from smtp_gateway.mailq.postsuper import Action, Result, Superintendent
from smtp_gateway.mailq.showq import Moment
from smtp_gateway.spool.api import Attempted, Selection, SpoolUnavailableError
from smtp_gateway.spool.memory import MemorySpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.messages import NOW, new_message

if TYPE_CHECKING:
    import asyncio

    from smtp_gateway.spool.api import Entry, Listed

NOBODY = MessageId("NOSUCH")


@dataclass
class Waiting:
    """Dispatch's part: some messages wait for their turn, the other leased ones are being delivered."""

    spool: MemorySpool
    waiting: set[MessageId] = field(default_factory=set)
    revived: list[MessageId] = field(default_factory=list)
    woken: int = 0

    def withdraw(self, message_id: MessageId) -> bool:
        """Give back what waits."""
        if message_id not in self.waiting:
            return False
        self.waiting.discard(message_id)
        self.spool.release(message_id)
        return True

    def delivering(self, message_id: MessageId) -> bool:
        """Tell whether it does not wait."""
        return message_id not in self.waiting and bool([one for one in listed(self.spool, message_id) if one.leased])

    def revive(self, entry: Entry) -> None:
        """Remember."""
        self.revived.append(entry.id)

    def flush(self) -> None:
        """Do nothing."""

    def wake(self) -> None:
        """Count."""
        self.woken += 1


@dataclass
class Removals(NullObserver):
    """How many were observed."""

    removals: int = 0

    def removed(self) -> None:
        """Count."""
        self.removals += 1


@dataclass
class Setting:
    """A queue, and who changes it."""

    spool: MemorySpool
    delivery: Waiting
    observer: Removals
    superintendent: Superintendent

    async def put(self, *, leased: bool = False, waiting: bool = False) -> MessageId:
        """Queue a message, in dispatch's hands or not."""
        entry = await self.spool.put(new_message(), leased=leased or waiting)
        self.delivery.waiting |= {entry.id} if waiting else set()
        return entry.id

    async def do(self, action: Action, *ids: MessageId) -> list[Result]:
        """Do *action* and return what became of each."""
        results = await self.superintendent.carry_out(action, ids)
        return [results[message_id] for message_id in ids]


def listed(spool: MemorySpool, *ids: MessageId) -> list[Listed]:
    """Return where messages stand."""
    return spool.listing(Selection(ids=frozenset(ids)), 100)


@pytest.fixture
def setting() -> Setting:
    """An empty queue."""
    spool = MemorySpool()
    delivery, observer = Waiting(spool), Removals()
    return Setting(spool, delivery, observer, Superintendent(spool, delivery, observer, lambda: NOW + 60))


@pytest.mark.parametrize("action", list(Action))
async def test_what_is_being_delivered_is_left_alone(setting: Setting, action: Action) -> None:
    """Only a release has nothing to do: what is being delivered is not held."""
    message_id = await setting.put(leased=True)

    expected = Result.DONE if action is Action.RELEASE else Result.DELIVERING
    assert await setting.do(action, message_id, NOBODY) == [expected, Result.ABSENT]
    assert [(one.leased, one.held) for one in listed(setting.spool, message_id)] == [(True, False)]


async def test_what_waits_for_its_turn_is_reached(setting: Setting) -> None:
    """It is withdrawn and held or removed; a retry leaves it where it is, because it is due there."""
    held, removed, retried = [await setting.put(waiting=True) for _ in range(3)]

    assert await setting.do(Action.HOLD, held) == [Result.DONE]
    assert await setting.do(Action.REMOVE, removed) == [Result.DONE]
    assert await setting.do(Action.RETRY, retried) == [Result.DONE]
    assert setting.delivery.waiting == {retried}
    assert [(one.entry.id, one.held, one.leased) for one in listed(setting.spool)] == [(held, True, False), (retried, False, True)]


@pytest.mark.parametrize("result", [Result.DONE, Result.DELIVERING])
async def test_mail_that_is_leased_before_a_change_is_written(setting: Setting, monkeypatch: pytest.MonkeyPatch, result: Result) -> None:
    """It is looked at again: what came to wait is withdrawn, what came to be delivered is left alone."""
    message_id = await setting.put()
    hold = setting.spool.hold

    def late(message_id: MessageId) -> asyncio.Future[bool]:
        monkeypatch.setattr(setting.spool, "hold", hold)
        setting.spool.lease(NOW, 1)
        setting.delivery.waiting |= {message_id} if result is Result.DONE else set()
        return hold(message_id)

    monkeypatch.setattr(setting.spool, "hold", late)
    assert await setting.do(Action.HOLD, message_id) == [result]


async def test_held_mail_is_not_leased_until_it_is_released(setting: Setting) -> None:
    """Neither time nor a retry moves it; holding or releasing twice is no fault."""
    message_id = await setting.put()
    assert await setting.do(Action.HOLD, message_id) == await setting.do(Action.HOLD, message_id) == [Result.DONE]
    assert await setting.do(Action.RETRY, message_id) == [Result.HELD]
    assert setting.spool.lease(NOW + 1e6, 10) == []

    assert await setting.do(Action.RELEASE, message_id) == await setting.do(Action.RELEASE, message_id) == [Result.DONE]
    assert [entry.id for entry in setting.spool.lease(NOW, 10)] == [message_id]


async def test_a_retry_makes_due_and_revives_the_destinations(setting: Setting) -> None:
    """Otherwise a destination that rests would defer it at once; dispatch is told to look."""
    message_id = await setting.put()
    await setting.do(Action.RETRY, message_id)

    assert listed(setting.spool, message_id)[0].next_attempt == NOW + 60
    assert setting.delivery.revived == [message_id]
    assert setting.delivery.woken == 1


async def test_a_flush_makes_due_and_leaves_the_destinations_alone(setting: Setting) -> None:
    """They were all revived when it began; doing so at each page would try a dead one thousands of times."""
    message_id = await setting.put()

    assert await setting.do(Action.FLUSH, message_id) == [Result.DONE]
    assert listed(setting.spool, message_id)[0].next_attempt == NOW + 60
    assert setting.delivery.revived == []


async def test_a_removal_is_logged_and_observed(setting: Setting) -> None:
    """Once a message, with its id; what was not removed is not."""
    kept, gone = await setting.put(leased=True), await setting.put()
    with capture_logs() as logs:
        await setting.do(Action.REMOVE, kept, gone, NOBODY)

    (line,) = [log for log in logs if log["event"] == "removed"]
    assert (line["message_id"], line["to"], line["age"]) == (gone, ["you@there.example"], 60)
    assert setting.observer.removals == 1
    assert [one.entry.id for one in listed(setting.spool)] == [kept]


async def test_what_could_not_be_written_is_not_reported_as_done(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is where it was, the others are done."""
    bad, good = await setting.put(), await setting.put()
    remove = setting.spool.remove

    def failing(message_id: MessageId) -> asyncio.Future[bool]:
        future = remove(MessageId(message_id if message_id == good else NOBODY))
        if message_id == bad:
            future = future.get_loop().create_future()
            future.set_exception(SpoolUnavailableError("the spool's volume is read-only"))
        return future

    monkeypatch.setattr(setting.spool, "remove", failing)
    with capture_logs() as logs:
        assert await setting.do(Action.REMOVE, bad, good) == [Result.UNWRITTEN, Result.DONE]

    assert [log["reason"] for log in logs if log["event"] == "queue command not written"] == ["the spool's volume is read-only"]
    assert setting.observer.removals == 1


async def test_a_message_is_told_of_with_everything_that_is_known(setting: Setting) -> None:
    """Times in RFC 3339, the state, and the history."""
    await setting.put()
    (one,) = listed(setting.spool)
    history = (Attempted(NOW, "deferred", "mx[192.0.2.1]:25", "451 Later", ("you@there.example",), 3, NOW + 60),)
    story = showq.story(one, Moment(NOW), history)

    assert (story["id"], story["acceptedAt"], story["state"], story["attempts"]) == (one.entry.id, "2027-01-15T08:00:00Z", "due", 0)
    assert story["history"] == [
        {
            "event": "deferred",
            "times": 3,
            "first": "2027-01-15T08:00:00Z",
            "last": "2027-01-15T08:01:00Z",
            "hop": "mx[192.0.2.1]:25",
            "reply": "451 Later",
            "recipients": ["you@there.example"],
        }
    ]


async def test_the_state_is_one_word(setting: Setting) -> None:
    """Deferred until its time, then due; delivering while it is tried; held whatever the time."""
    message_id = await setting.put()
    assert [showq.state(listed(setting.spool)[0], Moment(now)) for now in (NOW - 1, NOW)] == ["deferred", "due"]
    assert showq.state(listed(setting.spool)[0], Moment(NOW, delivering=True)) == "delivering"
    await setting.do(Action.HOLD, message_id)

    assert showq.state(listed(setting.spool)[0], Moment(NOW)) == "held"
