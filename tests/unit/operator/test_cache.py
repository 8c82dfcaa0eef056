"""Reads from what watches told: fresh after writes of our own, live after trouble, and never trusted for longer than a resync."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from smtp_gateway_operator.cluster.api import (
    GATEWAY,
    POD,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    WATCHED_KINDS,
    ClusterError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    ref_of,
)
from smtp_gateway_operator.cluster.cache import GRACE, KINDS, CachedCluster
from smtp_gateway_operator.cluster.followed import Followed
from smtp_gateway_operator.names import Key, children_selector
from smtp_gateway_operator.workqueue import PutOffError
from tests.unit.operator.setting import KEY, LOGINS, Setting, pod, ref, resource, secret

if TYPE_CHECKING:
    from smtp_gateway_operator.cluster.api import News

MAIL = children_selector("mail")


class Told:
    """A setting behind a cache, with watches that tell when the test lets them."""

    def __init__(self) -> None:
        """Start with nothing told."""
        self.setting = Setting()
        self.time = 0.0
        followed = Followed(self.setting.cluster, lambda _: None, lambda: self.time)
        self.cache = CachedCluster(self.setting.cluster, followed, [KEY.namespace], lambda: self.time)
        self.news: list[News] = []
        self.setting.cluster.listeners.append(self.news.append)
        self.reconcile = self.setting.reconciler(self.cache)

    def tell(self) -> None:
        """Let the watches tell what happened since."""
        for news in self.news:
            if ref_of(news.body).kind in KINDS:
                self.cache.heard(ref_of(news.body).kind, news)
        self.news.clear()

    def asked(self) -> list[tuple[str, str]]:
        """Return what the API server was asked since the last time: verb and kind."""
        calls = [(call.verb, call.kind.name) for call in self.setting.cluster.calls]
        self.setting.cluster.calls.clear()
        return calls


@pytest.fixture
async def told() -> Told:
    """A gateway without logins that was reconciled once, its pods ready, and everything told."""
    told = Told()
    await told.setting.given(resource())
    await told.cache.refresh()
    await told.reconcile(KEY)
    await told.setting.pods_become_ready()
    told.tell()
    await told.reconcile(KEY)
    told.tell()
    told.asked()
    return told


async def test_a_steady_state_asks_nothing(told: Told) -> None:
    """A reconcile that finds everything as wanted makes no request at all."""
    await told.reconcile(KEY)

    assert told.asked() == []
    assert (await told.setting.condition("Ready"))[0] == "True"


async def test_a_write_is_seen_before_its_watch_tells(told: Told) -> None:
    """Everything that the first reconcile made is known to the next one, although no watch has told a word."""
    fresh = Told()
    await fresh.setting.given(resource())
    await fresh.cache.refresh()
    await fresh.reconcile(KEY)
    fresh.asked()

    await fresh.reconcile(KEY)

    verbs = {verb for verb, _ in fresh.asked()}
    assert verbs <= {"patch"}  # fields of a creation are handed over to server-side apply
    await fresh.reconcile(KEY)
    assert fresh.asked() == []
    assert told.setting is not fresh.setting


async def test_old_news_do_not_undo_a_write(told: Told) -> None:
    """News from before a write of our own, that arrive after it, are known to be old."""
    await told.setting.cluster.patch(ref(STATEFUL_SET), {"metadata": {"annotations": {"a": "1"}}})
    await told.cache.patch(ref(STATEFUL_SET), {"metadata": {"annotations": {"a": "2"}}})

    told.cache.heard(STATEFUL_SET, told.news[0])

    found = await told.cache.get(ref(STATEFUL_SET))
    assert found is not None
    assert found["metadata"]["annotations"] == {"a": "2"}
    assert told.asked() == [("patch", "StatefulSet"), ("patch", "StatefulSet")]


async def test_drift_is_seen_when_it_is_told(told: Told) -> None:
    """A child that somebody changes or deletes is put right by the reconcile that the news cause."""
    await told.setting.cluster.patch(ref(SERVICE), {"spec": {"type": "NodePort"}})
    service = await told.setting.get(SERVICE, "mail-pods")
    await told.setting.cluster.delete(ref(SERVICE, "mail-pods"), service["metadata"]["uid"])
    told.tell()

    await told.reconcile(KEY)

    assert (await told.setting.get(SERVICE))["spec"]["type"] == "ClusterIP"
    assert await told.setting.exists(SERVICE, "mail-pods")


async def test_what_is_not_known_is_asked_for(told: Told) -> None:
    """A gateway or child that no watch told of may be there all the same."""
    await told.setting.given(resource("late"))
    told.asked()

    assert await told.cache.get(ref(GATEWAY, "late")) is not None
    assert await told.cache.get(ref(GATEWAY, "late")) is not None
    assert await told.cache.get(ref(GATEWAY, "never")) is None

    assert told.asked() == [("get", "SmtpGateway"), ("get", "SmtpGateway")]


async def test_a_secret_without_our_label_is_never_kept(told: Told) -> None:
    """Somebody else's Secret is read when it is asked for; nothing would tell when it changes."""
    await told.setting.given(secret("theirs", a="b"))
    told.asked()

    for _ in range(2):
        assert await told.cache.get(ref(SECRET, "theirs")) is not None

    assert told.asked() == [("get", "Secret")] * 2


