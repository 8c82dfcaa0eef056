"""How the bench starts relays and reads what they use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from bench.exim import passwords
from bench.machine import ticks
from bench.measure import LIMIT
from bench.postal import counted
from bench.processes import Group, Peak, cpu_stat, high_water, memory, until
from bench.relay import PEERS, filled
from bench.relays import RELAYS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("shown", "count"), [(b"", 0), (b"sess=1 quit=0 mesg=7\r", 7), (b"mesg=9\rsess=20 quit=20 mesg=10\r", 10), (b"sess=1 quit", 0)]
)
def test_the_sinks_last_count_counts(shown: bytes, count: int) -> None:
    """It is written anew for each message, with a carriage return between."""
    assert counted(shown) == count


def test_memory_is_read_of_the_right_processes() -> None:
    """What is shared counts less in PSS, no process has held less than it holds, and one that is gone holds nothing."""
    now = memory([os.getpid()])

    assert 0 < now.pss <= now.rss <= high_water([os.getpid()])
    assert memory([2**30]).rss == high_water([2**30]) == 0


def test_a_group_counts_and_ends_what_has_left_its_parent(tmp_path: Path) -> None:
    """A process whose parent ended without waiting for it is in no tree; the group has its time, and ends it. Needs root, as the bench does."""
    group = Group()
    process = group.start(["sh", "-c", "(while :; do :; done) & exit 0"], tmp_path / "log")
    process.wait(10)
    try:
        orphans = group.pids()
        until(lambda: group.cpu_seconds() > 0.02, "the orphan has worked")
    finally:
        group.end(process)

    assert len(orphans) == 1
    with pytest.raises(FileNotFoundError):  # the kernel lets a group go only when nobody is in it
        group.pids()


def test_memory_under_a_short_load_is_seen(tmp_path: Path) -> None:
    """A fast relay takes a small row between two looks, and holds something all the same. Needs root, as the bench does."""
    group = Group()
    process = group.start(["sleep", "60"], tmp_path / "log")
    try:
        until(lambda: memory(group.pids()).rss > 0, "the process is there")
        with Peak(group) as peak:
            pass
    finally:
        group.end(process)

    assert 0 < peak.most.pss <= peak.most.rss


def test_processor_time_of_a_group_of_version_2() -> None:
    """The kernel counts microseconds there, and nanoseconds in version 1."""
    assert cpu_stat("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n") == 2.5


def test_the_time_between_two_looks_is_shared_between_work_rest_and_others() -> None:
    """/proc/stat: user, nice, system, idle, iowait, irq, softirq, steal."""
    used = ticks("cpu 150 0 130 400 20 10 10 100 0 0\ncpu0 ...") - ticks("cpu 100 0 100 300 0 0 0 0 0 0\ncpu0 ...")

    assert used.busy * os.sysconf("SC_CLK_TCK") == pytest.approx(100)
    assert used.steal_percent == pytest.approx(100 * 100 / 320)


def test_places_in_a_configuration_are_filled_in() -> None:
    """The values are the run's: ports, folders, who may send."""
    assert filled("listen=127.0.0.1:@PORT@ @PORT@ @OTHER@", {"PORT": 2525}) == "listen=127.0.0.1:2525 2525 @OTHER@"


def test_exim_compares_login_and_password() -> None:
    """Its string expansion asks for one of the two logins, with both halves of it."""
    assert "{eq{$auth2:$auth3}{app@bench.example:bench-app}}" in passwords()
    assert passwords().startswith("${if or{{eq")


def test_every_peer_has_its_configuration_committed() -> None:
    """All relays but this gateway, which gets its configuration as a value."""
    assert {path.name for path in PEERS.iterdir()} == RELAYS.keys() - {"gateway"}
    assert LIMIT not in RELAYS
