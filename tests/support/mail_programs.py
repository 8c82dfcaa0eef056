"""Debian's mail servers and its name server, unpacked and not installed: they exclude each other, and all of them would start at once."""

from __future__ import annotations

import pwd
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import debian
from bench.relay import GROUP, OWNER

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CACHE",
    "GROUP",
    "OWNER",
    "POSTFIX_PLACES",
    "POSTFIX_SERVICES",
    "exim",
    "folder",
    "libraries",
    "make_accounts",
    "opensmtpd",
    "postfix",
    "sasl",
    "unbound",
]

CACHE = Path("/var/cache/smtp-gateway-clients")
"""Root's alone to write, and not below the home of root, which the account that the servers run as cannot enter."""
POSTFIX_PLACES = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
daemon_directory = {root}/usr/lib/postfix/sbin
command_directory = {root}/usr/sbin
shlib_directory = {root}/usr/lib/postfix
mail_owner = {owner}
setgid_group = {group}
maillog_file_prefixes = {folder}
"""
"""How Postfix's `main.cf` begins, whose files are below `root` and whose queue is below `folder`."""
POSTFIX_SERVICES = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
"""What Postfix's `master.cf` has in any case: all that takes a message from its queue to where it goes."""
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def libraries(folder: Path) -> Path:
    """Return where the libraries of an unpacked package are."""
    return folder / _LIBRARIES


@contextmanager
def folder(cache: Path = CACHE) -> Iterator[Path]:
    """Give a folder that accounts without rights may enter, and take it away again."""
    made = Path(tempfile.mkdtemp(prefix="run-", dir=cache))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def postfix(cache: Path = CACHE) -> Path:
    """Return the files of Postfix."""
    return debian.unpacked(cache, "postfix")


def sasl(cache: Path = CACHE) -> Path:
    """Return the mechanisms of Cyrus SASL, with which Postfix authenticates."""
    return libraries(debian.unpacked(cache, "libsasl2-modules")) / "sasl2"


def exim(cache: Path = CACHE) -> Path:
    """Return the files of Exim."""
    folder = debian.unpacked(cache, "exim4-daemon-light", "libidn12", "libgnutls-dane0")
    # Started by root it needs no set-user-id bit, and with one the loader would ignore the path to its libraries.
    (folder / "usr/sbin/exim4").chmod(0o755)
    return folder


def opensmtpd(cache: Path = CACHE) -> Path:
    """Return the files of OpenSMTPD."""
    return debian.unpacked(cache, "opensmtpd", "libevent-2.1-7")


def unbound(cache: Path = CACHE) -> Path:
    """Return the files of unbound."""
    return debian.unpacked(cache, "unbound", "libevent-2.1-7", "libprotobuf-c1", "libpython3.11")


def make_accounts(folder: Path, *names: str) -> None:
    """Write the machine's accounts into *folder*, and `OWNER` once more under each of *names*, which are compiled into a program."""
    owner = pwd.getpwnam(OWNER)
    shutil.copyfile("/etc/passwd", folder / "passwd")
    shutil.copyfile("/etc/group", folder / "group")
    with (folder / "passwd").open("a") as accounts, (folder / "group").open("a") as groups:
        for name in names:
            accounts.write(f"{name}:x:{owner.pw_uid}:{owner.pw_gid}::/nonexistent:/usr/sbin/nologin\n")
            groups.write(f"{name}:x:{owner.pw_gid}:\n")
