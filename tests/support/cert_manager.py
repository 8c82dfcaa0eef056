"""cert-manager without its controllers: its own definitions, and an issuer of the test that does what cert-manager does.

The definitions come from cert-manager's Go module, at the version and with the checksum that `tests/lab/modules/cert-manager` pins.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import trustme

from tests.support.go_modules import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kube import Kube

DEFINITIONS = ("cert-manager.io_certificates.yaml",)


def definitions() -> Iterator[Path]:
    """Yield the files of the definitions that the operator needs."""
    folder = unpacked("cert-manager", "github.com/cert-manager/cert-manager")
    for name in DEFINITIONS:
        yield folder / "deploy" / "crds" / name


class Issuer:
    """An issuer that one asks by hand: each certificate is signed by an authority of its own, so that clients can tell them apart."""

    def __init__(self, kube: Kube) -> None:
        """Issue in the namespace of *kube*."""
        self._kube = kube

    def fulfil(self, name: str) -> str:
        """Issue what the Certificate *name* asks for, as cert-manager does; return the authority, for clients to trust."""
        wanted = self._kube.get("certificate", name)["spec"]
        authority = trustme.CA()
        pair = authority.issue_cert(*wanted["dnsNames"])
        files = {
            "tls.crt": b"".join(one.bytes() for one in pair.cert_chain_pems),
            "tls.key": pair.private_key_pem.bytes(),
            "ca.crt": authority.cert_pem.bytes(),
        }
        data = {file: base64.b64encode(content).decode() for file, content in files.items()}
        metadata = {"name": wanted["secretName"]}
        self._kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data})
        self._say(name, "True", "Certificate is up to date and has not expired")
        return authority.cert_pem.bytes().decode()

    def refuse(self, name: str, message: str) -> None:
        """Say why nothing is issued, as cert-manager does."""
        self._say(name, "False", message)

    def _say(self, name: str, status: str, message: str) -> None:
        condition = {"type": "Ready", "status": status, "reason": "Test", "message": message}
        patch = json.dumps({"status": {"conditions": [condition]}})
        self._kube("patch", "certificate", name, "--subresource=status", "--type=merge", "-p", patch)