@pytest.mark.parametrize("error", [ConflictError("changed"), UnavailableError("timeout"), NotFoundError("gone")], ids=type)
async def test_after_a_failed_write_the_gateway_is_read_live(told: Told, error: ClusterError) -> None:
    """Something was not as it was told, or nobody knows what came of the write: once more everything is asked for."""
    await told.setting.change(replicas=2)
    told.tell()
    told.setting.cluster.fail("patch", error, STATEFUL_SET)
    with pytest.raises(PutOffError):
        await told.reconcile(KEY)
    told.asked()

    await told.reconcile(KEY)

    lists = [kind for verb, kind in told.asked() if verb == "list"]
    assert lists == [kind.name for kind in WATCHED_KINDS]
    told.tell()
    await told.reconcile(KEY)
    assert not [verb for verb, _ in told.asked() if verb in ("get", "list")]
    assert (await told.setting.get(STATEFUL_SET))["spec"]["replicas"] == 2


async def test_a_reconcile_that_is_broken_off_is_read_live(told: Told) -> None:
    """A write that was cancelled may have happened."""
    with pytest.raises(asyncio.CancelledError), told.cache._writing(ref(STATEFUL_SET)):  # noqa: SLF001 no call of the twin can be cancelled
        raise asyncio.CancelledError

    await told.reconcile(KEY)

    assert ("list", "StatefulSet") in told.asked()


async def test_other_gateways_are_still_answered_from_memory(told: Told) -> None:
    """Trouble with one gateway costs the API server nothing for the others."""
    await told.setting.given(resource("other"))
    told.tell()
    await told.reconcile(Key(KEY.namespace, "other"))
    told.tell()
    told.setting.cluster.fail("patch", ConflictError("changed"), STATEFUL_SET)
    await told.setting.change(replicas=2)
    told.tell()
    with pytest.raises(PutOffError):
        await told.reconcile(KEY)
    told.asked()

    await told.reconcile(Key(KEY.namespace, "other"))

    assert not [verb for verb, _ in told.asked() if verb in ("get", "list")]


async def test_a_resync_finds_what_no_watch_told(told: Told) -> None:
    """A lost gateway is found, and a deleted child is known to be gone, within one resync whatever the watches do."""
    await told.setting.given(resource("lost"))
    service = await told.setting.get(SERVICE, "mail")
    await told.setting.cluster.delete(ref(SERVICE), service["metadata"]["uid"])

    missed = await told.cache.refresh()

    assert dict(missed) == {kind.plural: 0 for kind in KINDS} | {"smtpgateways": 1, "services": 1}
    assert told.cache.gateways() == [Key(KEY.namespace, "lost"), KEY]
    await told.reconcile(KEY)
    assert await told.setting.exists(SERVICE, "mail")


async def test_a_resync_costs_one_list_for_each_kind(told: Told) -> None:
    """However many gateways there are."""
    await told.cache.refresh()

    assert told.asked() == [("list", kind.name) for kind in KINDS]


async def test_a_watch_that_is_only_late_is_not_stale(told: Told) -> None:
    """What was listed and told a moment later was not missed."""
    await told.setting.given(resource("late"))
    await told.cache.refresh()
    told.time += GRACE / 2
    told.tell()

    told.time += GRACE

    assert told.cache.stale() is None


async def test_a_watch_that_stays_silent_is_stale(told: Told) -> None:
    """A change that a list told and the watch does not is worth a new process."""
    await told.setting.given(resource("lost"))
    await told.cache.refresh()
    assert told.cache.stale() is None

    told.time += GRACE + 1

    assert told.cache.stale() == ref(GATEWAY, "lost")


async def test_the_first_list_proves_nothing(told: Told) -> None:
    """At the start no watch has had a chance to tell."""
    fresh = Told()
    await fresh.setting.given(resource())
    assert await fresh.cache.refresh() == ()

    fresh.time += GRACE + 1

    assert fresh.cache.stale() is None
    assert told.cache.stale() is None


async def test_pods_that_come_and_go_are_known(told: Told) -> None:
    """The pods of a rollout are those of the watch."""
    await told.setting.given(pod("mail-9"))
    told.tell()
    told.asked()

    found = await told.cache.list(POD, KEY.namespace, MAIL)

    assert "mail-9" in [one["metadata"]["name"] for one in found]
    assert told.asked() == []


async def test_referenced_secrets_are_followed(told: Told) -> None:
    """A reconcile says which Secrets the gateway refers to, a deleted gateway refers to none, and a followed one is not asked for."""
    await told.setting.given(secret("app", alice="wonderland"))
    await told.setting.change(logins=LOGINS)
    told.tell()

    await told.reconcile(KEY)
    followed = told.cache._followed  # noqa: SLF001 what the reconciler makes of it is what counts
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert followed.knows(ref(SECRET, "app"))
    told.tell()
    await told.reconcile(KEY)
    told.tell()
    told.asked()
    await told.reconcile(KEY)
    assert told.asked() == []

    body = await told.setting.get(GATEWAY)
    await told.setting.cluster.delete(ref(GATEWAY), body["metadata"]["uid"])
    told.tell()
    await told.reconcile(KEY)
    assert len(followed) == 0
