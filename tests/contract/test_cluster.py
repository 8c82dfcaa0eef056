"""The twin of the Kubernetes API keeps the port's promises."""

from __future__ import annotations

import pytest

from smtp_gateway_operator.cluster.api import SECRET, UnavailableError
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
