"""Haraka from npm, in a folder of its own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from bench import relay
from bench.tools import APP, NEWSLETTER

if TYPE_CHECKING:
    from bench.relay import Relay, Setting

SECURED = "tls\nauth/flat_file"


def start(setting: Setting) -> Relay:
    """Start Haraka, one worker a core: each message in a queue file that is synced before the 250."""
    folder, root = setting.folder, setting.tools.haraka
    # The packaged file with a higher limit of size: 3.3 crashes with a file that has only what differs.
    packaged = (root / "config/connection.ini").read_text().replace("bytes=26214400", "bytes=67108864")
    logins = "\n".join(f"{login.name}={login.password}" for login in (APP, NEWSLETTER))
    places = {"PACKAGED": packaged, "PLUGINS": SECURED if setting.secured else "", "LOGINS": logins}
    places["EVERYBODY"] = str(not setting.secured).lower()
    port = relay.configure("haraka", setting, folder, places)
    for path, name in zip(setting.tools.certificate, ("tls_cert.pem", "tls_key.pem"), strict=True):
        shutil.copyfile(path, folder / "config" / name)
    return relay.start(setting, ["node", str(root / "bin/haraka"), "-c", str(folder)], port)
