"""Exim from Debian's package, in a folder of its own and with its own view of three of the machine's paths.

The package has its account and the place of its configuration compiled in. Both exist in a mount namespace only, which ends with it.
"""

from __future__ import annotations

import os
import pwd
import shutil
from typing import TYPE_CHECKING

from bench import relay
from bench.relay import OWNER, Relay, Setting
from bench.tools import APP, NEWSLETTER

if TYPE_CHECKING:
    from pathlib import Path

COMPILED_IN = "Debian-exim"
_MOUNTS = 'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && mount --bind "$0/lib" /var/lib && exec "$@"'


def start(setting: Setting) -> Relay:
    """Start Exim: each message in two files that are synced, with their folder, before the 250."""
    folder, root = setting.folder, setting.tools.exim
    libraries = str(root / "usr/lib/x86_64-linux-gnu")
    certificate, key = relay.certificate(setting)
    who = "authenticated = *" if setting.secured else "hosts = 127.0.0.1"
    places = {"LIBRARIES": libraries, "CERTIFICATE": certificate, "KEY": key, "WHO": who, "PASSWORDS": passwords()}
    port = relay.configure("exim", setting, folder / "lib/exim4", places)
    _make_accounts(folder)
    for name in ("spool", "log"):
        relay.give(folder / name)
    command = ["unshare", "--mount", "sh", "-c", _MOUNTS, str(folder), str(root / "usr/sbin/exim4"), "-bdf", "-q1m"]
    return relay.start(setting, command, port, os.environ | {"LD_LIBRARY_PATH": libraries})


def passwords() -> str:
    """Return the condition that the authenticator checks: the login ($auth2) and its password ($auth3)."""
    known = [f"{{eq{{$auth2:$auth3}}{{{login.name}:{login.password}}}}}" for login in (APP, NEWSLETTER)]
    return f"${{if or{{{''.join(known)}}}}}"


def _make_accounts(folder: Path) -> None:
    """Write the machine's accounts and one more: `OWNER` under the name that is compiled in."""
    owner = pwd.getpwnam(OWNER)
    shutil.copyfile("/etc/passwd", folder / "passwd")
    shutil.copyfile("/etc/group", folder / "group")
    with (folder / "passwd").open("a") as accounts, (folder / "group").open("a") as groups:
        accounts.write(f"{COMPILED_IN}:x:{owner.pw_uid}:{owner.pw_gid}::/nonexistent:/usr/sbin/nologin\n")
        groups.write(f"{COMPILED_IN}:x:{owner.pw_gid}:\n")
