"""One SMTP session: aiosmtpd's command loop and state, with these differences.

- MAIL, RCPT and DATA that are as usual are answered where the line is read (`took`), by the same checks; aiosmtpd, with its log lines,
  look-ups and a drain for each, takes some 100 microseconds a command. It answers whatever else comes.
- A session begins as a copy of the listener's first one: aiosmtpd looks at every member of two classes for each, some 500 microseconds.
- Lines come from `CommandReader` (CRLF only, no control characters, AUTH lines to 12,288 octets: RFC 5321 section 2.3.8, RFC 4954
  section 4); aiosmtpd takes a bare LF for a line's end and refuses AUTH lines over 512 octets, which tokens exceed.
- `smtp_DATA` reads chunks until CRLF.CRLF (`IncomingBody`): aiosmtpd reads line by line, 43 ms for 1 MB where this takes 4, refuses
  lines over 1,001 octets, which mailers send, and unstuffs what delivery has to stuff again.
- `smtp_STARTTLS` uses the loop's own `start_tls`: aiosmtpd builds asyncio's TLS over a uvloop transport. What was received in the clear
  is dropped and the client's name, login and transaction are forgotten (RFC 3207 section 4.2).
- `smtp_AUTH` takes mechanism names in any case (clients of .NET write `login`); `challenge_auth` bounds and reads its own lines, and
  logs none of them.
- `_getaddr` and `_getparams` are `smtp_gateway.mail.path`: aiosmtpd parses paths like header fields, comments and folding included.
- `check_auth_needed` wants TLS first, then a login. `require_starttls` would answer 530 to AUTH, where RFC 4954 section 4 has 538.
- `push` gives every reply its enhanced status code (RFC 2034) and counts refusals, in the one place that all replies pass.
- `handle_exception` answers 451 4.3.0; aiosmtpd tells the peer the exception.
- `eof_received` ends the input and not the session, so that pipelined commands before a half-close are answered.
- `command_size_limits` is the session's own: aiosmtpd shares one among all sessions and lets every EHLO enlarge it.
- A time-out is announced with 421 (RFC 5321 section 3.8), and a slow body gets its time by what it sends.

Private names of aiosmtpd 1.4.6 and asyncio used here and in `commands`: `_tls_protocol`, `_reader`, `_writer`,
`_handle_client`, `StreamReader._buffer` and `._transport`, `StreamWriter._transport`; a test asserts that they exist.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import structlog
from aiosmtpd.smtp import MISSING, AuthResult, LoginPassword, syntax

from smtp_gateway.listener import replies, usual
from smtp_gateway.listener.body import IncomingBody
from smtp_gateway.listener.commands import CommandReader, LineTooLongError
from smtp_gateway.listener.connection import Connection
from smtp_gateway.listener.hooks import NULL_PATH
from smtp_gateway.mail import path
from smtp_gateway.mail.envelope import Envelope
from smtp_gateway.policy import checks

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from smtp_gateway.mail.reply import Reply

_log = structlog.get_logger()

_SENDER_OK = f"{replies.SENDER_OK}\r\n".encode()
_RECIPIENT_OK = f"{replies.RECIPIENT_OK}\r\n".encode()

# The names of the methods that aiosmtpd calls are its own, and so are their parameters.
# ruff: noqa: N802 see above
# ruff: noqa: ARG002 see above


class Session(Connection):
    """One client's session: the commands that differ from aiosmtpd's."""

    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream = reader
        self._commands = CommandReader(reader, self)
        self._reader = self._commands  # type: ignore[assignment]  # aiosmtpd calls nothing of its reader but `readuntil`
        self._writer = writer

    async def check_auth_needed(self, caller_method: str) -> bool:
        """Refuse, before anything else is looked at, what may not be asked in the clear or without a login."""
        refused = checks.transaction(self._peer) if caller_method in {"MAIL", "RCPT", "DATA"} else None
        if refused is not None:
            await self.push(str(refused))
        return refused is not None

    # ---- the usual way through a transaction

    async def took(self, line: bytes) -> bool:
        """Answer MAIL, RCPT and DATA when nothing is wrong or unusual about them; tell whether *line* was one of those."""
        verb = self._commands.verb
        if verb == "DATA" and line[4:] == b"\r\n":
            self._reset_timeout()
            await self.smtp_DATA(None)
            return True
        done = (verb == "MAIL" and self._took_mail(line)) or (verb == "RCPT" and self._took_rcpt(line))
        if done:
            self._reset_timeout()
        return done

    def _took_mail(self, line: bytes) -> bool:
        session, envelope, intake = self.session, self.envelope, self._front.intake
        if session is None or envelope is None or not session.host_name or envelope.mail_from:
            return False
        mail = usual.mail(line, self.data_size_limit or 0)
        if mail is None or (mail.options and not session.extended_smtp):
            return False
        if checks.transaction(self._peer) or intake.unwilling() or checks.sender(mail.address, smtputf8=False):
            return False
        envelope.mail_from = mail.address or NULL_PATH
        envelope.mail_options.extend(mail.options)
        envelope.smtp_utf8 = False
        self._writer.write(_SENDER_OK)
        return True

    def _took_rcpt(self, line: bytes) -> bool:
        envelope, limit = self.envelope, self._front.intake.config.limits.recipients
        if envelope is None or not envelope.mail_from:
            return False
        address = usual.rcpt(line)
        if address is None or checks.recipient(address, len(envelope.rcpt_tos), limit, smtputf8=False):
            return False
        envelope.rcpt_tos.append(address)
        self._writer.write(_RECIPIENT_OK)
        return True

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """Go on under TLS (RFC 3207), with everything forgotten that was said in the clear."""
        refused = replies.UNEXPECTED_ARGUMENT if arg else replies.TLS_ALREADY if self._tls_version else None
        if refused is not None:
            await self.push(str(refused))
            return
        self._commands.forget()
        # Written and not drained: between forgetting and `start_tls` nothing may be received, so nothing may be awaited.
        self._writer.write(f"{replies.READY_FOR_TLS}\r\n".encode())
        await self._handshake()
        self._set_rset_state()  # type: ignore[no-untyped-call]  # aiosmtpd's
        self.session = self._create_session()
        self.session.peer = self._writer.get_extra_info("peername")

    # ---- AUTH

    @syntax("AUTH <mechanism>")
    async def smtp_AUTH(self, arg: str | None) -> None:
        """Authenticate (RFC 4954), whatever the case of the mechanism's name."""
        mechanism, space, rest = (arg or "").partition(" ")
        await super().smtp_AUTH(f"{mechanism.upper()}{space}{rest}")

    async def challenge_auth(
        self,
        challenge: str | bytes,
        encode_to_b64: bool = True,  # noqa: FBT001, FBT002 aiosmtpd's signature
        log_client_response: bool = False,  # noqa: FBT001, FBT002 aiosmtpd's signature
    ) -> Any:
        """Send a challenge and return the client's answer; MISSING when it gave none and was told so. Answers are never logged."""
        octets = challenge.encode() if isinstance(challenge, str) else challenge
        await self.push(b"334 " + (b64encode(octets) if encode_to_b64 else octets))
        try:
            answer = (await self._commands.line()).removesuffix(b"\r\n")
            if answer != b"*":
                return b64decode(answer, validate=True)
            refused = replies.AUTH_CANCELLED
        except LineTooLongError:
            refused = replies.AUTH_LINE_TOO_LONG
        except binascii.Error:
            refused = replies.AUTH_NOT_BASE64
        await self.push(str(refused))
        return MISSING

    def _authenticate(self, mechanism: str, auth_data: LoginPassword) -> AuthResult:
        who = self._front.logins.verify(auth_data.login, auth_data.password)
        self._front.observer.authenticated(mechanism, succeeded=who is not None)
        if who is None:
            _log.warning("authentication failed", peer=self._peer.address, listener=self._front.listener, mechanism=mechanism)
        return AuthResult(success=who is not None, handled=False, auth_data=who)

    # ---- MAIL, RCPT: what aiosmtpd asks while it reads them

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        found = path.parse_path(arg)
        return (None, None) if found is None else (found.address or NULL_PATH, found.parameters)

    def _getparams(self, params: Sequence[str]) -> dict[str, str | bool] | None:
        found = path.parse_parameters(params)
        if found is not None and self._commands.verb == "MAIL":
            # Nobody is trusted to say who someone else is: as if it were AUTH=<> (RFC 4954 section 5).
            found.pop("AUTH", None)
        return found

    # ---- DATA

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        """Receive one message and hand it to intake (RFC 5321 section 4.1.1.4)."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        refused = replies.UNEXPECTED_ARGUMENT if arg else None if self._recipients else replies.RECIPIENTS_FIRST
        if refused is not None:
            await self.push(str(refused))
            return
        await self.push(replies.GO_AHEAD)
        answer = await self._message()
        self._set_post_data_state()  # type: ignore[no-untyped-call]  # aiosmtpd's
        await self.push(str(answer))

    async def _message(self) -> Reply:
        incoming = IncomingBody(self.data_size_limit or 0, self._front.intake.room)
        try:
            await self._receive(incoming)
            body = incoming.finish()
            if isinstance(body, bytes):
                self._reset_timeout()
                return await self._front.intake.accept(self._peer, self._envelope, body)
        finally:
            incoming.release()
        peer = self._peer
        _log.info("refused", peer=peer.address, listener=peer.listener, identity=peer.identity, reply=str(body))
        return body

    async def _receive(self, incoming: IncomingBody) -> None:
        try:
            await self._commands.body(incoming, self._reset_timeout)
        except Exception:
            # The rest of the body would be read as commands.
            self.cut()
            raise

    @property
    def _recipients(self) -> list[str]:
        return self.envelope.rcpt_tos if self.envelope else []

    @property
    def _envelope(self) -> Envelope:
        said = self.envelope
        sender = (said.mail_from if said else None) or NULL_PATH
        return Envelope(
            sender="" if sender == NULL_PATH else sender,
            recipients=tuple(self._recipients),
            smtputf8=bool(said and said.smtp_utf8),
            body_8bit=bool(said and "BODY=8BITMIME" in said.mail_options),
        )

    # ---- the rest

    @syntax("VRFY <address>")
    async def smtp_VRFY(self, arg: str | None) -> None:
        """Tell nothing about who exists (RFC 5321 section 7.3)."""
        await self.push(str(replies.CANNOT_VERIFY))

    @syntax("HELP")
    async def smtp_HELP(self, arg: str | None) -> None:
        """Name the commands."""
        await self.push(str(replies.HELP))
