"""Secrets that gateways refer to, each followed by a watch of its own name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from smtp_gateway_operator.cluster import followed as module
from smtp_gateway_operator.cluster.api import SECRET, ConflictError, ExpiredError, ForbiddenError, Object, UnavailableError
from smtp_gateway_operator.cluster.followed import TRUSTED, Followed
from smtp_gateway_operator.cluster.memory import MemoryCluster
from smtp_gateway_operator.names import Key
from tests.support.waiting import eventually
from tests.unit.operator.setting import ref, secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAIL, OTHER = Key("apps", "mail"), Key("apps", "other")
APP = ref(SECRET, "app")


class Followers:
    """A cluster, and what two gateways are told of its Secrets."""

    def __init__(self) -> None:
        """Start with nothing referred to."""
        self.cluster = MemoryCluster()
        self.changed: list[Key] = []
        self.time = 0.0
        self.followed = Followed(self.cluster, self.changed.append, lambda: self.time)

    async def known(self) -> None:
        """Wait until the Secret is known and watched."""
        await eventually(lambda: self.followed.knows(APP) and APP in self.cluster.watched, what="the Secret is followed")

    def password(self) -> str | None:
        """Return what is known of the Secret."""
        body: Object | None = self.followed.get(APP)
        return None if body is None else body["data"]["alice"]


@pytest.fixture
async def followers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Followers]:
    """Followers that do not wait between failures."""
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.001)
    followers = Followers()
    yield followers
    await followers.followed.close()
    assert not followers.cluster.watched


async def test_a_changed_secret_is_told_to_who_refers_to_it(followers: Followers) -> None:
    """Both gateways hear of a new password, and a third one's Secret is nobody's business."""
    await followers.cluster.create(secret("app", alice="one"))
    followers.followed.follow(MAIL, [APP])
    followers.followed.follow(OTHER, [APP])
    await followers.known()
    followers.changed.clear()

    await followers.cluster.create(secret("else", bob="builder"))
    await followers.cluster.patch(APP, {"data": {"alice": "dHdv"}})

    await eventually(lambda: followers.password() == "dHdv", what="the new password is known")
    assert set(followers.changed) == {MAIL, OTHER}
    assert len(followers.changed) == 2
    assert [call.verb for call in followers.cluster.calls].count("watch") == 1


async def test_a_secret_that_comes_and_goes_is_told(followers: Followers) -> None:
    """That there is none is known too, and its creation and deletion are news."""
    followers.followed.follow(MAIL, [APP])
    await followers.known()
    assert (followers.password(), followers.changed) == (None, [])

    stored = await followers.cluster.create(secret("app", alice="one"))
    await eventually(lambda: followers.changed == [MAIL], what="the creation is told")

    await followers.cluster.delete(APP, stored["metadata"]["uid"])
    await eventually(lambda: followers.changed == [MAIL, MAIL], what="the deletion is told")
    assert followers.password() is None


async def test_labels_of_a_secret_are_no_news(followers: Followers) -> None:
    """A tool that touches every Secret causes no reconcile of every gateway."""
    await followers.cluster.create(secret("app", alice="one"))
    followers.followed.follow(MAIL, [APP])
    await followers.known()
    followers.changed.clear()

    await followers.cluster.patch(APP, {"metadata": {"annotations": {"touched": "yes"}}})
    await followers.cluster.patch(APP, {"data": {"alice": "dHdv"}})

    await eventually(lambda: followers.changed == [MAIL], what="the second change is told")


async def test_nobody_follows_what_nobody_refers_to(followers: Followers) -> None:
    """The watch ends with the last gateway that refers to the Secret, and begins anew with the next."""
    followers.followed.follow(MAIL, [APP])
    followers.followed.follow(OTHER, [APP])
    await followers.known()

    followers.followed.follow(MAIL, [])
    assert followers.followed.knows(APP)
    followers.followed.follow(OTHER, [ref(SECRET, "other")])

    assert not followers.followed.knows(APP)
    await eventually(lambda: followers.cluster.watched == [ref(SECRET, "other")], what="the watch has ended")


@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize("error", [UnavailableError("away"), ForbiddenError("no"), ConflictError("odd")], ids=type)
async def test_a_failing_watch_is_begun_again(followers: Followers, verb: str, error: UnavailableError) -> None:
    """Whatever the API server says, the watch comes back."""
    await followers.cluster.create(secret("app", alice="one"))
    for _ in range(3):
        followers.cluster.fail(verb, error, SECRET)

    followers.followed.follow(MAIL, [APP])

    await followers.known()


async def test_a_forgotten_version_is_listed_anew(followers: Followers) -> None:
    """What happened while the watch was away for too long is told by a new list."""
    await followers.cluster.create(secret("app", alice="one"))
    followers.cluster.fail("watch", ExpiredError("too old resource version"), SECRET)

    followers.followed.follow(MAIL, [APP])

    await followers.known()
    assert [call.verb for call in followers.cluster.calls][1:] == ["list", "watch", "list", "watch"]


async def test_what_was_not_heard_of_for_long_is_not_known(followers: Followers) -> None:
    """A Secret whose watch has gone silent is read live by whoever needs it."""
    followers.followed.follow(MAIL, [APP])
    await followers.known()

    followers.time += TRUSTED + 1

    assert not followers.followed.knows(APP)


async def test_a_server_that_asks_for_peace_gets_it(followers: Followers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait before the next attempt is at least what `Retry-After` said."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    followers.cluster.fail("list", UnavailableError("busy", retry_after=7.0), SECRET)
    task = asyncio.ensure_future(followers.followed._attend(APP, module._Object()))  # noqa: SLF001 its waits are what this is about
    await asyncio.wait([task], timeout=0.05)
    task.cancel()

    assert waits[0] == 7.0
