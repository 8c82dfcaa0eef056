"""One world for all tests of the tier: they only read what became of their own mail."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import mail_programs
from tests.world import network
from tests.world.cases import ALL
from tests.world.scenery import World, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAMS = {"ip": "iproute2", "iptables": "iptables"}
"""Debian's packages for what the network is made with."""


@pytest.fixture(scope="session")
def programs() -> None:
    """Fetch what is missing, while there is a network to fetch it from."""
    missing = sorted({package for program, package in _PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        wait, quiet = ("apt-get", "--option=DPkg::Lock::Timeout=300"), os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run([*wait, "update"], check=True, capture_output=True, env=quiet)
        subprocess.run([*wait, "install", "--yes", "--no-install-recommends", *missing], check=True, capture_output=True, env=quiet)
    mail_programs.CACHE.mkdir(exist_ok=True)
    for unpack in (mail_programs.unbound, mail_programs.postfix, mail_programs.exim, mail_programs.opensmtpd):
        unpack()


@pytest.fixture(scope="session")
def folder(programs: None) -> Iterator[Path]:
    """A folder that accounts without rights may enter."""
    del programs
    with mail_programs.folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def around(folder: Path) -> Iterator[World]:
    """The world, with the mail of all tables on its way."""
    network.leave(folder)
    with world(folder) as made:
        made.submit(*ALL)
        yield made
