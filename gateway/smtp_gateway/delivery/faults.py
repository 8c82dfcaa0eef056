"""The ways in which a session with a next hop ends without a reply that could be judged. All of them are temporary."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from smtp_gateway.mail.outcome import Deferred, unreachable

if TYPE_CHECKING:
    from smtp_gateway.mail.outcome import Outcome


NO_WAY = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})
"""Nobody there, or no way there: the same as silence. A refusal comes from somebody."""


class SessionError(Exception):
    """The session cannot go on. The text is a sentence for people, the class says which kind of thing happened."""

    enhanced: ClassVar[str] = "4.4.0"
    """The enhanced status code of the deferral (RFC 3463 section 3)."""
    silent: ClassVar[bool] = False
    """Whether nothing came back from the host at all."""

    def deferral(self, hop: str) -> Deferred:
        """Return the outcome for everything that *hop* had not answered for."""
        return unreachable(self.enhanced, str(self), hop, silent=self.silent)


class NoConnectionError(SessionError):
    """No connection came about: refused, no route, timed out."""

    enhanced = "4.4.1"


class NoAnswerError(NoConnectionError):
    """The same because nothing came back: timed out, or no way there."""

    silent = True


class ConnectionLostError(SessionError):
    """A connection that had come about broke, or an answer did not come in time."""

    enhanced = "4.4.2"


class UnknownHostError(SessionError):
    """The next hop's name could not be turned into an address."""

    enhanced = "4.4.4"


class ForeignProtocolError(SessionError):
    """What came is not SMTP, or not in its order."""

    enhanced = "4.5.0"


class NotEncryptedError(SessionError):
    """TLS is asked for and the next hop does not offer it."""

    enhanced = "4.7.4"


class HandshakeError(SessionError):
    """TLS was begun and failed: another protocol, a certificate that is not trusted or not for this name."""

    enhanced = "4.7.5"


class UnjudgedHandshakeError(HandshakeError):
    """The same, and the next hop's TLS may be good: the connection was lost, or what this side believes and shows is of no use."""


class NoMechanismError(SessionError):
    """The next hop is to be told credentials, and offers no way to tell it."""

    enhanced = "4.7.4"


class TokenUnavailableError(SessionError):
    """The next hop wants an access token, and there is none to be had."""

    enhanced = "4.7.0"


class HopUnusableError(Exception):
    """No session with a next hop came about, so that the next one may be tried."""

    def __init__(self, outcome: Outcome) -> None:
        """Keep *outcome*: it holds for all recipients if no other next hop helps."""
        super().__init__(str(outcome.reply))
        self.outcome = outcome

    @property
    def lasting(self) -> bool:
        """Whether it would be the same again at any of the next hop's addresses, which the next hop then need not be asked at."""
        return isinstance(self.__cause__, TokenUnavailableError)

    @property
    def unencrypted(self) -> bool:
        """Whether it is because the next hop has not the TLS that was asked for."""
        cause = self.__cause__
        return isinstance(cause, NotEncryptedError | HandshakeError) and not isinstance(cause, UnjudgedHandshakeError)


class CredentialsRefusedError(HopUnusableError):
    """The same, and it was our credentials that the next hop would not have, for now (4yz) or for good (5yz)."""

    @property
    def lasting(self) -> bool:
        """Whether they are wrong, and not only impossible to compare now."""
        return self.outcome.reply.permanent


class LeadsBackError(HopUnusableError):
    """The same, because it is this host: what comes behind it in the order of preference would send the mail back here."""


class SilentPortError(HopUnusableError):
    """The same, and nobody greeted: on another port somebody may, because networks block port 25."""


class TlsUnusableError(HopUnusableError):
    """The same, and it was TLS that failed: in the clear a session might come about."""
