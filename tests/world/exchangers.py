"""Mail exchangers: next hops that record, each at an address of its own on port 25, with a certificate of one kind."""

from __future__ import annotations

import asyncio
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from smtp_gateway.config.certificate import self_signed
from tests.support.admin import write
from tests.support.gateway import PATIENCE, authority
from tests.support.sink import EXTENSIONS, Sink

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    import trustme

PORT = 25
CERTIFICATES = ("valid", "expired", "other", "self", "clear")
"""A certificate that is right; one that has expired; one for another name; one that nobody vouches for; and no STARTTLS at all."""
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def certified(kind: str, name: str) -> ssl.SSLContext | None:
    """Return the context of the server *name* with a certificate of *kind*; None when it has none."""
    if kind == "clear":
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if kind == "self":
        _load(context, name)
    else:
        _issued(kind, name).configure_cert(context)
    return context


def _issued(kind: str, name: str) -> trustme.LeafCert:
    if kind == "expired":
        return authority().issue_cert(name, not_after=_LONG_AGO)
    return authority().issue_cert("elsewhere.example" if kind == "other" else name)


def _load(context: ssl.SSLContext, name: str) -> None:
    with TemporaryDirectory() as folder:
        write(Path(folder), self_signed([name], datetime.now(UTC)))
        context.load_cert_chain(Path(folder) / "tls.crt", Path(folder) / "tls.key")


class Exchangers:
    """All of them, in a thread of their own, so that tests may block."""

    def __init__(self) -> None:
        """Begin without any."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._sinks: dict[str, Sink] = {}

    def __enter__(self) -> Self:
        """Start the thread, in the network that this one is in."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Stop them all."""
        for sink in self._sinks.values():
            self._do(sink.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def open(self, address: str, tls: ssl.SSLContext | None = None, extensions: tuple[str, ...] = EXTENSIONS) -> Sink:
        """Open one at *address*, which offers STARTTLS when *tls* is given."""
        sink = self._sinks[address] = Sink(tls=tls, extensions=extensions, host=address)
        sink.port = PORT
        self._do(sink.start())
        return sink

    def _do(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)
