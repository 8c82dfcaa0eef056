"""The real API server keeps the port's promises: the same contract as its twin.

The one module of this tier that imports the operator's code: a twin is worth something only if the real thing does the same.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from smtp_gateway_operator.cluster.kube import KubeCluster
from tests.contract.cluster_contract import ClusterContract, Space
from tests.lab.provider import connect
from tests.support.kube import Kube

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="module")
def kube() -> Kube:
    """The cluster, with the definition of the resource."""
    kube = Kube(connect(), "default")
    kube("apply", "--server-side", "--force-conflicts", "-f", "crds/smtpgateways.yaml")
    kube("wait", "--for=condition=Established", "crd/smtpgateways.smtpgateway.io", "--timeout=60s")
    return kube


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    """A namespace of this test's own."""
    name = f"smtp-gateway-contract-{secrets.token_hex(3)}"
    kube("create", "namespace", name)
    kube.within(name)("wait", "--for=create", "serviceaccount/default", "--timeout=60s")  # no pod is admitted before
    yield name
    kube("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def space(namespace: str) -> AsyncIterator[Space]:
    """The namespace, through the operator's own client."""
    cluster, configuration = connect(), Configuration()
    await config.load_kube_config(str(cluster.kubeconfig), cluster.context, client_configuration=configuration)  # type: ignore[no-untyped-call] # the client is not annotated here
    async with ApiClient(configuration) as client:
        yield Space(KubeCluster(client), KubeCluster(client, "somebody"), namespace)


class TestKubeCluster(ClusterContract):
    """The contract, on a real API server."""
