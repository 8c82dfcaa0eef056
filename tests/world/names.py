"""The name server: Debian's unbound, which answers from zone files and validates what is signed (RFC 4035)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dns.dnssec
import dns.name
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import Algorithm

from tests.support import mail_programs
from tests.world.daemon import daemon
from tests.world.network import MUTE, RESOLVER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

_HEAD = "@ 60 IN SOA ns hostmaster 1 3600 600 86400 60\n@ 60 IN NS ns\nns 60 IN A {address}\n"
_CONFIGURATION = """\
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  interface: {address}
  do-ip6: no
  access-control: 0.0.0.0/0 allow
  module-config: "validator iterator"
  {anchors}
remote-control:
  control-enable: no
{zones}
forward-zone:
  name: "mute."
  forward-addr: {mute}
forward-zone:
  name: "failing."
  forward-addr: {address}@54
"""
"""Nobody is heard behind `mute.`, and nobody listens behind `failing.`, which unbound answers with SERVFAIL."""


@dataclass
class Zone:
    """One zone: its records in the form of a zone file, names relative to it."""

    name: str
    records: list[str] = field(default_factory=list)
    signed: bool = False
    altered: bool = False
    """Whether a record was changed after it was signed, as by an attacker (RFC 4033 section 5: bogus)."""

    def add(self, name: str, kind: str, *values: str) -> None:
        """Add records of *kind* at *name*."""
        self.records += [f"{name} 60 IN {kind} {value}" for value in values]

    def text(self) -> tuple[str, str]:
        """Return the zone file and the trust anchor, which is empty where nothing is signed."""
        origin = dns.name.from_text(self.name)
        zone = dns.zone.from_text(_HEAD.format(address=RESOLVER) + "\n".join(self.records) + "\n", origin, relativize=False)
        anchor = self._sign(zone, origin) if self.signed else ""
        written = zone.to_text(relativize=False)
        assert isinstance(written, str)
        return written.replace(" MX 10 ", " MX 5 ") if self.altered else written, anchor

    def _sign(self, zone: dns.zone.Zone, origin: dns.name.Name) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        public = dns.dnssec.make_dnskey(key.public_key(), Algorithm.ECDSAP256SHA256, flags=257)
        dns.dnssec.sign_zone(zone, keys=[(key, public)], add_dnskey=True, dnskey_ttl=60, lifetime=86400)
        return f'trust-anchor: "{origin} DS {dns.dnssec.make_ds(origin, public, "SHA256")}"'


def unbound(folder: Path, zones: list[Zone]) -> AbstractContextManager[None]:
    """Serve *zones* at `RESOLVER`."""
    folder.mkdir()
    root = mail_programs.unbound()
    command = [str(root / "usr/sbin/unbound"), "-d", "-c", str(_configured(folder, zones))]
    return daemon(command, folder, (RESOLVER, 53), {"LD_LIBRARY_PATH": str(mail_programs.libraries(root))})


def _configured(folder: Path, zones: list[Zone]) -> Path:
    anchors = []
    for zone in zones:
        text, anchor = zone.text()
        (folder / f"{zone.name}zone").write_text(text)
        anchors.append(anchor)
    places = {"folder": folder, "address": RESOLVER, "mute": MUTE, "anchors": "\n  ".join(filter(None, anchors))}
    path = folder / "unbound.conf"
    path.write_text(_CONFIGURATION.format(zones="\n".join(_declared(zones)), **places))
    return path


def _declared(zones: list[Zone]) -> Iterator[str]:
    for zone in zones:
        yield f'auth-zone:\n  name: "{zone.name}"\n  zonefile: "{zone.name}zone"\n  for-downstream: no\n  for-upstream: yes'
