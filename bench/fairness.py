"""`python -m bench.fairness [--messages 20000] [--hop-delays 0,50] [--relays gateway]`: does one login's flood delay another's mail.

Two logins: one sends a flood over twenty connections, the other a small mail every 0.2 s, over a connection of its own each time. The
small ones are timed without the flood and with it, until they are at the next hop. With a fast next hop the relay's processor is what the
two share; a slow one makes a queue, and the small mail has to get past it.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.latency import Mail, read, table
from bench.postal import RUN, LoadSink, as_login
from bench.processes import PATIENCE, until
from bench.relay import Setting
from bench.relays import RELAYS
from bench.report import RESULTS
from bench.rows import SESSIONS
from bench.tools import APP, NEWSLETTER, Tools, require_root

if TYPE_CHECKING:
    from bench.relay import Relay

EVERY = "200ms"
"""Between two small mails."""
ALONE = 50
"""Small mails without a flood: ten seconds of them."""
SLOWEST = 100
"""Messages a second that a relay is expected to move at least; slower is a fault and ends the bench."""


@dataclass(frozen=True, slots=True)
class Flood:
    """What the other login sends."""

    messages: int
    rate: float = 0.0
    """Messages a second; 0 for as many as the relay takes."""

    @property
    def load(self) -> tuple[str, ...]:
        """Return the options of the source."""
        pace = ("-every", f"{SESSIONS / self.rate * 1000:.0f}ms") if self.rate else ()
        return ("-sessions", str(SESSIONS), "-messages", str(self.messages), "-reuse", *pace)

    @property
    def within(self) -> float:
        """Return the seconds in which a relay must have moved it."""
        return RUN + self.messages / (min(self.rate, SLOWEST) or SLOWEST)

    def __str__(self) -> str:
        """Return it in words."""
        return f"a flood of {self.messages} from another login, {f'{self.rate:g} a second' if self.rate else 'as fast as they are taken'}"


class Trial:
    """One relay between the two logins and a next hop that takes *delay* milliseconds for a message."""

    def __init__(self, tools: Tools, name: str, delay: int, folder: Path) -> None:
        """Keep all files in *folder*."""
        self._tools, self._name, self._folder = tools, name, folder
        self._marks = folder / "marks"
        self._sink = LoadSink(tools, folder / "count", ("-marks", str(self._marks), "-delay", f"{delay}ms"))

    def run(self, flood: Flood) -> str:
        """Time the small mails without a flood and with *flood*; return the table."""
        work = self._folder / self._name
        work.mkdir()
        with self._sink as sink:
            relay = RELAYS[self._name](Setting(work, sink.port, self._tools, secured=True))
            try:
                return table(self._alone(relay), self._flooded(relay, flood))
            finally:
                relay.stop()

    def _alone(self, relay: Relay) -> list[Mail]:
        return self._ended(self._small(relay, "alone-", "-messages", str(ALONE)), "alone-")

    def _flooded(self, relay: Relay, flood: Flood) -> dict[str, list[Mail]]:
        before = self._sink.taken()
        small = self._small(relay, "flood-")
        subprocess.run(as_login(self._tools, relay.port, NEWSLETTER, *flood.load), check=True, timeout=flood.within)
        all_in = time.time_ns()
        # The small mails count too, so the timing ends when the last few of the flood are still on their way.
        self._sink.wait_for(before + flood.messages, flood.within)
        mails = self._ended(small, "flood-")
        parts = {
            "while the flood comes in": [one for one in mails if one.begin < all_in],
            "while its queue empties": [one for one in mails if one.begin >= all_in],
        }
        return {what: part for what, part in parts.items() if part}

    def _small(self, relay: Relay, mark: str, *options: str) -> subprocess.Popen[bytes]:
        """Start to send the small mails: as many as *options* say, or until its standard input is closed."""
        command = as_login(self._tools, relay.port, APP, "-octets", "2048", "-every", EVERY, "-mark", mark, *options)
        with (self._folder / mark).open("wb") as sent:
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sent)

    def _ended(self, small: subprocess.Popen[bytes], mark: str) -> list[Mail]:
        """End the small mails and return them when the last one has arrived. Raises `CalledProcessError` when one was refused."""
        small.communicate(timeout=PATIENCE)
        if small.returncode:
            raise subprocess.CalledProcessError(small.returncode, small.args)
        sent = (self._folder / mark).read_text()
        until(lambda: read(sent, self._marks.read_text()) is not None, "every small mail arrives")
        return read(sent, self._marks.read_text()) or []


def main() -> int:
    """Measure what the command line asks for."""
    options = arguments()
    require_root()
    tools = Tools()
    tools.prepare()
    day = datetime.now(UTC).date().isoformat()
    flood = Flood(options.messages, options.rate)
    parts = [f"# {day}: a small mail every {EVERY} beside {flood}"]
    for name in options.relays.split(","):
        for delay in map(int, options.hop_delays.split(",")):
            with tools.folder() as folder:
                part = f"## {name}, a next hop that takes {delay} ms for a message\n\n{Trial(tools, name, delay, folder).run(flood)}"
            print(f"{part}\n", flush=True)
            parts.append(part)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{day}-fairness.md").write_text("\n\n".join(parts) + "\n")
    return 0


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser("bench.fairness", description="How long a small mail takes with and without another login's flood.")
    parser.add_argument("--messages", type=int, default=20000, help="of the flood [%(default)s]")
    parser.add_argument("--rate", type=float, default=0.0, help="messages of the flood a second; 0 for as many as are taken [%(default)s]")
    parser.add_argument("--hop-delays", default="0,50", help="milliseconds that the next hop takes for a message [%(default)s]")
    parser.add_argument("--relays", default="gateway", help=f"of {', '.join(RELAYS)} [%(default)s]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results [bench/results]")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
