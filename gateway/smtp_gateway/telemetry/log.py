"""Logs: one JSON object a line on standard output, the gateway's own records and those of its libraries in one form.

Every line has `timestamp` (UTC), `level` and `event`; every line about a message has `message_id`, from its acceptance to its
settlement. Libraries are heard from WARNING on, aiosmtpd only from ERROR: its warnings quote what clients send, and a client that
sends a password where a command is expected would find it in the log.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

QUOTES_CLIENTS = "mail.log"
"""The name of aiosmtpd's logger."""

_COMMON: tuple[Processor, ...] = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure(stream: TextIO | None = None) -> None:
    """Write all logs of this process to *stream*, standard output by default."""
    out = stream or sys.stdout
    renderers: tuple[Processor, ...] = (structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=False))
    structlog.configure(
        processors=[*_COMMON, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(out),
        # Without the cache the processor chain is assembled anew for every line.
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_COMMON, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    hush()


def hush() -> None:
    """Silence what would quote clients: called wherever aiosmtpd runs, with or without our logs."""
    logging.getLogger(QUOTES_CLIENTS).setLevel(logging.ERROR)
