from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from smtp_gateway.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream that gets the logs; afterwards the configuration is what it was."""
    root, quoting = logging.getLogger(), logging.getLogger(log.QUOTES_CLIENTS)
    before = (root.handlers[:], root.level, quoting.level)
    stream = io.StringIO()
    log.configure(stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = before[0], before[1]
    quoting.setLevel(before[2])


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return what was written, line by line."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_object_with_time_level_and_event(stream: io.StringIO) -> None:
    """Line ends in values do not make lines."""
    structlog.get_logger().info("accepted", message_id="A1", reason="two\nlines")

    (line,) = lines(stream)
    assert (line["level"], line["event"], line["message_id"], line["reason"]) == ("info", "accepted", "A1", "two\nlines")
    assert line["timestamp"].endswith("Z")


def test_an_exception_is_written_whole(stream: io.StringIO) -> None:
    """The trace is a value of its line."""
    try:
        raise RuntimeError("cause")  # noqa: EM101, TRY301 the shortest way to one
    except RuntimeError as error:
        structlog.get_logger().error("failed", exc_info=error)

    assert "RuntimeError: cause" in lines(stream)[0]["exception"]


def test_libraries_write_in_the_same_form_from_warning_on(stream: io.StringIO) -> None:
    """Their logger is named."""
    logging.getLogger("aiohttp.server").info("too much")
    logging.getLogger("aiohttp.server").warning("about %s", "this")

    (line,) = lines(stream)
    assert (line["level"], line["event"], line["logger"]) == ("warning", "about this", "aiohttp.server")


def test_what_clients_send_is_not_quoted(stream: io.StringIO) -> None:
    """The SMTP library warns about unknown commands in full: that may be a password that came at the wrong moment."""
    logging.getLogger("mail.log").warning("unrecognised: %s", "c2VjcmV0")

    assert lines(stream) == []
