"""A port on loopback from which nothing comes back, as behind a firewall that drops packets: its queue of connections is full."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def deaf(address: str, port: int = 0) -> Iterator[int]:
    """Give no answer at *address*, on *port* or any free one, which is returned: Linux drops the SYN that finds no room (listen(2))."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server((address, port), backlog=0))
        found: int = listening.getsockname()[1]
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 the standard library's way
            waiting.connect_ex((address, found))
        yield found
