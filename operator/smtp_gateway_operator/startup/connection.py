"""The connection to the API server: as a pod by its service account, elsewhere by the kubeconfig, as kopf does it."""

from __future__ import annotations

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException

from smtp_gateway_operator.names import OPERATOR


async def connect(connections: int) -> ApiClient:
    """Return a client with a pool of at most that many *connections*, of any number when 0; close it after use.

    Raises `ConfigException` when neither a service account nor a kubeconfig is there.
    """
    configuration = Configuration(connection_pool_maxsize=connections)
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the client is not annotated here
    except ConfigException:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the client is not annotated here
    client = ApiClient(configuration)
    client.user_agent = OPERATOR
    return client
