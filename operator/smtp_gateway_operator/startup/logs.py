"""Logs: one JSON object a line on standard output, the operator's own records and those of kopf and aiohttp in one form.

Every line has `timestamp` (UTC), `level` and `event`; every line about a gateway has `gateway` as `namespace/name`. Nothing that was
read from a Secret is ever logged.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

LEVELS = {
    "kopf": logging.INFO,
    "kopf.objects": logging.WARNING,  # otherwise a line for each event of each object
    "kopf.activities.probe": logging.WARNING,  # otherwise a line for each probe
    "aiohttp.access": logging.WARNING,  # and another
}

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
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)
