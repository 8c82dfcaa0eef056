"""Postfix from Debian's package, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from bench import relay
from bench.relay import GROUP, OWNER, Relay, Setting
from bench.tools import APP, NEWSLETTER

if TYPE_CHECKING:
    from pathlib import Path

QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")
HOLDING = ("maildrop", "incoming", "active", "deferred", "hold")
"""Those with a file for each message; the others hold what is noted down about them."""
REALM = "bench.example"
OPEN = {"TLS": "none", "SASL": "no", "WHO": "permit_mynetworks"}
SECURED = {"TLS": "encrypt", "SASL": "yes", "WHO": "permit_sasl_authenticated"}


def start(setting: Setting) -> Relay:
    """Start Postfix: each message in a queue file that is synced before the 250."""
    folder, root = setting.folder, setting.tools.postfix
    certificate, key = relay.certificate(setting)
    places = {"ROOT": root, "CERTIFICATE": certificate, "KEY": key} | (SECURED if setting.secured else OPEN)
    port = relay.configure("postfix", setting, folder / "etc", places)
    make_queues(folder)
    if setting.secured:
        _make_passwords(setting)
    command = [str(root / "usr/lib/postfix/sbin/master"), "-c", str(folder / "etc"), "-d"]
    plugins = str(setting.tools.sasl / "usr/lib/x86_64-linux-gnu/sasl2")
    environment = setting.tools.environment | {"MAIL_CONFIG": str(folder / "etc"), "SASL_PATH": plugins}
    return relay.start(setting, command, port, environment)


def queued(folder: Path) -> int:
    """Count the messages that a Postfix in *folder*, which has ended, keeps."""
    return sum(path.is_file() for queue in HOLDING for path in (folder / "spool" / queue).rglob("*"))


def make_queues(folder: Path) -> None:
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


def _make_passwords(setting: Setting) -> None:
    """Write Cyrus SASL's password file."""
    path = setting.folder / "sasldb2"
    for login in (APP, NEWSLETTER):
        command = [str(setting.tools.sasl / "usr/sbin/saslpasswd2"), "-p", "-c", "-f", str(path), "-u", REALM, login.name.partition("@")[0]]
        plugins = str(setting.tools.sasl / "usr/lib/x86_64-linux-gnu/sasl2")
        subprocess.run(
            command, input=login.password.encode(), env=os.environ | {"SASL_PATH": plugins}, check=True, capture_output=True, timeout=60
        )
    shutil.chown(path, OWNER)
