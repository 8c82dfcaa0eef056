"""A next hop for tests that takes access tokens, by XOAUTH2 or OAUTHBEARER, as Google's and Microsoft's servers do."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from tests.support.authenticating import AuthenticatingSink

if TYPE_CHECKING:
    import ssl

BEARER = ("XOAUTH2", "OAUTHBEARER")
EXPLANATION = '{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}'
REFUSED = "535 5.7.8 Username and Password not accepted"
_SHOWN = re.compile("(?:user=|n,a=)([^\x01]*?),?\x01auth=Bearer ([!-~]+)\x01\x01")


class BearingSink(AuthenticatingSink):
    """A scripted next hop that knows who it talks to by the token that is shown."""

    def __init__(self, username: str, *tokens: str, tls: ssl.SSLContext, mechanisms: tuple[str, ...] = ("PLAIN", *BEARER)) -> None:
        """Take mail from *username* with any of *tokens*, which may change."""
        super().__init__(username, *tokens, tls=tls, mechanisms=mechanisms)
        self.explains = True
        """Whether a refusal comes with a challenge that says why, as Google's does."""
        self.shown: list[str] = []
        """Tokens, in the order in which they were shown."""

    def _judged(self, mechanism: str, *said: str) -> str:
        if mechanism not in BEARER or mechanism not in self._mechanisms:
            return super()._judged(mechanism, *said)
        if not said:
            return "334 "
        if len(said) > 1:
            assert said[1] == ("" if mechanism == "XOAUTH2" else "AQ==")
            return REFUSED
        match = _SHOWN.fullmatch(base64.b64decode(said[0], validate=True).decode())
        assert match is not None
        self.shown.append(match[2])
        if match[1] == self.username and match[2] in self.passwords:
            return "235 2.7.0 Accepted"
        return f"334 {base64.b64encode(EXPLANATION.encode()).decode()}" if self.explains else REFUSED
