"""The twin of the Kubernetes API keeps the port's promises, and so does the cache in front of it."""

from __future__ import annotations

import pytest

from smtp_gateway_operator.cluster.api import SECRET, UnavailableError, ref_of
from smtp_gateway_operator.cluster.cache import CachedCluster
from smtp_gateway_operator.cluster.followed import Followed
from smtp_gateway_operator.cluster.memory import Call, MemoryCluster
from tests.contract.cluster_contract import ClusterContract, Space


@pytest.fixture
def space() -> Space:
    """A namespace in memory."""
    cluster = MemoryCluster()
    return Space(cluster, cluster, "one")


class TestMemoryCluster(ClusterContract):
    """The contract, in memory."""

    async def test_a_call_fails_as_often_as_it_was_told_to(self, space: Space) -> None:
        """What only the twin can do: fail on demand, and tell what was called."""
        assert isinstance(space.cluster, MemoryCluster)
        space.cluster.fail("get", UnavailableError("away"), SECRET)

        with pytest.raises(UnavailableError):
            await space.cluster.get(space.ref(SECRET))
        assert await space.cluster.get(space.ref(SECRET)) is None
        assert space.cluster.calls == [Call("get", SECRET)] * 2


class TestCachedCluster(ClusterContract):
    """The contract, of the cache in front of the twin: with watches that tell at once, and before anything was told."""

    @pytest.fixture(params=[True, False], ids=["told at once", "told nothing"])
    async def space(self, request: pytest.FixtureRequest) -> Space:
        """A namespace behind a cache; as long as it was told nothing, everything is read live."""
        cluster = MemoryCluster()
        cache = CachedCluster(cluster, Followed(cluster, lambda _: None, lambda: 0.0), ["one"], lambda: 0.0)
        if request.param:
            await cache.refresh()
            cluster.listeners.append(lambda news: cache.heard(ref_of(news.body).kind, news))
        return Space(cache, cluster, "one")
