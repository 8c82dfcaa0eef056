"""The lab's command line: `python3 -m tests.lab up`; exit code 0 is success, 1 a failure, 2 wrong usage, 3 "not up"."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from tests.lab import commands
from tests.lab.layout import NODES, find_layout
from tests.lab.shell import LabError

_COMMANDS = {
    "up": commands.up,
    "down": commands.down,
    "status": commands.status,
    "images": commands.images,
    "previous": commands.previous,
    "recycle": commands.recycle,
    "chart-tools": commands.chart_tools,
    "monitoring": commands.monitoring,
    "kubeconfig": commands.kubeconfig,
    "path": commands.path,
}


def main() -> int:
    """Run one command."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # 'status | head' is no failure
    arguments = _parser().parse_args()
    try:
        return _COMMANDS[arguments.command](find_layout(), arguments)
    except LabError as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the next 'up' or 'down' clears away what is half made.", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab", description="A real Kubernetes for the cluster tests.")
    commands_of = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        summary = (command.__doc__ or "").strip()
        described = commands_of.add_parser(name, help=summary, description=summary)
        if name == "up":
            described.add_argument("--nodes", type=_node_count, default=os.environ.get("NODES") or None, metavar="N")
        if name in {"status", "images", "previous"}:
            described.add_argument("-o", "--output", choices=["text", "json"], default="text")
    return parser


def _node_count(text: str) -> int:
    """Check a number of nodes; argparse asks for the environment's as for the option's."""
    if text not in {str(count + 1) for count in range(len(NODES))}:
        sentence = f"the lab can have 1 to {len(NODES)} nodes, not {text!r}"
        raise argparse.ArgumentTypeError(sentence)
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
