"""What a relay holds for connections that are open after STARTTLS and AUTH and send nothing: applications keep them for their next mail."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench.postal import free_port
from bench.processes import PATIENCE, memory
from bench.relay import Setting
from bench.relays import RELAYS
from bench.tools import APP

if TYPE_CHECKING:
    from pathlib import Path

    from bench.tools import Tools

HEAD = "| relay | idle connections | at rest MiB | RSS MiB | KiB a connection |\n|---|--:|--:|--:|--:|"


def idle(tools: Tools, connections: int, name: str, folder: Path) -> str:
    """Start the relay called *name*, open so many *connections* and leave them open; return the table's line.

    The bench needs a descriptor for each, and so does the relay. Raises `OSError` or `SMTPException` when the relay takes fewer.
    """
    relay = RELAYS[name](Setting(folder, free_port(), tools, secured=True))
    try:
        with ExitStack() as opened:
            # The first one pays for what is made only once.
            opened.callback(logged_in(relay.port).close)
            rest = memory(relay.group.pids()).rss
            for _ in range(connections):
                opened.callback(logged_in(relay.port).close)
            held = memory(relay.group.pids()).rss
    finally:
        relay.stop()
    return f"| {name} | {connections} | {rest / 2**20:.0f} | {held / 2**20:.0f} | {(held - rest) / connections / 1024:.0f} |"


def logged_in(port: int) -> smtplib.SMTP:
    """Return a connection to *port* after STARTTLS and AUTH."""
    client = smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    client.starttls(context=stranger)
    client.login(APP.name, APP.password)
    return client
