"""The connection to the API server as a pod has it: with the token that the kubelet writes, also when it has written another one."""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
import trustme
from kubernetes.aio.config import incluster_config

from smtp_gateway_operator.startup.connection import TLS_BUFFER, connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kubernetes.aio.client import ApiClient


@pytest.fixture
def rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """What the kubelet does with the token's file, in a pod whose client reads it again at once instead of once a minute."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    read = incluster_config.InClusterConfigLoader._read_token_file  # noqa: SLF001 the library has no other way to hurry it

    def read_and_expire(loader: incluster_config.InClusterConfigLoader) -> None:
        read(loader)  # type: ignore[no-untyped-call] # the client is not annotated here
        loader.token_expires_at = datetime.min  # noqa: DTZ901 the library compares with local times

    monkeypatch.setattr(SSLProtocol, "max_size", SSLProtocol.max_size)  # so that it is as before when the test is over
    monkeypatch.setattr(incluster_config.InClusterConfigLoader, "_read_token_file", read_and_expire)
    return (tmp_path / "token").write_text


async def authorization(client: ApiClient) -> tuple[str, str]:
    """Return where the next request goes, and the token that goes along."""
    _, url, headers, *_ = await client.param_serialize("GET", "/version", auth_settings=["BearerToken"])
    return url, headers["authorization"]


@pytest.mark.allow_blocking  # the library reads the token's file, of a kilobyte, in the event loop
async def test_a_rotated_token_is_used(rotate: Callable[[str], int]) -> None:
    """Bound tokens end after an hour; the kubelet writes a new one before, and requests take it along without a restart."""
    rotate("one")
    client = await connect(1)
    assert await authorization(client) == ("https://[fd00::1]:443/version", "bearer one")

    rotate("two")

    assert (await authorization(client))[1] == "bearer two"
    await client.close()  # type: ignore[no-untyped-call] # the client is not annotated here


async def receive_buffer() -> int:
    """Return the size of the buffer of one TLS connection."""
    authority, serving = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving)
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
    size = len(writer.transport._ssl_protocol._ssl_buffer)  # type: ignore[attr-defined] # noqa: SLF001 only asyncio can tell
    writer.transport.abort()
    server.close()
    return size


@pytest.mark.allow_blocking  # the library reads the token's file, of a kilobyte, in the event loop
def test_a_connection_is_small(rotate: Callable[[str], int]) -> None:
    """On the loop that the operator has, a TLS connection has the buffer that was asked for, and no quarter of a mebibyte."""

    async def connected() -> int:
        await (await connect(1)).close()  # type: ignore[no-untyped-call] # the client is not annotated here
        return await receive_buffer()

    rotate("one")
    assert asyncio.run(connected()) == TLS_BUFFER
