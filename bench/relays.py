"""The relays that are compared: each is started in a folder of its own, relays to a port of the loopback, and is ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import exim, haraka, interpreter, postfix, relay
from bench.postal import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.relay import Relay, Setting


def gateway(setting: Setting) -> Relay:
    """Start this gateway: one process with its policy, a log line for each step of a message in a file, and metrics."""
    port = free_port()
    whom = "implicit" if setting.implicit else "logins" if setting.secured else "everybody"
    relay.certificate(setting)
    command = [str(setting.tools.python), "-m", "bench.gateway", str(setting.folder), str(port), str(setting.next_hop), whom]
    return relay.start(setting, command, port, interpreter.environment())


RELAYS: dict[str, Callable[[Setting], Relay]] = {
    "gateway": gateway,
    "postfix": postfix.start,
    "exim": exim.start,
    "haraka": haraka.start,
}
"""By the names under which they are reported."""
