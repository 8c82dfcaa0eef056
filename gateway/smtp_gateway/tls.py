"""A server's certificate: `tls.crt` and `tls.key` of a folder, followed when they are renewed, and who may connect to it.

One `SSLContext` serves all ports of a pair for the life of the process. Each handshake asks it for the pair in force (`sni_callback`, called
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
from smtp_gateway.config.certificate import not_after

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CERTIFICATE_FILE = "tls.crt"
KEY_FILE = "tls.key"
"""The keys of a Secret of type kubernetes.io/tls."""
AUTHORITY_FILE = "ca.crt"
"""Beside them, as cert-manager writes it: who signs those that may connect."""
LOOK_EVERY = 2.0
"""Seconds between two looks at the folder; the kubelet itself takes up to a minute to refresh it."""

_log = structlog.get_logger()


class CertificateError(Exception):
    """The folder holds no usable pair; the message is one sentence."""


class Certificate:
    """The pair in force."""

    def __init__(self, folder: Path, build: Callable[[Path], ssl.SSLContext] | None = None) -> None:
        """Serve the pair in *folder*, in contexts as *build* makes them (`server_context` when None). Blocks on the disk.

        Raises `CertificateError`.
        """
        self._folder = folder
        self._build = build or server_context
        self._seen = mounted.fingerprint(folder)
        self._current, self.not_after = self._load()
        self.problem = ""
        """Why a newer pair could not be used; empty when there is none."""
        self.context = self._build(folder)
        """The context for every handshake."""
        self.context.sni_callback = self._choose

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._current

    async def follow(self, interval: float = LOOK_EVERY) -> None:
        """Take each new pair into force, until cancelled."""
        async for _ in mounted.changes(self._folder, interval, self._seen):
            try:
                self._current, self.not_after = await asyncio.to_thread(self._load)
            except CertificateError as error:
                self.problem = str(error)
                _log.error("certificate unusable", reason=self.problem, in_force="the one before")
            else:
                self.problem = ""
                _log.info("certificate loaded", folder=str(self._folder))

    def _load(self) -> tuple[ssl.SSLContext, float | None]:
        """Return a context with the pair in the folder, and when it expires (seconds since the epoch). Raises `CertificateError`."""
        context = self._build(self._folder)
        try:
            expires = not_after((self._folder / CERTIFICATE_FILE).read_bytes())
        except OSError as error:
            message = f"{CERTIFICATE_FILE} in {self._folder} cannot be read: {error.strerror}"
            raise CertificateError(message) from error
        return context, None if expires is None else expires.timestamp()


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


def mutual_context(folder: Path) -> ssl.SSLContext:
    """Return the same for a port that only clients of the authority in *folder* may open: those with a certificate for clients.

    Sessions are not resumed, so that each connection is judged by the authority that is in force. Blocks on the disk.

    Raises `CertificateError`.
    """
    context = server_context(folder)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    try:
        context.load_verify_locations(folder / AUTHORITY_FILE)
    except ssl.SSLError as error:
        message = f"{AUTHORITY_FILE} in {folder} holds no certificate: {error.reason or error}"
        raise CertificateError(message) from error
    except OSError as error:
        message = f"{AUTHORITY_FILE} in {folder} cannot be read: {error.strerror}"
        raise CertificateError(message) from error
    return context
