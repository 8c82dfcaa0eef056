"""The server's certificate: `tls.crt` and `tls.key` of a folder, followed when they are renewed.

One `SSLContext` serves all listeners for the life of the process. Each handshake asks it for the pair in force (`sni_callback`, called
for clients without SNI too), so a new pair takes effect with the next handshake and no session notices. A new pair is built into a
context of its own first: `load_cert_chain` into a live context would leave the new certificate beside the old key when the key does not fit.

What can go wrong: an unusable pair at start ends the start (`CertificateError`); an unusable one later is logged, once, and the old one
stays in force.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.config import folder as mounted

if TYPE_CHECKING:
    from pathlib import Path

CERTIFICATE_FILE = "tls.crt"
KEY_FILE = "tls.key"
"""The keys of a Secret of type kubernetes.io/tls."""
LOOK_EVERY = 2.0
"""Seconds between two looks at the folder; the kubelet itself takes up to a minute to refresh it."""

_log = structlog.get_logger()


class CertificateError(Exception):
    """The folder holds no usable pair; the message is one sentence."""


class Certificate:
    """The pair in force."""

    def __init__(self, folder: Path) -> None:
        """Serve the pair in *folder*. Blocks on the disk.

        Raises `CertificateError`.
        """
        self._folder = folder
        self._seen = mounted.fingerprint(folder)
        self._current = server_context(folder)
        self.context = server_context(folder)
        """The context for every handshake."""
        self.context.sni_callback = self._choose

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._current

    async def follow(self, interval: float = LOOK_EVERY) -> None:
        """Take each new pair into force, until cancelled."""
        async for _ in mounted.changes(self._folder, interval, self._seen):
            try:
                self._current = await asyncio.to_thread(server_context, self._folder)
            except CertificateError as error:
                _log.error("certificate unusable", reason=str(error), in_force="the one before")
            else:
                _log.info("certificate loaded", folder=str(self._folder))


def server_context(folder: Path) -> ssl.SSLContext:
    """Return a context for servers with the pair in *folder*. Blocks on the disk.

    TLS 1.2 and later (RFC 8996 forbids those before, RFC 8314 section 4.1), with the cipher suites of Python's own defaults.

    Raises `CertificateError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(folder / CERTIFICATE_FILE, folder / KEY_FILE)
    except ssl.SSLError as error:
        message = f"{folder} holds no usable certificate and key: {error.reason or error}"
        raise CertificateError(message) from error
    except OSError as error:
        message = f"{CERTIFICATE_FILE} or {KEY_FILE} in {folder} cannot be read: {error.strerror}"
        raise CertificateError(message) from error
    return context
