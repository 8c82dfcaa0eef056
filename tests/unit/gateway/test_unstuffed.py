from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.mail.unstuffed import Unstuffing, content

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WIRE = b"..first\r\nSubject: x\r\n\r\n..\r\n...two\r\nmid.dle\r\n\r\n.. \r\nend\r\n.\r\n"
CONTENT = b".first\r\nSubject: x\r\n\r\n.\r\n..two\r\nmid.dle\r\n\r\n. \r\nend\r\n"


@pytest.mark.parametrize("length", range(1, len(WIRE) + 1))
def test_blocks_may_end_anywhere(length: int) -> None:
    """Whatever the length of the blocks, the content is the same."""
    unstuffing = Unstuffing()

    assert b"".join(unstuffing.feed(WIRE[at : at + length]) for at in range(0, len(WIRE), length)) == CONTENT


def test_an_empty_message_has_no_content() -> None:
    """Only the end of data was there."""
    assert Unstuffing().feed(b".\r\n") == b""


class Stored:
    """A large body in two blocks."""

    size = len(WIRE)
    headers = b""

    async def blocks(self) -> AsyncIterator[bytes]:
        """Give them."""
        yield WIRE[:5]
        yield WIRE[5:]


async def test_bodies_of_either_kind_are_unstuffed() -> None:
    """A body that is held, and one that is read in blocks."""
    assert [block async for block in content(WIRE)] == [CONTENT]
    assert b"".join([block async for block in content(Stored())]) == CONTENT
