"""The certificates of one cluster, made by openssl: an authority, one for aggregated APIs, and one certificate per component."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.layout import API_ADDRESS, FIRST, Node
from tests.lab.shell import run

if TYPE_CHECKING:
    from pathlib import Path

_DAYS = "365"
# ECDSA, because making a key takes no time.
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """Whom a certificate names, and which authority says so."""

    name: str
    subject: str
    alternatives: str = ""
    authority: str = "ca"


_API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost")
_API_ALTERNATIVES = ",".join([*(f"DNS:{name}" for name in _API_NAMES), "IP:127.0.0.1", f"IP:{API_ADDRESS}", f"IP:{FIRST.address}"])
_CONTROL_PLANE = (
    Certificate("apiserver", "/CN=kube-apiserver", _API_ALTERNATIVES),
    Certificate("admin", "/O=system:masters/CN=admin"),
    Certificate("controller-manager", "/CN=system:kube-controller-manager"),
    Certificate("scheduler", "/CN=system:kube-scheduler"),
    Certificate("proxy", "/CN=system:kube-proxy"),
    Certificate("apiserver-kubelet", "/O=system:masters/CN=apiserver-kubelet"),
    Certificate("front-proxy-client", "/CN=front-proxy-client", authority="front-proxy-ca"),
)


def make_pki(folder: Path) -> None:
    """Make the authorities, the control plane's certificates, and the key that signs ServiceAccount tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for authority in ("ca", "front-proxy-ca"):
        _make_authority(folder, authority)
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda certificate: _sign(folder, certificate), _CONTROL_PLANE))
    key = folder / "sa.key"
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", key])
    run(["openssl", "pkey", "-in", key, "-pubout", "-out", folder / "sa.pub"])


def make_node_certificate(folder: Path, node: Node) -> None:
    """Make the certificate a node's kubelet shows as client and as server."""
    alternatives = f"DNS:{node.name},IP:{node.address},IP:127.0.0.1"
    _sign(folder, Certificate(f"kubelet-{node.name}", f"/O=system:nodes/CN=system:node:{node.name}", alternatives))


def _make_authority(folder: Path, name: str) -> None:
    files = ("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt")
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    run(["openssl", "req", "-x509", *_NEW_KEY, *files, "-days", _DAYS, "-subj", f"/CN=lab-{name}", *usage])


def _sign(folder: Path, certificate: Certificate) -> None:
    files = ("-keyout", folder / f"{certificate.name}.key", "-out", folder / f"{certificate.name}.crt")
    authority = ("-CA", folder / f"{certificate.authority}.crt", "-CAkey", folder / f"{certificate.authority}.key")
    extensions = [
        "basicConstraints=critical,CA:FALSE",
        "extendedKeyUsage=serverAuth,clientAuth",
        "keyUsage=critical,digitalSignature",
        *([f"subjectAltName={certificate.alternatives}"] if certificate.alternatives else []),
    ]
    added = [word for extension in extensions for word in ("-addext", extension)]
    run(["openssl", "req", "-x509", *_NEW_KEY, *files, *authority, "-days", _DAYS, "-subj", certificate.subject, *added])
