"""Two certificates in one folder, ECDSA and RSA: each client is shown the one that it can use, and both are followed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs

from smtp_gateway.tls import Certificate, CertificateError
from tests.support.following import followed
from tests.support.gateway import authority, trusting, write_pair
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path


def write_both(folder: Path) -> Path:
    """Write an ECDSA pair and an RSA pair into *folder*."""
    return write_pair(write_pair(folder), stem="additional", rsa=True)


def shown(certificate: Certificate, ciphers: str) -> x509.Certificate:
    """Return the certificate that a client of TLS 1.2 with *ciphers* gets to see, by a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = certificate.context.wrap_bio(to_server, to_client, server_side=True)
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    client = context.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(5):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    octets = client.getpeercert(binary_form=True)
    assert octets is not None
    return x509.load_der_x509_certificate(octets)


def ecdsa_and_rsa(certificate: Certificate) -> tuple[int, int]:
    """Return the serial numbers of what clients of both kinds are shown."""
    first, second = shown(certificate, "ECDHE-ECDSA-AES128-GCM-SHA256"), shown(certificate, "ECDHE-RSA-AES128-GCM-SHA256")
    assert not isinstance(first.public_key(), rsa.RSAPublicKey)
    assert isinstance(second.public_key(), rsa.RSAPublicKey)
    return first.serial_number, second.serial_number


def test_each_client_is_shown_what_it_can_use(tmp_path: Path) -> None:
    """And one that can use both is shown ECDSA, whose handshake costs a fraction."""
    certificate = Certificate(write_both(tmp_path))

    assert len(set(ecdsa_and_rsa(certificate))) == 2
    assert not isinstance(shown(certificate, "ECDHE+AESGCM").public_key(), rsa.RSAPublicKey)


@pytest.mark.parametrize("rsa_renewed", [True, False])
async def test_either_can_be_renewed_alone(tmp_path: Path, rsa_renewed: bool) -> None:  # noqa: FBT001 a table's column
    """The next handshake shows the new one, and the other as it was."""
    async with followed(write_both(tmp_path)) as certificate:
        before = ecdsa_and_rsa(certificate)
        write_pair(tmp_path, stem="additional" if rsa_renewed else "tls", rsa=rsa_renewed)
        await eventually(lambda: ecdsa_and_rsa(certificate) != before)
        await eventually(lambda: not certificate.problem)
        after = ecdsa_and_rsa(certificate)

    assert [one != other for one, other in zip(before, after, strict=True)] == [not rsa_renewed, rsa_renewed]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("half a file", "additional.crt holds no usable certificate and key"),
        ("no key", "additional.crt or additional.key in * cannot be read: No such file"),
        ("the same type", "tls.crt and additional.crt in * have keys of the same type, ECDSA: one of them is enough"),
    ],
)
async def test_an_unusable_second_pair_leaves_both_in_force(tmp_path: Path, damage: str, sentence: str) -> None:
    """It is said once and reported; a gateway that starts with it does not start."""
    async with followed(write_both(tmp_path)) as certificate:
        before = ecdsa_and_rsa(certificate)
        with capture_logs() as logs:
            if damage == "half a file":
                (tmp_path / "additional.crt").write_bytes((tmp_path / "additional.crt").read_bytes()[:200])
            elif damage == "no key":
                (tmp_path / "additional.key").unlink()
            else:
                write_pair(tmp_path, stem="additional")
            await eventually(lambda: all(part in certificate.problem for part in sentence.split("*")))
        assert ecdsa_and_rsa(certificate) == before
    assert {line["event"] for line in logs} == {"certificate unusable"}
    with pytest.raises(CertificateError):
        await asyncio.to_thread(Certificate, tmp_path)


def test_what_expires_first_counts(tmp_path: Path) -> None:
    """The end that is reported is that of the pair that ends first, whichever it is."""
    soon = datetime(2030, 1, 1, tzinfo=UTC)
    leaf = authority().issue_cert("localhost", not_after=soon)
    write_both(tmp_path)
    assert Certificate(tmp_path).not_after != soon.timestamp()
    (tmp_path / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    (tmp_path / "tls.key").write_bytes(leaf.private_key_pem.bytes())

    assert Certificate(tmp_path).not_after == soon.timestamp()
