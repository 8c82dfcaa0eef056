"""One SMTP session on aiosmtpd, which is the authority for every command that is not as usual, with these differences.

- `conversation` answers canonical commands that succeed where they are read, several in one write; aiosmtpd, with its log lines, look-ups
  and a drain for each, takes some 100 microseconds a command. Whatever else comes is answered by aiosmtpd's own methods in a task
  (`_slowly`), on the same `session` and `envelope`, so that nothing has to be copied between the two ways.
- A session begins as a copy of the listener's first one: aiosmtpd looks at every member of two classes for each, some 500 microseconds.
- Lines come from `Inbox` (CRLF only, no control characters, AUTH lines to 12,288 octets: RFC 5321 section 2.3.8, RFC 4954 section 4);
  aiosmtpd takes a bare LF for a line's end and refuses AUTH lines over 512 octets, which tokens exceed.
- `smtp_DATA` leaves the body to `conversation`, which takes it in chunks until CRLF.CRLF (`IncomingBody`): aiosmtpd reads line by line,
  43 ms for 1 MB where this takes 3, refuses lines over 1,001 octets, which mailers send, and unstuffs what delivery has to stuff again.
- `smtp_BDAT` is our own (`chunking`): aiosmtpd does not know CHUNKING.
- `smtp_STARTTLS` uses the loop's own `start_tls`: aiosmtpd builds asyncio's TLS over a uvloop transport. What was received in the clear
  is dropped and the client's name, login and transaction are forgotten (RFC 3207 section 4.2).
- `smtp_AUTH` takes mechanism names in any case (clients of .NET write `login`), and nothing within a transaction; `challenge_auth` bounds and reads its own lines, and
  logs none of them. PLAIN and LOGIN are those of `exchange`, which wait for the answer: aiosmtpd's `_authenticate` has to have it at once,
  and comparing with a hash takes longer than all other sessions may wait.
- AUTH EXTERNAL is ours (`smtp_gateway.listener.external`), for sessions whose client showed a certificate.
- `smtp_QUIT` closes by itself: aiosmtpd's cancels the task of its loop, which does not run.
- `smtp_MAIL` and `smtp_RCPT` read paths and parameters by `smtp_gateway.mail` (`transactions`).
- `check_auth_needed` wants TLS first, then a login, where the listener does. `require_starttls` would answer 530 to AUTH, where RFC 4954
  section 4 has 538.
- `push` gives every reply its enhanced status code (RFC 2034) and counts refusals.
- `handle_exception` answers 451 4.3.0; aiosmtpd tells the peer the exception.
- `eof_received` ends the input and not the session, so that pipelined commands before a half-close are answered.
- A command line has one limit of its own: aiosmtpd shares its limits among all sessions and lets every EHLO enlarge them.
- A time-out is announced with 421 (RFC 5321 section 3.8), and a slow body gets its time by what it sends (`timeouts`).
- A PROXY header where none is due ends the session: aiosmtpd reads one from everybody, or from nobody.

Private names of aiosmtpd 1.4.6 used here and in `connection`: `_tls_protocol`, `_auth_methods`, `_AuthMechAttr`, `_getaddr`,
`_getparams`, `_reset_timeout`; a test asserts that they exist, and that its methods use no others of its streams.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import MISSING, AuthResult, _AuthMechAttr, syntax

from smtp_gateway.authentication import OVERLOADED, TOO_MANY_FAILURES, Attempt
from smtp_gateway.listener import exchange, replies
from smtp_gateway.listener.connection import VERBS, PeerGoneError, State
from smtp_gateway.listener.external import EXTERNAL, authenticate
from smtp_gateway.listener.lines import AUTH_LIMIT, COMMAND_LIMIT, LineTooLongError
from smtp_gateway.listener.transactions import Transactions
from smtp_gateway.mail import reply
from smtp_gateway.policy import checks
from smtp_gateway.policy.auth import Identity

if TYPE_CHECKING:
    import asyncio
    import ssl

    from smtp_gateway.listener.connection import Front
    from smtp_gateway.policy.auth import Credentials

UNKNOWN_LIMIT = 5
"""Commands that do not exist after which the session ends: aiosmtpd's `BOGUS_LIMIT`, in its loop."""

