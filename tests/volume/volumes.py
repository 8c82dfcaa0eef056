"""A file system on a loop device, and what can happen to it."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Volume:
    """An ext4 in a file, mounted."""

    image: Path
    path: Path

    @property
    def left(self) -> int:
        """Octets that nobody has."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def mount(self) -> None:
        """Mount it as the lab does; the kernel makes it read-only when it finds it damaged."""
        run("mount", "-o", "loop,noinit_itable,errors=remount-ro", self.image, self.path)

    def unmount(self) -> None:
        """Unmount it; its loop device goes with it."""
        run("umount", self.path)

    def remount(self, option: str) -> None:
        """Mount it with another option, while it is mounted."""
        run("mount", "-o", f"remount,{option}", self.path)

    def check(self) -> None:
        """Repair it, unmounted, as a node does before it mounts a volume."""
        found = subprocess.run(["e2fsck", "-p", "-f", self.image], check=False, capture_output=True, text=True)
        assert found.returncode in {0, 1}, found.stdout

    def give_to_others(self) -> Path:
        """Let a file of somebody else have every block that is left; return it."""
        others = self.path / "others"
        descriptor = os.open(others, os.O_WRONLY | os.O_CREAT)
        try:
            size, part = 0, 1 << 24
            while part >= 1024:
                try:
                    os.posix_fallocate(descriptor, size, part)
                    size += part
                except OSError:  # no room for so much
                    part //= 2
        finally:
            os.close(descriptor)
        return others

    def damage(self) -> None:
        """Let the kernel believe that the file system is damaged: it lets nobody write to it until it was repaired."""
        device = Path(run("findmnt", "--noheadings", "--output=SOURCE", self.path).strip())
        Path(f"/sys/fs/ext4/{device.name}/trigger_fs_error").write_text("a test")


@contextmanager
def volume(folder: Path, mebibytes: int) -> Iterator[Volume]:
    """Make a volume with its mount in *folder*/spool, and take it away."""
    image = folder / "image"
    run("truncate", f"--size={mebibytes}M", image)
    with _made(image, folder / "spool") as made:
        yield made


@contextmanager
def _made(image: Path, path: Path) -> Iterator[Volume]:
    path.mkdir()
    # Without the discard and with lazy tables nothing is written, or cut out of the image, beyond what differs.
    run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", image)
    made = Volume(image, path)
    made.mount()
    try:
        yield made
    finally:
        made.unmount()


@dataclass(frozen=True, slots=True)
class ThinVolume:
    """A volume whose device was promised more room than there is, as storage is that is provisioned thinly: it is in memory."""

    volume: Volume
    store: Path

    def exhaust(self, spare: int) -> None:
        """Let the device have *spare* octets that were not written yet, and answer with errors beyond."""
        run("fstrim", self.volume.path)
        found = os.statvfs(self.store)
        self._resize((found.f_blocks - found.f_bfree) * found.f_frsize + spare)

    def replenish(self) -> None:
        """Let it have all that it was promised."""
        self._resize(2 * self.volume.image.stat().st_size)

    def _resize(self, octets: int) -> None:
        run("mount", "-o", f"remount,size={octets}", self.store)


@contextmanager
def thin_volume(folder: Path, mebibytes: int) -> Iterator[ThinVolume]:
    """Make a volume in memory with its mount in *folder*/spool, and take it away."""
    store = folder / "store"
    store.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={2 * mebibytes}M", "tmpfs", store)
    try:
        image = store / "image"
        image.write_bytes(bytes(mebibytes << 20))  # what the file system has for itself gets its place now
        with _made(image, folder / "spool") as made:
            yield ThinVolume(made, store)
    finally:
        run("umount", store)


def run(*words: str | Path) -> str:
    """Run a program to its end; its errors are in the exception."""
    done = subprocess.run([*words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}"
    return done.stdout
