"""The admin port as the operator meets it: a gateway's own authority, the pairs that it signs, and questions under TLS."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp

from smtp_gateway.config.certificate import Pair, issue, issue_client, new_authority
from smtp_gateway.config.report import PodReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POD = "mail-1"
NAME = f"{POD}.mail-pods.ns.svc"
"""What the certificate of the admin port is for."""


class Authority:
    """A gateway's authority, and what it signs."""

    def __init__(self) -> None:
        """Make one."""
        self.pair = new_authority("mail", datetime.now(UTC))

    def server(self, *names: str) -> Pair:
        """Return the pair of a server."""
        return issue(self.pair, names, datetime.now(UTC))

    def client(self) -> Pair:
        """Return the operator's pair."""
        return issue_client(self.pair, "smtp-gateway-operator", datetime.now(UTC))

    def mount(self, folder: Path) -> Path:
        """Write what a pod finds in its folder for the admin port, and return the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, self.server(NAME))
        (folder / "ca.crt").write_bytes(self.pair.certificate)
        return folder

    def context(self, folder: Path, pair: Pair | None) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority and shows *pair*, which is written to *folder* for OpenSSL."""
        context = ssl.create_default_context(cadata=self.pair.certificate.decode())
        if pair is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write(folder, pair)
            context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        return context


def write(folder: Path, pair: Pair) -> None:
    """Write *pair* as a Secret of type kubernetes.io/tls is mounted."""
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)


async def ask(port: int, context: ssl.SSLContext, path: str = "/report") -> tuple[int, str]:
    """Ask the admin port; return status and text. Raises `aiohttp.ClientError`."""
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"https://127.0.0.1:{port}{path}", server_hostname=NAME) as answer,
    ):
        return answer.status, await answer.text()


async def reported(port: int, context: ssl.SSLContext, condition: Callable[[PodReport], object], within: float = 10.0) -> PodReport:
    """Ask again and again until *condition* holds of the report, at most *within* seconds."""
    async with asyncio.timeout(within):
        said = await report(port, context)
        while not condition(said):  # each question takes some milliseconds, so the loop does not spin
            said = await report(port, context)
        return said


async def report(port: int, context: ssl.SSLContext) -> PodReport:
    """Ask for the report."""
    status, text = await ask(port, context)
    assert status == 200
    return PodReport.model_validate_json(text)
