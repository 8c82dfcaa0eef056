"""Where the queue's socket is, and how a server and a client get hold of it.

A socket that nobody answers is what a killed process left, and is replaced; one that somebody answers is never taken away, nor is a file
that is no socket. Who looks and replaces holds a lock on the folder meanwhile, so that two that start at once cannot both find the same
leavings and one take away what the other has just made.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "SMTP_GATEWAY_SOCKET"
"""The environment variable that names the socket; the gateway's image sets it."""
NAME = "queue.sock"
"""The socket in the spool's folder, where nothing else is said."""
MODE = 0o600
"""For the gateway's own user: who can connect can read and remove mail."""
BACKLOG = 16
ANSWER = 60.0
"""Seconds that a client waits for the gateway to say something: as long as a disk may hang without being broken."""
_PROBE = 1.0
"""Seconds in which a socket's owner has to let a connection in; one whose row of waiting clients is full is there, too."""


class SocketTakenError(Exception):
    """Another process has the socket, or something else is in its place; the message is one sentence."""


def place(named: Path | None, spool: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the socket is: what was *named*, else what the environment names, else beside the mail in *spool*."""
    return named or Path(environment.get(VARIABLE) or spool / NAME)


def listen(path: Path) -> socket.socket:
    """Return a socket that listens at *path*. Blocks, so it belongs in a thread.

    Raises `SocketTakenError`, and `OSError` when the folder cannot be used.
    """
    with _folder(path) as folder:
        _lock(folder, path)
        address = _address(folder, path)
        _clear(address, path)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Before it has a name, so that it never has another mode: bind(2) gives the file that of the descriptor.
        os.fchmod(made.fileno(), MODE)
        made.bind(address)
        made.listen(BACKLOG)
        return made


def connect(path: Path) -> socket.socket:
    """Return a connection to whoever listens at *path*. Raises `OSError`."""
    with _folder(path) as folder:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(ANSWER)
        try:
            made.connect(_address(folder, path))
        except OSError:
            made.close()
            raise
        return made


def identity(path: Path) -> tuple[int, ...] | None:
    """Return what tells the file at *path* from another one of that name; None when there is none.

    The number of the inode alone does not: file systems use it again at once.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _address(folder: int, path: Path) -> str:
    """Name *path* within its open *folder*: a path in an address is at most 107 octets long (unix(7)), and a folder's may be longer."""
    return f"/proc/self/fd/{folder}/{path.name}"


def _lock(folder: int, path: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        message = f"the socket {path} is being opened by another process"
        raise SocketTakenError(message) from fault


def _clear(address: str, path: Path) -> None:
    """Remove what a killed process left. Raises `SocketTakenError` when it is anything else."""
    try:
        found = os.lstat(address)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        message = f"{path} is in the way of the queue's socket"
        raise SocketTakenError(message)
    if _answered(address):
        message = f"the socket {path} is in use by another process"
        raise SocketTakenError(message)
    Path(address).unlink()


def _answered(address: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE)
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            return False
        except OSError:  # its owner is slow, or another user
            return True
        return True
