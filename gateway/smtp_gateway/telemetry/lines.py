"""Log lines, written together: what is said at `info` in one turn of the event loop is one write at the turn's end.

A write of its own for each line costs more than making the line. What is lost when a process is killed is the ordinary lines of the
turn in which it dies, some milliseconds. Whatever is said from `warning` on is written at once, with all that was said before it.
"""

from __future__ import annotations

from asyncio import _get_running_loop  # None where there is none: asking costs no exception
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


class Lines:
    """Where loggers write: structlog's logger, and the stream of the standard library's handler."""

    def __init__(self, stream: TextIO) -> None:
        """Write to *stream*, which takes text."""
        self._stream = stream
        self._gathered: list[str] = []

    def info(self, line: str) -> None:
        """Write *line* at the end of this turn of the event loop; outside of one, as in a thread, at once."""
        loop = _get_running_loop()
        if loop is None:
            self.write(f"{line}\n")
            self._stream.flush()
            return
        if not self._gathered:
            loop.call_soon(self.flush)
        self._gathered.append(line)

    def warning(self, line: str) -> None:
        """Write *line* now, behind those that were gathered."""
        self.write(f"{line}\n")
        self._stream.flush()

    error = critical = warning

    def write(self, text: str) -> None:
        """Write *text*, one line or several with their ends; in the event loop behind what was gathered, which is its own."""
        if _get_running_loop() is not None:
            self._write_gathered()
        self._stream.write(text)

    def flush(self) -> None:
        """Hand everything on. Called in the event loop, or when there is none any more."""
        self._write_gathered()
        self._stream.flush()

    def _write_gathered(self) -> None:
        if self._gathered:
            self._stream.write("\n".join((*self._gathered, "")))
            self._gathered.clear()
