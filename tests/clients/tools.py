"""What the clients are made of: Debian's packages, npm's, Maven's and Go's, each fetched by its own manager, when it is not there yet."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import debian
from tests.support import mail_programs
from tests.support.mail_programs import CACHE

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

PROGRAMS = Path(__file__).parent / "programs"
PACKAGES = {
    "swaks": "swaks",
    "msmtp": "msmtp",
    "curl": "curl",
    "php": "php-cli",
    "node": "nodejs",
    "npm": "npm",
    "javac": "default-jdk-headless",
    "mvn": "maven",
    "/usr/share/php/libphp-phpmailer/autoload.php": "libphp-phpmailer",
    "Net::SSLeay": "libnet-ssleay-perl",
    "Authen::SASL": "libauthen-sasl-perl",
}
"""Debian's packages by a program, a file or a module of Perl of each. Go is not among them: the lab needs a newer one than Debian has."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Where everything is."""

    cache: Path = CACHE

    @property
    def postfix(self) -> Path:
        """The files of Debian's Postfix."""
        return mail_programs.postfix(self.cache)

    @property
    def sasl(self) -> Path:
        """The mechanisms of Cyrus SASL, with which Postfix authenticates."""
        return mail_programs.sasl(self.cache)

    @property
    def exim(self) -> Path:
        """The files of Debian's Exim."""
        return mail_programs.exim(self.cache)

    @property
    def opendkim(self) -> Path:
        """The files of OpenDKIM, with the libraries that nothing else needs."""
        libraries = ("libopendkim11", "libmilter1.0.1", "librbl1", "libvbr2", "libmemcached11", "libhashkit2", "libopendbx1", "liblua5.3-0")
        return debian.unpacked(self.cache, "opendkim", *libraries)

    @property
    def rspamd(self) -> Path:
        """The files of rspamd, with the libraries that nothing else needs."""
        return debian.unpacked(self.cache, "rspamd", "libhyperscan5", "libluajit-5.1-2", "libluajit-5.1-common")

    @property
    def node(self) -> Path:
        """The folder of the client of nodemailer."""
        return self.cache / "node"

    @property
    def java(self) -> Path:
        """The folder of the client of Angus Mail: its class, and the libraries."""
        return self.cache / "java"

    @property
    def go(self) -> Path:
        """The client of Go's net/smtp."""
        return self.cache / "go-client"

    @property
    def report(self) -> Path:
        """The reader of notices, of Go's own parsers."""
        return self.cache / "go-report"

    def folder(self) -> AbstractContextManager[Path]:
        """Give a folder for one test, and take it away again."""
        return mail_programs.folder(self.cache)

    def prepare(self) -> list[str]:
        """Fetch and build what is missing; return what was installed."""
        self.cache.mkdir(exist_ok=True)
        installed = self._install()
        for name in ("postfix", "sasl", "exim", "opendkim", "rspamd"):
            getattr(self, name)
        self._prepare_node()
        self._prepare_java()
        _run(["go", "build", "-o", str(self.go), "."], PROGRAMS / "go")
        _run(["go", "build", "-o", str(self.report), "."], PROGRAMS / "report")
        return installed

    def _install(self) -> list[str]:
        missing = sorted({package for what, package in PACKAGES.items() if not _there(what)})
        if missing:
            wait = ("apt-get", "--option=DPkg::Lock::Timeout=300")
            quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run([*wait, "update"], check=True, capture_output=True, env=quiet)
            subprocess.run([*wait, "install", "--yes", "--no-install-recommends", *missing], check=True, capture_output=True, env=quiet)
        return missing

    def _prepare_node(self) -> None:
        """Install what the lock file names, with the integrity that it names, and no package's own scripts."""
        lock = PROGRAMS / "node/package-lock.json"
        installed = self.node / "package-lock.json"
        if not installed.exists() or installed.read_bytes() != lock.read_bytes():
            shutil.rmtree(self.node, ignore_errors=True)
            shutil.copytree(PROGRAMS / "node", self.node)
            installed.unlink()
            shutil.copyfile(lock, self.node / "npm-shrinkwrap.json")
            _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], self.node)
            shutil.copyfile(lock, installed)
        shutil.copyfile(PROGRAMS / "node/send.cjs", self.node / "send.cjs")

    def _prepare_java(self) -> None:
        """Fetch what the project names, and compile."""
        project, source = PROGRAMS / "java/pom.xml", PROGRAMS / "java/Send.java"
        fetched = self.java / "pom.xml"
        if not fetched.exists() or fetched.read_bytes() != project.read_bytes():
            shutil.rmtree(self.java, ignore_errors=True)
            self.java.mkdir()
            into = f"-DoutputDirectory={self.java / 'lib'}"
            _run(["mvn", "--quiet", "--batch-mode", f"--file={project}", "dependency:copy-dependencies", into], self.java)
            shutil.copyfile(project, fetched)
        kept = self.java / "Send.java"
        if not kept.exists() or kept.read_bytes() != source.read_bytes():
            _run(["javac", "-cp", f"{self.java / 'lib'}/*", "-d", str(self.java), str(source)], self.java)
            shutil.copyfile(source, kept)


def _there(what: str) -> bool:
    if "::" in what:
        return subprocess.run(["perl", f"-M{what}", "-e", "1"], capture_output=True, check=False, timeout=60).returncode == 0
    return shutil.which(what) is not None or Path(what).exists()


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]}"
