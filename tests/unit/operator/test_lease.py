"""Which operator works, on a clock of the test's own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway_operator.cluster.api import LEASE, ClusterError, ForbiddenError, NotFoundError, Object, Ref, UnavailableError
from smtp_gateway_operator.cluster.memory import MemoryCluster
from smtp_gateway_operator.names import OPERATOR
from smtp_gateway_operator.startup.lease import REFUSALS, Clock, Lease, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

REF = Ref(LEASE, "apps", OPERATOR)
TERMS = Terms()


class World:
    """A cluster and a clock that moves only when somebody sleeps on it."""

    def __init__(self) -> None:
        """Start at a moment of the past."""
        self.cluster = MemoryCluster()
        self.time = 1000.0
        self.at: list[tuple[float, Callable[[], Any]]] = []

    def lease(self, identity: str) -> Lease:
        """Return the Lease as *identity* sees it."""
        return Lease(self.cluster, REF, identity, Clock(lambda: self.time, self.now, sleep=self.sleep))

    def now(self) -> datetime:
        """Return the time of day."""
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    async def sleep(self, seconds: float) -> None:
        """Let time pass, and what the test planned for meanwhile happen."""
        self.time += seconds
        for due in [plan for plan in self.at if plan[0] <= self.time]:
            self.at.remove(due)
            await due[1]()
        await asyncio.sleep(0)

    def plan(self, after: float, what: Callable[[], Any]) -> None:
        """Let *what* happen *after* that many seconds of the clock."""
        self.at.append((self.time + after, what))

    async def spec(self) -> Object:
        """Return what the Lease says."""
        found = await self.cluster.get(REF)
        assert found is not None
        spec: Object = found["spec"]
        return spec


@pytest.fixture
def world() -> World:
    """A cluster without a Lease."""
    return World()


async def test_the_first_operator_works_at_once(world: World) -> None:
    """Without a Lease one is made, in the form that `kubectl get lease` shows."""
    await world.lease("a").acquire()

    assert world.time == 1000.0
    assert await world.spec() == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-03-01T00:16:40.000000Z",
        "renewTime": "2026-03-01T00:16:40.000000Z",
        "leaseTransitions": 0,
    }


async def test_the_second_waits_and_says_for_whom_once(world: World, logged: list[MutableMapping[str, Any]]) -> None:
    """As long as the first renews, the second only looks; when the first ends well, the second works within moments."""
    first, second = world.lease("a"), world.lease("b")
    await first.acquire()
    for renewal in range(1, 8):
        world.plan(renewal * TERMS.renew, first._attempt)  # noqa: SLF001 one renewal, at a time of the test's choosing
    world.plan(75, first.release)

    await second.acquire()

    assert 1075 <= world.time <= 1075 + 2 * TERMS.retry
    assert second.holder == "b"
    assert (await world.spec())["leaseTransitions"] == 1
    assert [line["holder"] for line in logged if "another operator" in line["event"]] == ["a"]


async def test_a_dead_holder_is_waited_out(world: World) -> None:
    """An operator that was killed renews no more, and is waited for as long as it promised, on the own clock."""
    await world.lease("a").acquire()
    world.time += 1_000_000  # clocks of two machines, or a Lease of last week: its times mean nothing

    begin = world.time
    await world.lease("b").acquire()

    assert TERMS.duration < world.time - begin <= TERMS.duration + 2 * TERMS.retry


async def test_a_container_that_starts_again_waits_for_nobody(world: World) -> None:
    """The Lease of its own pod is its own."""
    await world.lease("a").acquire()

    await world.lease("a").acquire()

    assert world.time == 1000.0
    assert (await world.spec())["leaseTransitions"] == 0


async def test_a_holder_renews_with_one_request(world: World) -> None:
    """Each renewal is one write, and nothing is read."""
    lease = world.lease("a")
    await lease.acquire()
    world.cluster.calls.clear()

    assert await lease._renew()  # noqa: SLF001 one turn of `hold`

    assert [call.verb for call in world.cluster.calls] == ["patch"]
    assert (await world.spec())["renewTime"] == "2026-03-01T00:16:50.000000Z"


async def test_short_trouble_costs_nothing(world: World) -> None:
    """An API server that restarts within the time that the holder has does not end it."""
    lease = world.lease("a")
    await lease.acquire()
    for _ in range(4):
        world.cluster.fail("patch", UnavailableError("restarting"))

    assert await lease._renew()  # noqa: SLF001 one turn of `hold`
    assert lease.holder == "a"


async def test_long_trouble_ends_the_holder_before_others_begin(world: World) -> None:
    """A holder that cannot renew gives up while its promise still holds."""
    lease = world.lease("a")
    await lease.acquire()
    for _ in range(100):
        world.cluster.fail("patch", UnavailableError("away"))

    await lease.hold()

    assert world.time - 1000.0 <= TERMS.duration - TERMS.retry


async def test_a_holder_that_was_replaced_ends_at_once(world: World) -> None:
    """Somebody else's name in the Lease is the end, whatever the clock says."""
    lease = world.lease("a")
    await lease.acquire()
    await world.cluster.patch(REF, {"spec": {"holderIdentity": "b"}})

    await lease.hold()

    assert lease.holder == "b"
    assert world.time - 1000.0 <= TERMS.renew + TERMS.retry
    await lease.release()
    assert (await world.spec())["holderIdentity"] == "b"


