"""A spool that slept: what expired meanwhile is held for a person, and nothing else is."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import Config, Route
from smtp_gateway.config.pace import Retry
from smtp_gateway.spool.api import Selection, SpoolUnavailableError
from smtp_gateway.spool.memory import MemorySpool
from smtp_gateway.waking import NAME, PAGE, SLEEP, Waking, last_awake
from tests.support.gateway import config
from tests.support.messages import NOW, new_message

if TYPE_CHECKING:
    from pathlib import Path

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Spool

DAY = 86400.0
WEEK_LATER = NOW + 7 * DAY


def held(spool: Spool) -> set[MessageId]:
    """Return what is held."""
    return {one.entry.id for one in spool.listing(Selection(held=True), 10_000)}


async def awake(spool: Spool, folder: Path, now: float, configuration: Config | None = None) -> None:
    """Wake *spool* up at *now*, and let it note that it is awake."""
    waking = Waking(spool, folder, lambda: now)
    await waking.wake(configuration or config())
    noting = asyncio.create_task(waking.stay_awake())
    async with asyncio.timeout(5):
        while await noted(folder) != now:
            pass
    noting.cancel()


async def noted(folder: Path) -> float:
    """Return when the spool was last awake by its note."""
    return await asyncio.to_thread(last_awake, folder / NAME)


async def test_mail_that_expired_asleep_is_held(spool: Spool, tmp_path: Path) -> None:
    """Past its lifetime it is held and told; younger mail is delivered, late as it is. Held means kept: a person decides."""
    old, young = new_message(), new_message(accepted_at=NOW + 3 * DAY)
    await awake(spool, tmp_path, NOW + 3 * DAY)
    for message in (old, young):
        await spool.put(message)

    with capture_logs() as logs:
        await awake(spool, tmp_path, WEEK_LATER)

    assert held(spool) == {old.id}
    assert [(line["event"], line.get("message_id"), line.get("held")) for line in logs] == [
        ("held", old.id, None),
        ("spool has slept", None, 1),
    ]


async def test_what_was_let_go_is_not_held_again(spool: Spool, tmp_path: Path) -> None:
    """After `queue release` a restart leaves it alone: the spool was awake."""
    await awake(spool, tmp_path, NOW)
    old = new_message()
    await spool.put(old)
    await awake(spool, tmp_path, WEEK_LATER)
    await spool.unhold(old.id)

    await awake(spool, tmp_path, WEEK_LATER + 60)

    assert held(spool) == set()


@pytest.mark.parametrize("slept", [0.0, SLEEP - 1])
async def test_after_a_restart_mail_expires_as_ever(spool: Spool, tmp_path: Path, slept: float) -> None:
    """A short absence is no sleep: what expired in it is returned to its sender."""
    await spool.put(new_message())
    await awake(spool, tmp_path, WEEK_LATER - slept)

    await awake(spool, tmp_path, WEEK_LATER)

    assert held(spool) == set()


async def test_without_a_note_nothing_is_held(spool: Spool, tmp_path: Path) -> None:
    """A spool of a version that wrote none, or one that nobody can read: nothing is known."""
    await spool.put(new_message())
    await asyncio.to_thread((tmp_path / NAME).write_text, "yesterday")
    assert await noted(tmp_path) == await noted(tmp_path / "missing") == math.inf

    await awake(spool, tmp_path, WEEK_LATER)

    assert held(spool) == set()


async def test_the_lifetime_of_each_recipients_route_counts(spool: Spool, tmp_path: Path) -> None:
    """Mail is held when for one of its recipients the next attempt would be the last."""
    brief = Route(name="brief", recipient_domains=("brief.example",), retry=Retry(lifetime=DAY))
    configuration = config().model_copy(update={"routes": (brief, *config().routes)})
    short, both, long = (new_message(to) for to in (["a@brief.example"], ["a@brief.example", "b@x.example"], ["b@x.example"]))
    await awake(spool, tmp_path, NOW)
    for message in (short, both, long):
        await spool.put(message)

    await awake(spool, tmp_path, NOW + 2 * DAY, configuration)

    assert held(spool) == {short.id, both.id}


class Ailing(MemorySpool):
    """A spool that cannot write for a while."""

    faults = 2

    def hold(self, message_id: MessageId) -> asyncio.Future[bool]:
        """Fail the first times."""
        if self.faults:
            self.faults -= 1
            done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            done.set_exception(SpoolUnavailableError("broken"))
            return done
        return super().hold(message_id)


async def test_nothing_is_delivered_before_all_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over pages, and over a spool that is broken at first: waking ends when everything is held, and is noted only then."""
    monkeypatch.setattr("smtp_gateway.waking.PAUSE", 0.01)
    spool = Ailing()
    await awake(spool, tmp_path, NOW)
    messages = [new_message() for _ in range(2 * PAGE + 1)]
    for message in messages:
        await spool.put(message)

    await awake(spool, tmp_path, WEEK_LATER)

    assert held(spool) == {message.id for message in messages}


async def test_a_senders_route_has_a_lifetime_of_its_own(spool: Spool, tmp_path: Path) -> None:
    """Mail of that sender has expired, another's to the same recipient has not."""
    brief = Route(name="brief", sender_domains=("brief.example",), retry=Retry(lifetime=DAY))
    configuration = config().model_copy(update={"routes": (brief, *config().routes)})
    theirs, others = new_message(sender="a@brief.example"), new_message()
    await awake(spool, tmp_path, NOW)
    for message in (theirs, others):
        await spool.put(message)

    await awake(spool, tmp_path, NOW + 2 * DAY, configuration)

    assert held(spool) == {theirs.id}
