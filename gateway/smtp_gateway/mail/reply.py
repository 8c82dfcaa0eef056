"""SMTP replies: a code, an enhanced status code and a text (RFC 5321 section 4.2, RFC 3463), sent or received."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply; the same value for those that we send and those that a next hop gave."""

    code: int
    """The three-digit code, 200 to 599."""
    enhanced: str = ""
    """The enhanced status code, `2.0.0` to `5.7.999`; empty where the reply had none."""
    text: str = ""
    """The text; the lines of a multi-line reply are joined with a line feed."""

    def __str__(self) -> str:
        """Return the reply as one line: `550 5.1.1 No such user here`."""
        if self.enhanced and self.text.isprintable():
            return f"{self.code} {self.enhanced} {self.text}"
        return " ".join(part for part in (str(self.code), self.enhanced, " ".join(self.text.splitlines())) if part)

    @property
    def positive(self) -> bool:
        """Whether the command was done: 2yz (RFC 5321 section 4.2.1)."""
        return self.code // 100 == 2  # noqa: PLR2004 the first digit is the RFC's own vocabulary

    @property
    def permanent(self) -> bool:
        """Whether repeating the same command cannot help: 5yz (RFC 5321 section 4.2.1)."""
        return self.code // 100 == 5  # noqa: PLR2004 the first digit is the RFC's own vocabulary

    @property
    def negative(self) -> bool:
        """Whether the command was not done: 4yz or 5yz."""
        return self.code >= 400  # noqa: PLR2004 the first digit is the RFC's own vocabulary


# The replies that the gateway gives, by name. Codes: RFC 5321 section 4.2.3, RFC 4954 section 6, RFC 3207 section 4;
# enhanced codes: RFC 3463 and RFC 5248. Texts are stable and tell nothing about the inside.
AUTHENTICATION_SUCCEEDED = Reply(235, "2.7.0", "Authentication successful")
AUTHENTICATION_FAILED = Reply(535, "5.7.8", "Authentication credentials invalid")
AUTHENTICATION_REQUIRED = Reply(530, "5.7.0", "Authentication required")
TLS_REQUIRED = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
ENCRYPTION_REQUIRED_FOR_AUTH = Reply(538, "5.7.11", "Encryption required for requested authentication mechanism")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients")
MESSAGE_TOO_LARGE = Reply(552, "5.3.4", "Message size exceeds fixed limit")
BAD_ADDRESS = Reply(553, "5.1.3", "Address is not valid")
BARE_LINE_ENDING = Reply(550, "5.6.11", "Bare CR or LF in message: lines must end with CRLF")
LINE_TOO_LONG = Reply(554, "5.6.0", "Line too long in message")
TRY_AGAIN_LATER = Reply(451, "4.3.0", "Local error, try again later")
SPOOL_FULL = Reply(452, "4.3.1", "Insufficient system storage")
SHUTTING_DOWN = Reply(421, "4.3.2", "Service shutting down")


def queued(message_id: str) -> Reply:
    """Return the reply that takes responsibility for a message: only after the spool made it durable."""
    return Reply(250, "2.0.0", f"Ok: queued as {message_id}")