async def test_of_two_who_try_at_once_one_wins(world: World) -> None:
    """The write names the version that was looked at, so the second one is refused and looks again."""
    first, second = world.lease("a"), world.lease("b")

    done, _ = await asyncio.wait([asyncio.ensure_future(one.acquire()) for one in (first, second)], return_when=asyncio.FIRST_COMPLETED)

    assert len(done) == 1
    assert (await world.spec())["holderIdentity"] in ("a", "b")
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def test_a_waiting_operator_survives_an_api_server_that_is_away(world: World) -> None:
    """Failures while waiting are only waited out."""
    world.cluster.fail("get", UnavailableError("away"))
    world.cluster.fail("create", UnavailableError("away"))

    await world.lease("a").acquire()

    assert (await world.spec())["holderIdentity"] == "a"


@pytest.mark.parametrize("error", [ForbiddenError("no right"), NotFoundError('namespaces "apps" not found')])
async def test_where_there_is_none_to_be_had_nobody_waits(
    world: World, error: ClusterError, logged: list[MutableMapping[str, Any]]
) -> None:
    """A namespace that is gone, or closed to this operator: that is known within moments, and said once."""
    for _ in range(REFUSALS):
        world.cluster.fail("create", error)

    assert not await world.lease("a").acquire()
    assert world.time - 1000.0 == (REFUSALS - 1) * TERMS.retry
    assert len(logged) == 1


async def test_a_refusal_that_passes_is_waited_out(world: World) -> None:
    """Rights that were given a moment ago, or an API server that has just started and does not know them yet."""
    for _ in range(REFUSALS - 1):
        world.cluster.fail("get", ForbiddenError("not yet"))
    world.cluster.fail("get", UnavailableError("away"))
    for _ in range(REFUSALS - 1):
        world.cluster.fail("get", ForbiddenError("not yet"))

    assert await world.lease("a").acquire()


async def test_a_lease_that_somebody_deletes_is_made_again(world: World) -> None:
    """Before anybody else could think that nobody works here."""
    lease = world.lease("a")
    await lease.acquire()
    found = await world.cluster.get(REF)
    assert found is not None
    await world.cluster.delete(REF, found["metadata"]["uid"])

    assert await lease._renew()  # noqa: SLF001 one turn of `hold`
    assert (await world.spec())["holderIdentity"] == "a"
    assert world.time - 1000.0 <= TERMS.renew + TERMS.retry


async def test_a_lease_whose_namespace_is_deleted_is_lost(world: World, logged: list[MutableMapping[str, Any]]) -> None:
    """It goes first, and no other can be made; the last line says why."""
    lease = world.lease("a")
    await lease.acquire()
    found = await world.cluster.get(REF)
    assert found is not None
    world.cluster.terminating.add(REF.namespace)
    await world.cluster.delete(REF, found["metadata"]["uid"])

    await lease.hold()

    assert "NamespaceTerminatingError" in logged[-1]["trouble"]
    assert not await lease.acquire()