# The names of the methods that aiosmtpd calls are its own, and so are their parameters.
# ruff: noqa: N802 see above
# ruff: noqa: ARG002 see above


class Session(Transactions):
    """One client's session: the commands that are not as usual, one at a time."""

    _auth_methods = {  # noqa: RUF012 as aiosmtpd has it
        "LOGIN": _AuthMechAttr(exchange.login, is_builtin=True),  # type: ignore[arg-type]  # the session that it is called with is this class's
        "PLAIN": _AuthMechAttr(exchange.plain, is_builtin=True),  # type: ignore[arg-type]  # the same
    }
    """For all sessions: bound methods, as aiosmtpd's, would answer on the connection that they were taken from."""
    # The words of the exchange are what most servers say, and the few clients that read them expect.
    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"

    def __init__(self, front: Front) -> None:
        """Begin with the greeting."""
        super().__init__(front)
        self._unknown = 0
        self._rejected = 0
        """Failed logins of the session."""
        self._arrival: asyncio.Future[None] | None = None
        self._lost: asyncio.Future[None] = self.loop.create_future()
        """Done when the connection is."""
        self._judge: ssl.SSLContext | None = None
        """Under what a client's certificate was found good."""

    # ---- one command

    async def _slowly(self, line: bytes) -> None:
        """Answer *line*, and go on behind it."""
        try:
            await self._obey(line)
        except ConnectionError:
            self._end()
        except Exception as error:  # noqa: BLE001 whatever it is, the log gets the cause and the client comes again
            await self.push(await self.handle_exception(error))
        # Whatever was done may have changed who the client is.
        self._known = None
        if self._state is State.SLOW:
            self._state = State.COMMAND
        self._go_on()

    async def _obey(self, line: bytes) -> None:
        """Call the method for *line*, as aiosmtpd's loop does."""
        octets = line.removesuffix(b"\r\n")
        word, blank, rest = octets.partition(b" ")
        if not octets or not word.isascii():
            await self.push("500 Error: bad syntax")
            return
        command = word.upper().decode("ascii")
        if len(octets) > (AUTH_LIMIT if command == "AUTH" else COMMAND_LIMIT):
            await self.push("500 Command line too long")
        elif command not in VERBS:
            await self._not_known(command)
        else:
            self._reset_timeout()
            # Not UTF-8 is kept as surrogates, which no address may hold.
            await getattr(self, f"smtp_{command}")(rest.strip().decode("utf-8", "surrogateescape") if blank and rest else None)

    async def _not_known(self, command: str) -> None:
        self._unknown += 1
        if self._unknown < UNKNOWN_LIMIT:
            await self.push(f'500 Error: command "{command}" not recognized')
        else:
            await self.push("502 5.5.1 Too many unrecognized commands, goodbye.")
            self._end()

    async def handle_exception(self, error: Exception) -> str:
        """Log the whole cause, and tell the client only that it should come again."""
        self._tell_failure(error)
        return str(reply.TRY_AGAIN_LATER)

    # ---- lines of an exchange

    def connection_lost(self, error: Exception | None) -> None:
        """End, and let an exchange in progress know."""
        super().connection_lost(error)
        self._arrived()
        if not self._lost.done():
            self._lost.set_result(None)

    def _arrived(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def _line(self) -> bytes:
        """Return the client's next line. Raises `LineTooLongError` or `PeerGoneError`."""
        self._flush()
        while (line := self._inbox.line()) is None:
            if self._over or self._ended:
                raise PeerGoneError
            self._regulate()
            self._arrival = self.loop.create_future()
            await self._arrival
        return line

    async def check_auth_needed(self, caller_method: str) -> bool:
        """Refuse, before anything else is looked at, what may not be asked in the clear or without a login."""
        refused = checks.transaction(self._peer, self._terms) if caller_method in {"MAIL", "RCPT", "DATA"} else None
        if refused is not None:
            await self.push(str(refused))
        return refused is not None

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """Go on under TLS (RFC 3207), with everything forgotten that was said in the clear."""
        refused = replies.UNEXPECTED_ARGUMENT if arg else replies.TLS_ALREADY if self._tls_version else None
        if refused is None and not self._terms.starttls:
            refused = replies.TLS_NOT_OFFERED
        if refused is not None:
            await self.push(str(refused))
            return
        self._inbox.forget()
        # Nothing may be received between forgetting and `start_tls`, so nothing may be awaited.
        self._answer(replies.READY_FOR_TLS)
        self._flush()
        await self._handshake()
        self._introduce()

    # ---- AUTH

    @syntax("AUTH <mechanism>")
    async def smtp_AUTH(self, arg: str | None) -> None:
        """Authenticate (RFC 4954), whatever the case of the mechanism's name; never within a transaction (section 4).

        Where strangers may send, what MAIL and RCPT took from one would otherwise be sent as what the login may not send.
        """
        if self._in_transaction:
            await self.push(str(replies.IN_TRANSACTION))
            return
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
            answer = (await self._line()).removesuffix(b"\r\n")
            if answer != b"*":
                return b64decode(answer, validate=True)
            refused = replies.AUTH_CANCELLED
        except LineTooLongError:
            refused = replies.AUTH_LINE_TOO_LONG
        except binascii.Error:
            refused = replies.AUTH_NOT_BASE64
        await self.push(str(refused))
        return MISSING

    def _under_tls(self) -> None:
        super()._under_tls()
        if self._certified:
            # Not the one of now: clients of an authority that was replaced during the handshake were judged by that.
            self._judge = self.transport.get_extra_info("sslcontext")
            self._auth_methods = {**self._auth_methods, EXTERNAL: _AuthMechAttr(authenticate, is_builtin=True)}

    async def certified(self, wanted: str) -> AuthResult:
        """Return whether the client is *wanted*, or anybody when that is empty, by the certificate that it showed.

        Under another authority than the one that judged the certificate it is nobody, and has to connect again.
        """
        shown = self._certified if self._front.tls() is self._judge else ()
        return await self.admit(EXTERNAL, self._front.certified.whose(shown, wanted))

    async def admit(self, mechanism: str, shown: Credentials | Identity | None) -> AuthResult:
        """Return what aiosmtpd is to answer: who *shown* is, or the refusal. Too many of them end the session."""
        answer = await self._front.authentication.answer(Attempt(mechanism, self._peer, shown, self._rejected, self._lost))
        if isinstance(answer, Identity):
            return AuthResult(success=True, auth_data=answer)
        if answer is TOO_MANY_FAILURES:
            await self.push(str(answer))
            self._end()
            return exchange.OVER
        self._rejected += answer is not OVERLOADED
        return AuthResult(success=False, handled=False, message=str(answer))

    def unfinished(self, mechanism: str) -> AuthResult:
        """Count an exchange that its client has the reply to already."""
        self._front.authentication.incomplete(mechanism)
        return exchange.OVER

    # ---- DATA

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        """Let the body come (RFC 5321 section 4.1.1.4)."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        refused = replies.UNEXPECTED_ARGUMENT if arg else None if self.envelope.rcpt_tos else replies.RECIPIENTS_FIRST
        refused = refused or (None if self._chunks is None else replies.IN_CHUNKS)
        if refused is not None:
            await self.push(str(refused))
            return
        await self.push(replies.GO_AHEAD)
        self._begin_body()

    # ---- the rest

    @syntax("QUIT")
    async def smtp_QUIT(self, arg: str | None) -> None:
        """Say goodbye."""
        await self.push("501 Syntax: QUIT" if arg else str(replies.BYE))
        if not arg:
            self._end()

    @syntax("VRFY <address>")
    async def smtp_VRFY(self, arg: str | None) -> None:
        """Tell nothing about who exists (RFC 5321 section 7.3)."""
        await self.push(str(replies.CANNOT_VERIFY))

    @syntax("HELP")
    async def smtp_HELP(self, arg: str | None) -> None:
        """Name the commands."""
        await self.push(str(replies.HELP))
