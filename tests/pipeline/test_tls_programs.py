"""TLS as other programs see it: OpenSSL's own client, and sslscan, which tries everything that there is.

Debian's packages; they are installed when they are missing.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.support.gateway import authority, config, process, write_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAMS = ("openssl", "sslscan")
LISTENERS = ("submission", "submissions")
KEYS = {"ECDSA": "ecdsa_secp256r1_sha256", "RSA-PSS": "rsa_pss_rsae_sha256"}
"""What OpenSSL calls the signature, and how a client asks for it and no other."""
STRONG = {f"ECDHE-{key}-{cipher}" for key in ("ECDSA", "RSA") for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")}
STRONG |= {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
PATIENCE = 60
"""Seconds that a program may take."""


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway with a certificate of each type."""

    ports: dict[str, int]
    folder: Path

    def ask(self, listener: str, *options: str) -> tuple[bool, str]:
        """Begin TLS with OpenSSL's client and *options*, and quit; tell whether the gateway answered, and what the client said."""
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.ports[listener]}", "-servername", "localhost", "-crlf"]
        command += ["-CAfile", str(self.folder / "authority.pem"), "-verify_return_error", "-ign_eof"]
        command += ["-starttls", "smtp"] if listener == "submission" else []
        done = subprocess.run([*command, *options], input="QUIT\n", capture_output=True, text=True, timeout=PATIENCE, check=False)
        return "\n221 2.0.0 " in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway of its own process, with both programs there to ask it."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        apt = ("apt-get", "--option=DPkg::Lock::Timeout=300")
        subprocess.run([*apt, "update"], check=True, capture_output=True)
        subprocess.run([*apt, "install", "--yes", "--no-install-recommends", *missing], check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("served")
    write_pair(folder / "tls", stem="additional", rsa=True)
    (folder / "authority.pem").write_bytes(authority().cert_pem.bytes())
    with process(folder, config()) as gateway:
        yield Served(gateway.ports, folder)


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("key", KEYS)
def test_both_versions_and_both_certificates_are_served(served: Served, listener: str, version: str, key: str) -> None:
    """Whatever kind of signature the client can verify, under each version; the certificate is verified."""
    answered, said = served.ask(listener, version, "-sigalgs", KEYS[key])

    assert answered, said
    assert f"Peer signature type: {key}" in said
    assert "Verify return code: 0 (ok)" in said


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_client_that_can_verify_both_is_shown_ecdsa(served: Served, listener: str) -> None:
    """It costs both sides a fraction."""
    answered, said = served.ask(listener)

    assert answered, said
    assert "Peer signature type: ECDSA" in said


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize(
    "options",
    [
        ("-tls1",),
        ("-tls1_1",),
        ("-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "DHE:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AESCCM:@SECLEVEL=0"),
    ],
)
def test_weak_versions_and_ciphers_are_refused(served: Served, listener: str, options: tuple[str, ...]) -> None:
    """Old versions, no forward secrecy, CBC, SHA-1, nobody's signature, nothing encrypted."""
    weak = options if "-cipher" in options else (*options, "-cipher", "ALL:@SECLEVEL=0")

    answered, said = served.ask(listener, *weak)

    assert not answered
    assert "Cipher is (NONE)" in said


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_is_resumed(served: Served, listener: str, version: str) -> None:
    """By a ticket of the connection before: a client that connects for each message need not verify anything again."""
    ticket = str(served.folder / f"ticket-{listener}{version}")
    answered, said = served.ask(listener, version, "-sess_out", ticket)
    assert answered, said
    assert "\nNew, " in said

    answered, said = served.ask(listener, version, "-sess_in", ticket)

    assert answered, said
    assert "\nReused, " in said


@pytest.mark.parametrize("listener", LISTENERS)
def test_sslscan_finds_nothing_weak(served: Served, listener: str) -> None:
    """Of all versions and ciphers that it knows, two and the nine that are chosen; no renegotiation, no compression, no Heartbleed."""
    starttls = ["--starttls-smtp"] if listener == "submission" else []
    command = ["sslscan", "--no-colour", "--xml=-", *starttls, f"127.0.0.1:{served.ports[listener]}"]
    report = ET.fromstring(subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout)  # noqa: S314 of a program that we trust

    assert {one.get("version") for one in report.iter("protocol") if one.get("enabled") == "1"} == {"1.2", "1.3"}
    assert {one.get("cipher") for one in report.iter("cipher")} == STRONG
    assert {one.get("strength") for one in report.iter("cipher")} <= {"strong", "acceptable"}
    assert {one.get("supported") for one in report.iter("compression")} <= {"0"}
    assert [one.get("supported") for one in report.iter("renegotiation")] == ["0"]
    assert {one.get("vulnerable") for one in report.iter("heartbleed")} <= {"0"}
