"""The connection to the API server: as a pod by its service account, elsewhere by the kubeconfig, as kopf does it."""

from __future__ import annotations

from asyncio.sslproto import SSLProtocol

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException

from smtp_gateway_operator.names import OPERATOR

TLS_BUFFER = 32 * 1024
"""Octets of the buffer into which a TLS connection receives; a record has at most 16 KiB. asyncio takes 256 KiB for each connection,
zeroed and therefore resident: of 318 KiB that an idle one of 200 took, 94 are left. Each Secret that is followed has a connection."""


async def connect(connections: int) -> ApiClient:
    """Return a client with a pool of at most that many *connections*, of any number when 0; close it after use.

    Raises `ConfigException` when neither a service account nor a kubeconfig is there.
    """
    SSLProtocol.max_size = TLS_BUFFER  # asyncio has no other way to say it; a test notices when it has none
    configuration = Configuration(connection_pool_maxsize=connections)
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the client is not annotated here
    except ConfigException:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the client is not annotated here
    client = ApiClient(configuration)
    client.user_agent = OPERATOR
    return client
