"""What is wrong with a lab, by what of it runs."""

from __future__ import annotations

import pytest

from tests.lab.health import Health


@pytest.mark.parametrize(
    ("daemons", "lost"),
    [
        ({"etcd": 1, "kubelet.lab": 2, "kubelet.lab-2": 3}, False),
        ({"etcd": 1, "kubelet.lab": 2, "kubelet.lab-2": None, "containerd.lab-2": None}, True),
        ({"etcd": 1, "kubelet.lab": None, "kubelet.lab-2": None}, False),
        ({"etcd": None, "kubelet.lab": 2, "kubelet.lab-2": None}, False),
        ({}, False),
    ],
)
def test_a_cluster_without_its_second_node_is_not_thrown_away(daemons: dict[str, int | None], *, lost: bool) -> None:
    """Only when nothing else is dead is the second node taken out alone."""
    assert Health("partly", daemons=daemons).second_is_lost == lost
