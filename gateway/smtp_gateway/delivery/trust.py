"""Whom next hops are believed by and what they are shown: the TLS contexts of handshakes with them, each built once and in a thread.

What can go wrong is `UnjudgedHandshakeError`: a certificate or an authority that OpenSSL cannot use, whatever was looked at before.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from smtp_gateway.config.model import HopTls
from smtp_gateway.delivery.faults import UnjudgedHandshakeError

if TYPE_CHECKING:
    from collections.abc import Collection

    from smtp_gateway.config.model import ClientCertificate, Smarthost


@dataclass(frozen=True, slots=True)
class Terms:
    """What a handshake with a next hop is made by."""

    tls: HopTls
    client_certificate: ClientCertificate | None = None
    authority: str | None = None

    @classmethod
    def of(cls, smarthost: Smarthost) -> Self:
        """Return the terms of *smarthost*."""
        return cls(smarthost.tls, smarthost.client_certificate, smarthost.authority)

    @property
    def usual(self) -> bool:
        """Whether they are those of next hops that nothing was said about."""
        return self.client_certificate is None and self.authority is None


class Trust:
    """The TLS contexts for next hops: one that verifies, one that does not, and one for all of equal terms. Built at their first use."""

    def __init__(self, verifying: ssl.SSLContext | None = None) -> None:
        """Verify by *verifying*, or by the system's certificate authorities when it is None."""
        self._verifying = verifying
        self._encrypting: ssl.SSLContext | None = None
        self._others: dict[Terms, ssl.SSLContext] = {}

    async def context(self, terms: Terms) -> ssl.SSLContext:
        """Return the context for *terms*. In a thread at first, because the system's authorities are a file of some 200 KB.

        Raises `UnjudgedHandshakeError` when the certificate or the authority in *terms* is of no use to OpenSSL.
        """
        if not terms.usual:
            return await self._other(terms)
        if terms.tls is HopTls.VERIFY:
            if self._verifying is None:
                self._verifying = await asyncio.to_thread(ssl.create_default_context)
            return self._verifying
        if self._encrypting is None:
            self._encrypting = await asyncio.to_thread(_without_verification)
        return self._encrypting

    def keep(self, terms: Collection[Terms]) -> None:
        """Forget the contexts, and with them the keys, for all but *terms*."""
        for one in self._others.keys() - set(terms):
            del self._others[one]

    async def _other(self, terms: Terms) -> ssl.SSLContext:
        known = self._others.get(terms)
        if known is None:
            known = self._others[terms] = await asyncio.to_thread(_particular, terms)
        return known


def _without_verification() -> ssl.SSLContext:
    """Encrypt without asking for whom: still better than the clear against those who only listen (RFC 7435 section 3)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _particular(terms: Terms) -> ssl.SSLContext:
    """Return a context that believes only the authority in *terms*, if there is one, and shows the certificate. Raises `UnjudgedHandshakeError`."""
    try:
        context = ssl.create_default_context(cadata=terms.authority) if terms.tls is HopTls.VERIFY else _without_verification()
    except ssl.SSLError as fault:
        message = f"The authority that should vouch for it cannot be used: {fault.reason or fault}"
        raise UnjudgedHandshakeError(message) from fault
    if terms.client_certificate is not None:
        _show(terms.client_certificate, context)
    return context


def _show(certificate: ClientCertificate, context: ssl.SSLContext) -> None:
    """Show *certificate* to those who ask for one. Raises `UnjudgedHandshakeError`.

    OpenSSL is given certificates by the name of a file. This one has none but its descriptor's, so that the key is never on a disk.
    """
    file = os.memfd_create("client-certificate")
    try:
        with open(file, "wb", closefd=False) as writing:
            writing.write(f"{certificate.chain}\n{certificate.key.get_secret_value()}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{file}", password="")  # one that is asked for on a terminal would be waited for
    except ssl.SSLError as fault:
        message = f"The client certificate in Secret {certificate.identity} cannot be used: {fault.reason or fault}"
        raise UnjudgedHandshakeError(message) from fault
    finally:
        os.close(file)
