"""Receivers' programs that verify DKIM, from Debian: OpenDKIM with keys from a file, and rspamd with a name server of the test's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.postal import free_port
from tests.clients.jobs import PATIENCE
from tests.clients.tools import Tools
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ARCHITECTURE = "usr/lib/x86_64-linux-gnu"
_RESULT = re.compile(r"dkim=(\w+).*? header\.s=([a-z0-9]+)")
OPTIONS = """\
dns { nameserver = ["127.0.0.1:%d"]; timeout = 2s; }
url_tld = "%s/suffixes";
control_socket = "%s/control.sock mode=0600";
disable_hyperscan = true;
"""
SUFFIXES = "com\nnet\norg\nexample\n"
"""The public suffixes that rspamd knows: it takes ten seconds to prepare those of the Internet."""
OUTSIDE = "192.0.2.1"
"""The client's address: of mail that comes from the machine itself rspamd verifies no signature."""
UNASKED = (
    *("rbl", "surbl", "asn", "fuzzy_check", "phishing", "mx_check", "dmarc", "spf", "arc"),
    *("multimap", "greylist", "history_redis", "bayes_expiry", "neural", "once_received", "hfilter", "whitelist", "elastic", "chartable"),
)
"""Modules that ask the Internet or a database, judge the client's address instead of the message, or need the tables of languages
that have no other place than /usr/share."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What rspamd says of a message."""

    verified: frozenset[str]
    """The selectors of the signatures that it found right."""
    complaints: dict[str, float]
    """What it holds against the message, and how much."""


def opendkim(message: Path, records: Mapping[str, str]) -> dict[str, str]:
    """Return OpenDKIM's result for each signature of *message* by its selector, with *records* as what DNS publishes."""
    root, folder = Tools().opendkim, message.parent
    (folder / "keys").write_text("".join(f"{name} {record}\n" for name, record in records.items()))
    (folder / "opendkim.conf").write_text(f"Mode v\nTestPublicKeys {folder / 'keys'}\n")
    command = [str(root / "usr/sbin/opendkim"), "-f", "-x", str(folder / "opendkim.conf"), "-vvv", "-t", str(message)]
    environment = os.environ | {"LD_LIBRARY_PATH": f"{root / ARCHITECTURE}:{root / 'usr/lib'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE)
    return {selector: result for result, selector in _RESULT.findall(done.stdout + done.stderr)}


class Rspamd:
    """A running rspamd."""

    def __init__(self, port: int) -> None:
        """Ask the one at *port*."""
        self._port = port

    def up(self) -> bool:
        """Tell whether it answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/ping", timeout=PATIENCE):
                return True
        except urllib.error.URLError:
            return False

    def judge(self, message: bytes, sender: str, recipient: str) -> Judgement:
        """Return what it says of *message* from *sender* to *recipient*."""
        about = {"From": sender, "Rcpt": recipient, "IP": OUTSIDE}
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/checkv2", message, about)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 the address is the line above
            symbols: dict[str, dict[str, Any]] = json.load(answer)["symbols"]
        allowed = symbols.get("R_DKIM_ALLOW", {}).get("options", ())
        complaints = {name: found["score"] for name, found in symbols.items() if found["score"] > 0}
        return Judgement(frozenset(one.rpartition("=")[2] for one in allowed), complaints)


@contextmanager
def rspamd(folder: Path, name_server: int) -> Iterator[Rspamd]:
    """Run rspamd with its own rules on a port of its own, and with the name server at *name_server*."""
    root, port = Tools().rspamd, free_port()
    _configure(folder, port, name_server)
    shared = root / "usr/share/rspamd"
    places = {"RULESDIR": shared / "rules", "LUALIBDIR": shared / "lualib", "PLUGINSDIR": shared / "plugins", "SHAREDIR": shared}
    places |= {"CONFDIR": root / "etc/rspamd", "LOCAL_CONFDIR": folder, "RUNDIR": folder, "DBDIR": folder, "LOGDIR": folder}
    command = [str(root / "usr/bin/rspamd"), "--no-fork", "--insecure", "-c", str(root / "etc/rspamd/rspamd.conf")]
    command += [f"--var={name}={place}" for name, place in places.items()]
    environment = os.environ | {"LD_LIBRARY_PATH": f"{root / ARCHITECTURE}:{root / 'usr/lib/rspamd'}"}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        running = Rspamd(port)
        eventually_sync(running.up, PATIENCE, "rspamd starts")
        yield running
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _configure(folder: Path, port: int, name_server: int) -> None:
    changes = folder / "override.d"
    changes.mkdir()
    (folder / "suffixes").write_text(SUFFIXES)
    (changes / "options.inc").write_text(OPTIONS % (name_server, folder, folder))
    (changes / "logging.inc").write_text('type = "console";\n')
    (changes / "worker-normal.inc").write_text(f'bind_socket = "127.0.0.1:{port}"; count = 1;\n')
    for name in ("controller", "proxy"):
        (changes / f"worker-{name}.inc").write_text(f'enabled = false; bind_socket = "127.0.0.1:{port}";\n')
    for name in UNASKED:
        (changes / f"{name}.conf").write_text("enabled = false;\n")
