"""`python -m bench.fairness [--messages 20000] [--hop-delay 0,20] [--relays gateway]`: does one application's flood delay another's mail?

Two logins: one sends a flood over twenty connections, the other a small mail every 0.2 s over a connection of its own each. The time of
the small ones is measured without the flood and with it, until they are at the next hop. Next hops of several speeds: with a fast one the queue stays
short and the relay's processor is what is shared; a slow one makes a queue that the small mail has to get past.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

from bench.postal import LoadSink
from bench.processes import PATIENCE, until
from bench.relay import Setting
from bench.relays import RELAYS
from bench.rows import SESSIONS
from bench.tools import APP, NEWSLETTER, Login, Tools, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

EVERY = 0.2
"""Seconds between two small mails."""
QUIET = 10.0
"""Seconds of small mails without a flood."""
AIM = 2.0
"""How many times as long a small mail may take during the flood."""
HEAD = "| small mail | mails | median ms | p95 ms | max ms |\n|---|--:|--:|--:|--:|"
