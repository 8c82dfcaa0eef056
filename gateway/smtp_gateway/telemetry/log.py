"""Logs: one JSON object a line on standard output, the gateway's own records and those of its libraries in one form.

Every line has `timestamp` (UTC), `level` and `event`; every line about a message has `message_id`, from its acceptance to its
settlement. Libraries are heard from WARNING on, aiosmtpd only from ERROR: its warnings quote what clients send, and a client that
sends a password where a command is expected would find it in the log.

What is said in one turn of the event loop is written together (`smtp_gateway.telemetry.lines`).
"""

from __future__ import annotations

import atexit
import json
import logging
import sys
import time
from functools import lru_cache
from typing import TYPE_CHECKING, TextIO

import orjson
import structlog

from smtp_gateway.telemetry.lines import Lines

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

QUOTES_CLIENTS = "mail.log"
"""The name of aiosmtpd's logger."""


def configure(stream: TextIO | None = None) -> None:
    """Write all logs of this process to *stream*, standard output by default."""
    out = Lines(stream or sys.stdout)
    atexit.register(out.flush)
    structlog.configure(
        processors=[as_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: out,
        # Without the cache the processor chain is assembled anew for every line.
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[add_level_and_time, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info, as_json],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    hush()


def as_line(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """Return *event* as one line: the whole chain in one call, because each message has two of them."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, name, event)
    return as_json(logger, name, add_level_and_time(logger, name, event))


def add_level_and_time(_logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Add `level` and `timestamp` to *event*: UTC with microseconds, in the form of RFC 3339."""
    now = time.time()
    event["level"] = name
    event["timestamp"] = f"{_second(int(now))}.{int(now % 1 * 1_000_000):06d}Z"
    return event


@lru_cache(2)
def _second(now: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))


def as_json(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    """Return *event* as one line of JSON, whatever is in it: what JSON has no form for is written as Python shows it."""
    try:
        return orjson.dumps(event, default=repr).decode()
    except TypeError:
        # Lone surrogates, which stand for octets that are not UTF-8, integers beyond 64 bits, keys that are no strings.
        return json.dumps(event, default=repr)


def hush() -> None:
    """Silence what would quote clients: called wherever aiosmtpd runs, with or without our logs."""
    logging.getLogger(QUOTES_CLIENTS).setLevel(logging.ERROR)
