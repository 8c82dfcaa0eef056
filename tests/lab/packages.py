"""Debian's part: the packages the lab is made of are installed when they are missing, and only then."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tests.lab.progress import say
from tests.lab.shell import LabError, Setting, run

if TYPE_CHECKING:
    from tests.lab.layout import Layout

PACKAGES = (
    "buildah",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "debootstrap",
    "e2fsprogs",
    "ethtool",
    "ipset",
    "iproute2",
    "iptables",
    "mount",
    "openssl",
    "procps",
    "runc",
    "socat",
    "util-linux",
)


def ensure_packages(layout: Layout) -> None:
    """Check what the lab needs from the machine, and install Debian's part of it."""
    if os.geteuid() != 0:
        sentence = "The lab needs root: it makes network namespaces, mounts and containers."
        raise LabError(sentence)
    if shutil.which("go") is None:
        sentence = "The lab needs Go 1.24 or newer on PATH: Kubernetes is built from its Go modules."
        raise LabError(sentence)
    missing = [package for package in PACKAGES if package not in _installed()]
    if missing:
        say(f"installing Debian packages: {' '.join(missing)}")
        _install(missing, layout)


def _installed() -> frozenset[str]:
    lines = run(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n"]).splitlines()
    return frozenset(line.split()[0] for line in lines if line.endswith(" installed"))


def _install(packages: list[str], layout: Layout) -> None:
    """Install; this alone is never killed half-way, because a broken dpkg would be the developer's to mend."""
    quiet = Setting(
        env={"DEBIAN_FRONTEND": "noninteractive"}, log=layout.logs / "apt.log", outlives=True, task="Installing Debian packages"
    )
    wait = "--option=DPkg::Lock::Timeout=300"
    run(["apt-get", wait, "update"], setting=quiet)
    run(["apt-get", wait, "install", "--yes", "--no-install-recommends", *packages], setting=quiet)
