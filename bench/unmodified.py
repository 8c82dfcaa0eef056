"""`python -m bench.unmodified FOLDER PORT logins|everybody`: aiosmtpd as it comes, in front of this project's spool.

SMTP is all aiosmtpd's own. Its handler does the least that makes a message durable: no policy, no trace header, no log line, no metrics,
which the gateway has all of. The loop is uvloop's, as the gateway's, and the content becomes wire form by one search for dots.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import signal
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP as Server  # noqa: N811 a server, and the others here are clients
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from bench.tools import APP, NEWSLETTER
from smtp_gateway.mail import envelope as ours
from smtp_gateway.mail.identifier import ENTROPY, message_id
from smtp_gateway.spool.api import NewMessage
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway.spool.api import Spool

LARGEST = 64 * 1024 * 1024
"""Octets of a message, as for the other relays."""
PASSWORDS = {login.name.encode(): login.password.encode() for login in (APP, NEWSLETTER)}


class Keeping:
    """aiosmtpd's handler that keeps what it is given."""

    def __init__(self, spool: Spool) -> None:
        """Keep in *spool*."""
        self._spool = spool

    async def handle_DATA(self, server: Server, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 aiosmtpd's own
        """Answer 250 when the message is durable. Raises `SpoolUnavailableError`, which aiosmtpd answers with 500."""
        now = time.time()
        identifier = message_id(now, os.urandom(ENTROPY))
        said = ours.Envelope(envelope.mail_from or "", tuple(envelope.rcpt_tos))
        await self._spool.put(NewMessage(identifier, said, wire_form(envelope.original_content or b""), now))
        return f"250 2.0.0 Ok: queued as {identifier}"


def wire_form(content: bytes) -> bytes:
    """Return *content*, whole lines from which aiosmtpd took the doubled dots, as a spool keeps it (RFC 5321 section 4.5.2)."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"".join((b"." if stuffed.startswith(b".") else b"", stuffed, ours.END_OF_DATA))


def known(_server: Server, _session: Session, _envelope: Envelope, _mechanism: str, said: object) -> AuthResult:
    """Tell aiosmtpd whether this is one of the two logins."""
    if not isinstance(said, LoginPassword):
        return AuthResult(success=False, handled=False)
    expected = PASSWORDS.get(said.login)
    return AuthResult(success=expected is not None and hmac.compare_digest(expected, said.password), handled=False)


def terms(folder: Path, *, logins: bool) -> Mapping[str, object]:
    """Return aiosmtpd's settings: with *logins* mail is taken after STARTTLS and AUTH only, with the certificate in *folder*'s `tls`."""
    if not logins:
        return {"data_size_limit": LARGEST}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls/tls.crt", folder / "tls/tls.key")
    return {"data_size_limit": LARGEST, "tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": known}


def main(folder: Path, port: int, *, logins: bool) -> None:
    """Run until SIGTERM."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    spool = loop.run_until_complete(DiskSpool.open(folder / "spool", NullObserver()))
    controller = UnthreadedController(Keeping(spool), "127.0.0.1", port, loop, **terms(folder, logins=logins))
    controller.begin()  # type: ignore[no-untyped-call]  # aiosmtpd has no types
    loop.add_signal_handler(signal.SIGTERM, loop.stop)
    loop.run_forever()
    controller.end()  # type: ignore[no-untyped-call]  # aiosmtpd has no types
    loop.run_until_complete(spool.close())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), logins=sys.argv[3] == "logins")
