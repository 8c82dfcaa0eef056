"""`python -m tests.tiers [TIER ...]`: run the tests tier by tier, by how much world each needs, and print what each took.

All tiers but the long ones together are to stay under 55 minutes on two cores from nothing. A tier that needs twice its budget is ended, because something hangs. A skipped test fails its tier (`tests/conftest.py`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab.provider import choose_provider

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Tier:
    """Tests that need the same world."""

    name: str
    needs: str
    budget: int
    """Seconds on two cores, with nothing cached."""
    folders: tuple[str, ...]
    measured: bool = False
    """Whether branch coverage is measured: where the code under test runs in the tests' own process."""
    cluster: tuple[str, ...] = ()
    """What to ask of the lab before: also what takes longer to build than a test may."""
    lab: bool = False
    """Whether it must be the project's own lab."""
    long: bool = False
    """Whether it takes too much for every day: it runs where it is named, as `make test-long` does."""


_APART = ("--ignore=tests/cluster/nodes", "--ignore=tests/cluster/monitoring")
"""Tiers of their own within the folder of another."""
TIERS = (
    Tier("unit", "no socket, disk or sleep", 240, ("tests/unit", "tests/golden"), measured=True),
    Tier("loopback", "loopback and a disk", 400, ("tests/contract", "tests/pipeline"), measured=True),
    Tier("faults", "a disk, and faults put into it", 30, ("tests/faults",), measured=True),
    Tier("volume", "root, and loop devices", 120, ("tests/volume",), measured=True),
    Tier("crash", "processes to kill", 300, ("tests/crash",)),
    Tier("clients", "root, Go, and mail programs from Debian, npm and Maven", 200, ("tests/clients",)),
    Tier("world", "root, and name and mail servers from Debian in a network of its own", 150, ("tests/world",)),
    Tier("chart", "helm, helm-unittest and kubeconform", 1200, ("tests/chart",), cluster=("up", "chart-tools")),
    Tier(
        "cluster",
        "a real Kubernetes and both images",
        1200,
        ("tests/cluster", *_APART),
        cluster=("up", "images", "previous"),
    ),
    Tier("nodes", "a second node, to break it", 450, ("tests/cluster/nodes",), cluster=("up", "images"), lab=True),
    Tier(
        "monitoring",
        "the Prometheus Operator, built from its module",
        1200,
        ("tests/cluster/monitoring",),
        cluster=("up", "images", "monitoring"),
        lab=True,
        long=True,
    ),
)
"""The first tier that asks for the cluster pays for building it: about 12 minutes of Go when nothing is cached."""
COVERED = 90
"""Percent of lines and branches that the measured tiers reach at least."""


def run(tier: Tier) -> bool:
    """Run one tier; tell whether it passed, or was left out because the cluster is another one than the lab."""
    if tier.lab and choose_provider() != "lab":
        print(f"tier {tier.name} is left out: it needs the project's own lab")
        return True
    for what in tier.cluster:
        if subprocess.run(["python3", "-m", "tests.lab", what], cwd=ROOT, check=False, timeout=tier.budget).returncode:
            return False
    coverage = ["--cov", "--cov-append", "--cov-report="] if tier.measured else []
    # A signal does not wake an idle uvloop; a thread ends the whole process, which would leave namespaces in the cluster.
    method = "signal" if tier.cluster else "thread"
    command = [sys.executable, "-m", "pytest", "-q", "--durations=5", f"--timeout-method={method}", *coverage, *tier.folders]
    try:
        return subprocess.run(command, cwd=ROOT, check=False, timeout=2 * tier.budget).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"tier {tier.name} did not end within twice its budget of {tier.budget} s", file=sys.stderr)
        return False


def covered(names: list[str]) -> bool:
    """Report the coverage of the measured tiers; tell whether it is enough. True when not all of them ran."""
    if not {tier.name for tier in TIERS if tier.measured} <= set(names):
        return True
    return subprocess.run([sys.executable, "-m", "coverage", "report", f"--fail-under={COVERED}"], cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Run the tiers that the command line names, or all but the long ones, and print the table."""
    known = {tier.name: tier for tier in TIERS}
    names = sys.argv[1:] or [tier.name for tier in TIERS if not tier.long]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no such tier: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    os.environ.setdefault("COVERAGE_CORE", "ctrace")
    (ROOT / ".coverage").unlink(missing_ok=True)
    rows = []
    for name in names:
        print(f"--- tier {name}: {known[name].needs}", flush=True)
        begin = time.monotonic()
        passed = run(known[name])
        rows.append((name, passed, time.monotonic() - begin, known[name].budget))
    enough = covered(names)
    print(f"\n{'tier':10} {'result':8} {'seconds':>8} {'budget':>8}")
    for name, passed, seconds, budget in rows:
        print(f"{name:10} {'passed' if passed else 'FAILED':8} {seconds:8.0f} {budget:8}")
    failed = sum(not passed for _, passed, _, _ in rows) + (not enough)
    print(f"{'all':10} {'FAILED' if failed else 'passed':8} {sum(row[2] for row in rows):8.0f} {sum(row[3] for row in rows):8}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
