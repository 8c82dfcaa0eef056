"""The relays that are compared: each is started in a folder of its own, relays to a port of the loopback, and is ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.postal import free_port, listening
from bench.processes import end, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.postal import Tools

PEERS = Path(__file__).parent / "peers"
OWNER, GROUP = "news", "uucp"
"""Accounts of every Debian that stand in for Postfix's own, which only its installation would make."""
QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay at work."""

    process: subprocess.Popen[bytes]
    port: int

    def stop(self) -> None:
        """End it."""
        end(self.process)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a relay is started with."""

    folder: Path
    next_hop: int
    """The port of the next hop."""
    postfix: Tools


def gateway(setting: Setting) -> Relay:
    """Start this gateway: one process with its policy, a log line for each step of a message in a file, and metrics."""
    port = free_port()
    command = [sys.executable, "-m", "bench.gateway", str(setting.folder), str(port), str(setting.next_hop)]
    with (setting.folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    return _ready(process, port)


def postfix(setting: Setting) -> Relay:
    """Start Postfix: each message in a queue file that is synced before the 250."""
    port, folder = free_port(), setting.folder
    root = setting.postfix.root
    places = {"FOLDER": folder, "ROOT": root, "PORT": port, "NEXT_HOP": setting.next_hop, "OWNER": OWNER, "GROUP": GROUP}
    (folder / "etc").mkdir()
    for name in ("main.cf", "master.cf"):
        text = (PEERS / "postfix" / name).read_text()
        for place, value in places.items():
            text = text.replace(f"@{place}@", str(value))
        (folder / "etc" / name).write_text(text)
    _make_queues(folder)
    command = [str(root / "usr/lib/postfix/sbin/master"), "-c", str(folder / "etc"), "-d"]
    environment = setting.postfix.environment | {"MAIL_CONFIG": str(folder / "etc")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return _ready(process, port)


def _make_queues(folder: Path) -> None:
    """Make the folders that Postfix's installation would make, with its owners and modes."""
    (folder / "spool/pid").mkdir(parents=True)
    for path in (folder / "data", *(folder / "spool" / queue for queue in QUEUES)):
        path.mkdir(mode=0o700)
        shutil.chown(path, OWNER)
    for name, mode in (("public", 0o710), ("maildrop", 0o730)):
        path = folder / "spool" / name
        path.mkdir()
        path.chmod(mode)
        shutil.chown(path, OWNER, GROUP)


def _ready(process: subprocess.Popen[bytes], port: int) -> Relay:
    """Wait until the relay listens. Raises `TimeoutError`, also when it has ended instead."""
    relay = Relay(process, port)
    try:
        until(lambda: process.poll() is None and listening(port), f"{process.args!r} listens")
    except BaseException:
        relay.stop()
        raise
    return relay


RELAYS: dict[str, Callable[[Setting], Relay]] = {"gateway": gateway, "postfix": postfix}
"""By the names under which they are reported."""


def require_root() -> None:
    """Refuse to go on as another user: Postfix's master starts as root. Raises `PermissionError`."""
    if os.geteuid() != 0:
        message = "the bench needs root: Postfix starts as root"
        raise PermissionError(message)
