"""A relay at work, and what all of them are started with."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.postal import free_port, listening
from bench.processes import Group, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from bench.tools import Tools

PEERS = Path(__file__).parent / "peers"
OWNER, GROUP = "news", "uucp"
"""Accounts of every Debian that stand in for a relay's own, which only its installation would make."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a relay is started with."""

    folder: Path
    """Its own, for queue, configuration and log; on the same disk for all."""
    next_hop: int
    """The port of the next hop."""
    tools: Tools
    secured: bool = False
    """Whether it takes mail only after STARTTLS and AUTH, instead of from everybody on the loopback."""
    implicit: bool = False
    """Whether TLS begins with the connection instead."""


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay that takes mail on *port*."""

    group: Group
    process: subprocess.Popen[bytes]
    port: int

    def stop(self) -> None:
        """End it."""
        self.group.end(self.process)


def start(setting: Setting, command: Sequence[str], port: int, environment: Mapping[str, str] | None = None) -> Relay:
    """Start *command* and wait until it listens. Raises `TimeoutError`, also when it has ended instead; its log says why."""
    log = setting.folder / "output"
    group = Group()
    relay = Relay(group, group.start(command, log, environment), port)
    try:
        until(lambda: relay.process.poll() is None and listening(port), f"{' '.join(command)} listens")
    except BaseException as fault:
        relay.stop()
        fault.add_note(log.read_text(errors="replace")[-2000:])
        raise
    return relay


def configure(name: str, setting: Setting, target: Path, special: Mapping[str, object]) -> int:
    """Write the configuration of `peers/NAME` to *target*, places such as @PORT@ filled in; return the port."""
    port = free_port()
    common = {"FOLDER": setting.folder, "PORT": port, "NEXT_HOP": setting.next_hop, "OWNER": OWNER, "GROUP": GROUP}
    for source in (PEERS / name).rglob("*"):
        if source.is_file():
            path = target / source.relative_to(PEERS / name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(filled(source.read_text(), common | dict(special)))
    return port


def filled(text: str, places: Mapping[str, object]) -> str:
    """Return *text* with each @NAME@ replaced by its value."""
    for place, value in places.items():
        text = text.replace(f"@{place}@", str(value))
    return text


def give(path: Path) -> None:
    """Let the relay's account own *path*, which is made when it is not there."""
    path.mkdir(parents=True, exist_ok=True)
    shutil.chown(path, OWNER, GROUP)


def certificate(setting: Setting) -> tuple[Path, Path]:
    """Return a copy of the certificate and the key that the relay's account may read."""
    give(setting.folder / "tls")
    copies = []
    for path in setting.tools.certificate:
        copy = setting.folder / "tls" / path.name
        shutil.copyfile(path, copy)
        shutil.chown(copy, OWNER, GROUP)
        copy.chmod(0o600)
        copies.append(copy)
    return copies[0], copies[1]
