"""A server's certificates: the files of a folder, followed when they are renewed, and who may connect.

A folder holds `tls.crt` and `tls.key`, and may hold `additional.crt` and `additional.key` beside them: a pair with another type of key
(RSA beside ECDSA), which OpenSSL shows to the clients that cannot use the first.

One `SSLContext` serves all handshakes for as long as the same clients are let in. Each handshake asks it for the pairs in force
(`sni_callback`, called for clients without SNI too), so new ones take effect with the next handshake, no session notices, and tickets
that were given out stay good. New pairs are built into a context of their own first: `load_cert_chain` into a live context would leave
the new certificate beside the old key when the key does not fit.

Sessions are resumed by tickets (RFC 8446 section 4.6.1, RFC 5077), encrypted under keys of the context. Pods do not share those: a ticket
of another pod costs the handshake that it would have saved, and keys that several processes hold would have to be rotated by hand. Other
client authorities get another context, so that no ticket outlives the authority that its client was judged by.

What can go wrong: an unusable pair at start ends the start (`CertificateError`); an unusable one later is logged, once, and the old one
stays in force.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.config import folder as mounted
from smtp_gateway.config.certificate import expires_first, key_type

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from smtp_gateway.config.model import ClientCertificates

CERTIFICATE_FILE = "tls.crt"
KEY_FILE = "tls.key"
"""The keys of a Secret of type kubernetes.io/tls."""
ADDITIONAL_CERTIFICATE_FILE = "additional.crt"
ADDITIONAL_KEY_FILE = "additional.key"
"""The same of a second Secret, in the same folder, so that both are followed by one look."""
AUTHORITY_FILE = "ca.crt"
"""Beside them, as cert-manager writes it: who signs those that may connect."""
LOOK_EVERY = 2.0
"""Seconds between two looks at the folder; the kubelet itself takes up to a minute to refresh it."""
CIPHERS = ":".join(
    f"ECDHE-{key}-{cipher}" for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305") for key in ("ECDSA", "RSA")
)
"""For TLS 1.2: Mozilla's intermediate configuration (Server Side TLS 5.7) without its DHE suites, for which servers need parameters and
which no client needs that knows these ciphers. All have forward secrecy and authenticate what they encrypt. TLS 1.3 has such only."""

_log = structlog.get_logger()


class CertificateError(Exception):
    """The folder holds no usable pair; the message is one sentence."""


class Certificate:
    """The pairs in force, and the authority of clients."""

    def __init__(
        self, folder: Path, build: Callable[[Path], ssl.SSLContext] | None = None, *, clients: ClientCertificates | None = None
    ) -> None:
        """Serve the pairs in *folder*, in contexts as *build* makes them; when None, in those of listeners that ask for *clients*.

        Blocks on the disk. Raises `CertificateError`.
        """
        self._folder = folder
        self._build = build
        self._clients = clients
        self._seen = mounted.fingerprint(folder)
        loaded = self._load(clients)
        self._current, self.not_after = loaded.context, loaded.not_after
        self.problem = ""
        """Why a newer pair could not be used; empty when there is none."""
        self.context = self._entrance(loaded)
        """The context for every handshake until other clients are admitted."""
        self._admitted = clients
        self._changed = asyncio.Event()
        self._renewing = asyncio.Lock()

    def _entrance(self, loaded: _Loaded) -> ssl.SSLContext:
        """Return the second context of what was loaded, sending each handshake on to the pairs that are in force then."""
        loaded.entrance.sni_callback = partial(self._choose, _asked(loaded.clients))
        return loaded.entrance

    def _choose(self, asked: tuple[str, bool] | None, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        # One that began before other clients were admitted ends as it began: half of each would refuse who may come in by either.
        if asked == _asked(self._admitted):
            handshake.context = self._current

    def admit(self, clients: ClientCertificates | None) -> None:
        """Ask for certificates as *clients* say, or for none, as soon as `follow` has made the context for it."""
        self._clients = clients
        self._changed.set()

    async def follow(self, interval: float = LOOK_EVERY) -> None:
        """Take each new pair and other clients into force, until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._follow_folder(interval))
            both.create_task(self._follow_clients())

    async def _follow_folder(self, interval: float) -> None:
        async for _ in mounted.changes(self._folder, interval, self._seen):
            await self._renew()

    async def _follow_clients(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if _asked(self._clients) != _asked(self._admitted):
                await self._renew()

    async def _renew(self) -> None:
        """Take what is in the folder into force, for the clients that are wanted, or say why not."""
        async with self._renewing:
            try:
                self._take(await asyncio.to_thread(self._load, self._clients))
            except CertificateError as error:
                self.problem = str(error)
                _log.error("certificate unusable", reason=self.problem, in_force="the one before")

    def _take(self, loaded: _Loaded) -> None:
        self._current, self.not_after, self.problem = loaded.context, loaded.not_after, ""
        if _asked(self._admitted) != _asked(loaded.clients):
            self.context, self._admitted = self._entrance(loaded), loaded.clients
        _log.info("certificate loaded", folder=str(self._folder))

    def _load(self, clients: ClientCertificates | None) -> _Loaded:
        """Return what is in the folder, for *clients*. Raises `CertificateError`."""
        build = self._build or partial(server_context, clients=clients)
        context, entrance = build(self._folder), build(self._folder)
        try:
            expires = expires_first([(self._folder / certificate).read_bytes() for certificate, _ in _pairs(self._folder)])
        except OSError as error:
            message = f"a certificate in {self._folder} cannot be read: {error.strerror}"
            raise CertificateError(message) from error
        return _Loaded(context, entrance, None if expires is None else expires.timestamp(), clients)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What was in the folder."""

    context: ssl.SSLContext
    entrance: ssl.SSLContext
    """Another one like it."""
    not_after: float | None
    """When the first of the pairs expires, in seconds since the epoch."""
    clients: ClientCertificates | None


def _asked(clients: ClientCertificates | None) -> tuple[str, bool] | None:
    """Return what of *clients* is a matter of the handshake."""
    return None if clients is None else (clients.authority, clients.required)


def server_context(folder: Path, clients: ClientCertificates | None = None) -> ssl.SSLContext:
    """Return a context for servers with the pairs in *folder*, that asks for certificates as *clients* say. Blocks on the disk.

    TLS 1.2 and later (RFC 8996 forbids those before, RFC 8314 section 4.1). Clients choose among `CIPHERS`, as Mozilla has it, because all
    are good and they know which of them their processor is fast at. No renegotiation: TLS 1.3 has none, and in 1.2 nobody needs it.

    Raises `CertificateError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options |= ssl.OP_NO_RENEGOTIATION
    _load_pairs(context, folder)
    if clients is not None:
        _ask_for(clients, context)
    return context


def _pairs(folder: Path) -> list[tuple[str, str]]:
    """Return the names of the pairs in *folder*. A file of the second is enough, so that half of a pair is an error."""
    additional = ADDITIONAL_CERTIFICATE_FILE, ADDITIONAL_KEY_FILE
    return [(CERTIFICATE_FILE, KEY_FILE), *([additional] if any((folder / name).exists() for name in additional) else [])]


def _load_pairs(context: ssl.SSLContext, folder: Path) -> None:
    """Load the pairs in *folder* into *context*. Raises `CertificateError`."""
    pairs = _pairs(folder)
    for certificate, key in pairs:
        try:
            context.load_cert_chain(folder / certificate, folder / key)
        except ssl.SSLError as error:
            where = folder if certificate == CERTIFICATE_FILE else folder / certificate
            message = f"{where} holds no usable certificate and key: {error.reason or error}"
            raise CertificateError(message) from error
        except OSError as error:
            message = f"{certificate} or {key} in {folder} cannot be read: {error.strerror}"
            raise CertificateError(message) from error
    types = [key_type((folder / certificate).read_bytes()) for certificate, _ in pairs]
    if len(set(types)) < len(types):
        # OpenSSL holds one pair of each type: the second would take the first's place.
        message = f"{CERTIFICATE_FILE} and {ADDITIONAL_CERTIFICATE_FILE} in {folder} have keys of the same type, {types[0]}: one of them is enough"
        raise CertificateError(message)


def _ask_for(clients: ClientCertificates, context: ssl.SSLContext) -> None:
    """Ask for a certificate signed by the authority of *clients*: one that is shown must be good, and one must be shown if they say so."""
    context.verify_mode = ssl.CERT_REQUIRED if clients.required else ssl.CERT_OPTIONAL
    try:
        context.load_verify_locations(cadata=clients.authority)
    except (ssl.SSLError, ValueError) as error:
        message = f"the authority of clients holds no certificate: {error}"
        raise CertificateError(message) from error


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
