"""Logs of the operator's process: one JSON object a line, from whoever it is."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from smtp_gateway_operator.startup import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream that gets the logs; afterwards the configuration is what it was."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs.LEVELS}
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    structlog.configure(**before)
    root.handlers[:], root.level = handlers, level
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return what was written, line by line."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_with_time_level_and_event(stream: io.StringIO) -> None:
    """Line ends in values do not make lines, and debugging is left out."""
    structlog.get_logger().info("transition", gateway="apps/mail", reason="two\nlines")
    structlog.get_logger().debug("too much")

    (line,) = lines(stream)
    assert (line["level"], line["event"], line["gateway"], line["reason"]) == ("info", "transition", "apps/mail", "two\nlines")
    assert line["timestamp"].endswith("Z")


def test_libraries_write_in_the_same_form(stream: io.StringIO) -> None:
    """What kopf does is told, of every library what is wrong, and of none each event or each request."""
    logging.getLogger("kopf.activities").info("Activity %r succeeded.", "start")
    logging.getLogger("kopf.objects").info("Handler 'x' succeeded.")
    logging.getLogger("aiohttp.access").info("GET /healthz")
    logging.getLogger("somebody").info("too much")
    logging.getLogger("somebody").warning("about\n%s", "this")

    assert [(line["level"], line["event"], line["logger"]) for line in lines(stream)] == [
        ("info", "Activity 'start' succeeded.", "kopf.activities"),
        ("warning", "about\nthis", "somebody"),
    ]


SECRET = "wonderland"


def fail(password: str) -> None:
    """Fail with something secret at hand."""
    message = f"cannot use a value of {len(password)} characters"
    raise RuntimeError(message)


@pytest.mark.parametrize("logger", [structlog.get_logger(), logging.getLogger("kopf.reactor")], ids=["own", "library"])
def test_a_trace_is_a_value_of_its_line_and_shows_no_variables(stream: io.StringIO, logger: Any) -> None:
    """The whole trace is on the line, and nothing of what the failing function held, which may come from a Secret."""
    try:
        fail(SECRET)
    except RuntimeError:
        logger.exception("reconcile failed")

    (line,) = lines(stream)
    assert "RuntimeError: cannot use a value of 10 characters" in line["exception"]
    assert SECRET not in stream.getvalue()


def test_configuring_twice_writes_once(stream: io.StringIO) -> None:
    """The root logger has one handler, whatever was there before."""
    logs.configure(stream)
    logging.getLogger("somebody").warning("once")

    assert len(lines(stream)) == 1
