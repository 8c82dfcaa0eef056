"""A next hop for tests that takes mail from those alone who authenticate (RFC 4954), by AUTH PLAIN or LOGIN, and under TLS only.

Phases beyond the sink's: `AUTH`, the command itself, and `response`, what is said to a challenge.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from tests.support.sink import EXTENSIONS, Answer, Sink, Talk

if TYPE_CHECKING:
    import ssl

USERNAME, PASSWORD = "relay@example.com", "Correct-Horse-4711"
"""What the next hops of tests want."""
PROMPTS = {"PLAIN": ("",), "LOGIN": ("Username:", "Password:")}
REFUSED = "535 5.7.8 Username and password not accepted"


class AuthenticatingSink(Sink):
    """A scripted next hop that knows who it talks to."""

    def __init__(
        self,
        username: str,
        *passwords: str,
        tls: ssl.SSLContext | None = None,
        mechanisms: tuple[str, ...] = tuple(PROMPTS),
        implicit: bool = False,
    ) -> None:
        """Take mail from *username* with any of *passwords*; offer *mechanisms*, which may be none that it knows, once there is TLS."""
        super().__init__(tls=tls, extensions=EXTENSIONS, implicit=implicit)
        self.username = username
        self.passwords = set(passwords)
        self.refused = 0
        """How often somebody tried to authenticate in vain."""
        self._mechanisms = mechanisms
        self._said: dict[int, list[str]] = {}
        """By session: the mechanism and what was said for it."""
        self._welcome: set[int] = set()

    async def _serve(self, talk: Talk, verb: str, command: str) -> bool:
        if verb != "AUTH":
            return await super()._serve(talk, verb, command)
        said = self._said[id(talk)] = command.split()[1:]
        reply = await self._say(talk, "AUTH", command)
        while reply.startswith("334"):
            line = (await talk.reader.readuntil(b"\r\n")).decode().removesuffix("\r\n")
            self.commands.append(line)
            talk.transcript.append(line)
            said.append(line)
            reply = await self._say(talk, "response", line)
        if reply.startswith("235"):
            self._welcome.add(id(talk))
        else:
            self.refused += 1
        return False

    def _usual(self, phase: str, talk: Talk | None) -> Answer:
        assert talk is not None or phase in {"body", "idle"}
        if phase in {"AUTH", "response"}:
            return self._judged(*self._said[id(talk)])
        if phase == "MAIL" and id(talk) not in self._welcome:
            return "530 5.7.0 Authentication required"
        return super()._usual(phase, talk)

    def _judged(self, mechanism: str, *said: str) -> str:
        """Return what is answered to a client that has *said* so much."""
        if mechanism not in self._mechanisms or mechanism not in PROMPTS:
            return "504 5.5.4 Unrecognized authentication type"
        if said and said[-1] == "*":
            return "501 5.7.0 Authentication aborted"
        prompts = PROMPTS[mechanism]
        if len(said) < len(prompts):
            return f"334 {base64.b64encode(prompts[len(said)].encode()).decode()}"
        told = b"\0".join(base64.b64decode(one, validate=True) for one in said).decode().removeprefix("\0")
        welcome = told in {f"{self.username}\0{password}" for password in self.passwords}
        return "235 2.7.0 Accepted" if welcome else REFUSED

    def _offered(self, talk: Talk | None) -> tuple[str, ...]:
        encrypted = talk is not None and talk.tls
        return (*super()._offered(talk), f"AUTH {' '.join(self._mechanisms)}") if encrypted and self._mechanisms else super()._offered(talk)
