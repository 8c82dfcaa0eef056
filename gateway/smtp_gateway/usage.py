"""What the commands of `smtp-gateway` agree on: defaults, exit codes, and the one way to say that something cannot be done.

Apart from the rest, and without imports, so that a command on the queue starts in a tenth of the time that a gateway takes.
"""

from __future__ import annotations

from pathlib import Path

HTTP_PORT = 8080
"""The port of probes and metrics."""
ADMIN_PORT = 8443
"""The port of reports to the operator."""
GRACE = 25.0
"""Seconds from the signal to the end: below the 30 that Kubernetes waits by default before it kills."""
SPOOL = Path("spool")
"""Where mail is kept when nothing else is said: beside the caller."""

FAILED = 1
USAGE = 2


class CommandError(Exception):
    """The command cannot be done; the message is the sentence to say."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        """Say *sentence* and exit with *code*."""
        super().__init__(sentence)
        self.code = code
