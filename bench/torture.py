"""`python -m bench.torture [--scale 0.02] [--only NAME]`: attacks on a gateway, each on a fresh one, and what they cost it.

Loopback only, no root, nothing but the gateway and this process. The gateway is the real one (`bench.gateway`) with room for more
connections than it has by default; where an attack needs no login, the check that wants one is replaced as in the bench. Its next hop is
off, so what it accepts stays in its spool. The figures are the kernel's resident set (proc(5)): before the attack, the most during it
(VmHWM, which is reset before), and two seconds after it.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import attacks
from bench.attacks import Victim
from bench.postal import free_port, listening
from bench.processes import end, high_water, until
from bench.report import RESULTS
from smtp_gateway.config.certificate import issue, new_authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOWHERE = 9
"""A port that nobody listens on (discard)."""
SETTLE = 2.0
"""Seconds between an attack and the last look at the memory."""
DESCRIPTORS = 16_384
"""Files that this process and the gateway need to have open, with room to spare."""
HEAD = "| attack | what came of it | before MiB | peak MiB | after MiB | s | NOOP after it, ms |\n|---|---|--:|--:|--:|--:|--:|"


@dataclass(frozen=True, slots=True)
class Attack:
    """One row."""

    name: str
    run: Callable[[Victim], str]
    logins: bool = False
    """Whether the gateway asks for logins, as it does when it is not benched."""


ATTACKS = (
    Attack("5,000 idle connections", attacks.idle),
    Attack("5,000 idle connections after STARTTLS and AUTH", attacks.idle_after_login, logins=True),
    Attack("1,000 senders of one octet a second", attacks.slow_senders),
    Attack("a command line of 1 GB", attacks.long_command),
    Attack("a line of 1 GB in a body", attacks.long_line_of_a_body),
    Attack("1,000,000 RCPT", attacks.many_recipients),
    Attack("10,000 failed logins", attacks.failed_logins, logins=True),
)


@contextmanager
def gateway(folder: Path, *, logins: bool) -> Iterator[tuple[int, int]]:
    """Run a gateway in *folder*; give its port and its process id. Raises `TimeoutError` when it does not listen."""
    now = datetime.now(UTC)
    pair = issue(new_authority("torture", now), ["localhost"], now)
    (folder / "tls").mkdir()
    (folder / "tls/tls.crt").write_bytes(pair.certificate)
    (folder / "tls/tls.key").write_bytes(pair.key)
    port = free_port()
    command = [sys.executable, "-m", "bench.gateway", str(folder), str(port), str(NOWHERE), "logins" if logins else "everybody"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: process.poll() is None and listening(port), "the gateway listens")
        yield port, process.pid
    finally:
        end(process)


def suffered(attack: Attack, scale: float) -> str:
    """Run *attack* on a fresh gateway; return the table's line."""
    with tempfile.TemporaryDirectory(prefix="torture-") as name, gateway(Path(name), logins=attack.logins) as (port, pid):
        victim = Victim(port, pid, scale)
        before = victim.rss
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # resets VmHWM
        begin = time.monotonic()
        said = attack.run(victim)
        seconds = time.monotonic() - begin
        time.sleep(SETTLE)
        peak, after = high_water([pid]), victim.rss
        figures = " | ".join(f"{octets / 2**20:.0f}" for octets in (before, peak, after))
        return f"| {attack.name} | {said} | {figures} | {seconds:.0f} | {_noop(victim) * 1000:.1f} |"


def _noop(victim: Victim) -> float:
    """Return the seconds from a connection to the reply to its NOOP: the gateway still serves."""
    begin = time.monotonic()
    connection = victim.connect()
    connection.sendall(b"NOOP\r\n")
    said = attacks.replies(connection, b"\n")
    connection.close()
    if not said.startswith(b"250"):
        message = f"after the attack NOOP gets {said!r}"
        raise RuntimeError(message)
    return time.monotonic() - begin


def main() -> int:
    """Run the attacks that the command line asks for."""
    options = arguments()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, most), most))
    day = datetime.now(UTC).date().isoformat()
    scale = "" if options.scale == 1 else f", at {options.scale:g} of the size"
    lines = [f"# {day}: torture{scale}\n", HEAD]
    print(HEAD, flush=True)
    for attack in ATTACKS:
        if options.only in attack.name:
            print(f"{attack.name} ...", file=sys.stderr, flush=True)
            lines.append(suffered(attack, options.scale))
            print(lines[-1], flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{day}-torture.md").write_text("\n".join(lines) + "\n")
    return 0


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser("bench.torture", description="Attacks on a gateway, and what they cost it.")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of each attack, for a quick look [%(default)s]")
    parser.add_argument("--only", default="", metavar="TEXT", help="only attacks whose name has this in it")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results [bench/results]")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
