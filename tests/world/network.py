"""A network of the tests' own: what this process leaves behind for it is the machine's, and what is in it ends with this process.

All hosts of the world are addresses of one loopback device, so nothing leaves it; a packet filter between them is as real as any.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NET = "10.87.0"
RESOLVER = f"{NET}.53"
DROPPING = f"{NET}.91"
"""Port 25 of it says nothing at all, as behind a provider's firewall."""
REJECTING = f"{NET}.92"
"""Port 25 of it says that it is prohibited."""
MUTE = f"{NET}.93"
"""A name server that is never heard."""
_NEW_MOUNTS, _NEW_NETWORK = 0x00020000, 0x40000000
_FOLLOWING = 0x80000 | 0x4000
"""MS_SLAVE and MS_REC: what the machine unmounts is unmounted here too, and nothing of ours is seen there."""
_BIND = 0x1000
_RULES = (
    f"--append INPUT --destination {DROPPING} --protocol tcp --dport 25 --jump DROP",
    f"--append INPUT --destination {REJECTING} --protocol tcp --dport 25 --jump REJECT --reject-with icmp-admin-prohibited",
    f"--append INPUT --destination {MUTE} --jump DROP",
    # Counts the connections of those who ask again because an answer was cut short.
    f"--append INPUT --destination {RESOLVER} --protocol tcp --dport 53 --syn --jump ACCEPT",
)


def leave(folder: Path) -> None:
    """Leave the machine's network and mounts for one of our own, where names are looked up at `RESOLVER`; needs root.

    unshare(2) and mount(2), which Python has from 3.12 on or not at all. Threads that began before stay where they are.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_NEW_MOUNTS | _NEW_NETWORK))
    _check(libc.mount(None, b"/", None, _FOLLOWING, None))
    for path, text in (
        ("/etc/resolv.conf", f"nameserver {RESOLVER}\n"),
        ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ):
        ours = folder / path.rpartition("/")[2]
        ours.write_text(text)
        _check(libc.mount(bytes(ours), os.path.realpath(path).encode(), None, _BIND, None))
    _run("ip link set lo up")
    _run(f"ip address add {NET}.1/24 dev lo")
    for rule in _RULES:
        _run(f"iptables {rule}")


def connections_to_resolver() -> int:
    """Return how many TCP connections to the name server were begun so far."""
    listed = _run("iptables --list INPUT --numeric --verbose --exact")
    return next(int(line.split()[0]) for line in listed.splitlines() if "dpt:53" in line)


def _run(command: str) -> str:
    return subprocess.run(command.split(), check=True, capture_output=True, text=True, timeout=60).stdout


def _check(failed: int) -> None:
    if failed:
        fault = ctypes.get_errno()
        raise OSError(fault, os.strerror(fault))
