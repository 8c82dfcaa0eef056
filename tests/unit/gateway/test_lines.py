"""Log lines of one turn of the event loop are one write, and none is lost or overtaken."""

from __future__ import annotations

import asyncio
import io
import threading

from smtp_gateway.telemetry.lines import Lines


class Stream(io.StringIO):
    """A stream that remembers its writes."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        """Write, and remember."""
        self.writes.append(text)
        return super().write(text)


def test_the_lines_of_one_turn_are_one_write() -> None:
    """Nothing is written before the turn's end, and then everything in its order."""

    async def talk() -> None:
        lines.info("one")
        lines.info("two")
        assert stream.writes == []
        await asyncio.sleep(0)
        lines.info("three")
        await asyncio.sleep(0)

    stream = Stream()
    lines = Lines(stream)
    asyncio.run(talk())

    assert stream.writes == ["one\ntwo\n", "three\n"]


def test_a_warning_is_written_at_once_behind_what_was_said_before() -> None:
    """Whoever looks for the cause of an end finds it, and what led to it."""

    async def talk() -> str:
        lines.info("one")
        lines.warning("two")
        lines.info("three")
        lines.write("four\n")
        return stream.getvalue()

    stream = Stream()
    lines = Lines(stream)

    assert asyncio.run(talk()) == "one\ntwo\nthree\nfour\n"


def test_what_is_said_outside_of_the_loop_is_written_at_once() -> None:
    """Before it, after it, and in another thread, which leaves the loop's lines to the loop."""

    async def talk() -> str:
        lines.info("loop")
        thread = threading.Thread(target=lines.info, args=("thread",))
        thread.start()
        thread.join()
        return stream.getvalue()

    stream = Stream()
    lines = Lines(stream)
    lines.info("before")
    before = stream.getvalue()
    said = asyncio.run(talk())
    lines.info("after")

    assert (before, said) == ("before\n", "before\nthread\n")
    assert stream.getvalue() == "before\nthread\nloop\nafter\n"


def test_what_was_gathered_when_the_loop_ended_is_written_in_the_end() -> None:
    """`flush` is what the process calls last."""

    async def talk() -> None:
        lines.info("last words")

    stream = Stream()
    lines = Lines(stream)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(talk())
    loop.close()
    lines.flush()

    assert stream.getvalue() == "last words\n"
