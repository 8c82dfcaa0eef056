"""What the bench runs, fetched and built once into its cache: relays, load generators, receiving servers, a certificate."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import debian, interpreter
from smtp_gateway.config.certificate import issue, new_authority

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = Path("/var/cache/smtp-gateway-bench")
"""Root's alone to write, and not below the home of root, which the accounts of a relay cannot enter."""
HARAKA = "3.3.4"
LOAD = Path(__file__).parent / "load"


@dataclass(frozen=True, slots=True)
class Login:
    """One who may send in a row that is secured."""

    name: str
    password: str


APP = Login("app@bench.example", "bench-app")
NEWSLETTER = Login("newsletter@bench.example", "bench-newsletter")


@dataclass(frozen=True, slots=True)
class Tools:
    """Where everything is."""

    cache: Path = CACHE

    @property
    def postfix(self) -> Path:
        """Return the files of Debian's Postfix, which has smtp-source and smtp-sink too."""
        return debian.unpacked(self.cache, "postfix")

    @property
    def sasl(self) -> Path:
        """Return the files of Cyrus SASL: the library's mechanisms, its password file, and the program that writes it."""
        return debian.unpacked(self.cache, "sasl2-bin", "libsasl2-modules", "libsasl2-modules-db")

    @property
    def exim(self) -> Path:
        """Return the files of Debian's Exim."""
        folder = debian.unpacked(self.cache, "exim4-daemon-light", "libidn12")
        # Started by root it needs no set-user-id bit, and with one the loader would ignore the path to its library.
        (folder / "usr/sbin/exim4").chmod(0o755)
        return folder

    @property
    def haraka(self) -> Path:
        """Return the folder of Haraka, installed by npm without running any package's own scripts."""
        folder = self.cache / f"haraka-{HARAKA}"
        if not folder.exists():
            partial = self.cache / "haraka.partial"
            partial.mkdir(exist_ok=True)
            command = ["npm", "install", "--no-audit", "--no-fund", "--omit=dev", "--omit=optional", "--ignore-scripts", f"Haraka@{HARAKA}"]
            subprocess.run(command, cwd=partial, check=True, capture_output=True, timeout=600)
            partial.rename(folder)
        return folder / "node_modules/Haraka"

    @property
    def python(self) -> Path:
        """Return the interpreter that relays in Python run on."""
        return interpreter.ensure(self.cache)

    @property
    def load(self) -> Path:
        """Return the program of bench/load."""
        return self.cache / "load"

    @property
    def certificate(self) -> tuple[Path, Path]:
        """Return a certificate (ECDSA P-256) and its key, the same for all relays."""
        return self.cache / "tls/tls.crt", self.cache / "tls/tls.key"

    def prepare(self) -> None:
        """Build what is built here. Raises `CalledProcessError` when Go cannot."""
        self.cache.mkdir(exist_ok=True)
        subprocess.run(["go", "build", "-o", str(self.load), "."], cwd=LOAD, check=True, timeout=300)
        now = datetime.now(UTC)
        pair = issue(new_authority("bench", now), ["localhost"], now)
        for path, octets in zip(self.certificate, (pair.certificate, pair.key), strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(octets)

    def command(self, name: str) -> str:
        """Return the path of one of Postfix's programs."""
        return str(self.postfix / "usr/sbin" / name)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which Postfix's programs find their libraries."""
        return os.environ | {"LD_LIBRARY_PATH": str(self.postfix / "usr/lib/postfix")}

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Give a folder for one measurement, and take it away again."""
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=self.cache))
        folder.chmod(0o755)  # a relay that gives up root has to get through
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def require_root() -> None:
    """Refuse to go on as another user. Raises `PermissionError`."""
    if os.geteuid() != 0:
        message = "the bench needs root: Postfix starts as root, and each relay gets a control group"
        raise PermissionError(message)
