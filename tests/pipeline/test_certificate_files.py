from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.folder import changes, fingerprint
from smtp_gateway.tls import CertificateError, server_context
from tests.support.following import followed
from tests.support.gateway import trusting, write_pair
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path


def mount(folder: Path, generation: str) -> Path:
    """Write a pair the way the kubelet does: files link through `..data`, which is swapped in one step."""
    write_pair(folder / f"..{generation}")
    fresh = folder / "..data_tmp"
    fresh.symlink_to(f"..{generation}")
    fresh.replace(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    return folder


def shown(context: ssl.SSLContext) -> bytes:
    """Return the certificate that a client of *context* gets to see, by a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting().wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(5):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    certificate = client.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def test_a_swap_of_the_kubelet_changes_the_fingerprint(tmp_path: Path) -> None:
    """Although the paths and the links in the folder stay what they were."""
    before = fingerprint(mount(tmp_path, "one"))
    assert {name for name, *_ in before} == {"tls.crt", "tls.key"}
    assert fingerprint(tmp_path) == before

    mount(tmp_path, "two")
    assert fingerprint(tmp_path) != before


def test_a_folder_that_is_not_there_has_an_empty_fingerprint(tmp_path: Path) -> None:
    """It may come."""
    assert fingerprint(tmp_path / "absent") == frozenset()


@pytest.mark.parametrize("known", [True, False])
async def test_a_change_before_the_first_look_is_not_missed(tmp_path: Path, known: bool) -> None:  # noqa: FBT001 a table's column
    """Whoever took a fingerprint before reading hears of what changed since; others hear of the first look."""
    (tmp_path / "file").write_text("one")
    before = await asyncio.to_thread(fingerprint, tmp_path)
    (tmp_path / "file").write_text("other")

    async for seen in changes(tmp_path, 0.01, before if known else None):
        assert seen != before
        break


async def test_a_new_pair_is_shown_by_the_next_handshake(tmp_path: Path) -> None:
    """The context is the same object, so listeners need not be opened again."""
    async with followed(mount(tmp_path, "one")) as certificate:
        before = shown(certificate.context)
        with capture_logs() as logs:
            mount(tmp_path, "two")
            await eventually(lambda: logs)
        assert [line["event"] for line in logs] == ["certificate loaded"]
        assert shown(certificate.context) != before


@pytest.mark.parametrize("damage", ["key of another", "half a file", "gone"])
async def test_an_unusable_pair_leaves_the_old_one_in_force(tmp_path: Path, damage: str) -> None:
    """It is said once; the next good pair is taken."""
    write_pair(tmp_path)
    async with followed(tmp_path) as certificate:
        before = shown(certificate.context)
        with capture_logs() as logs:
            if damage == "key of another":
                (tmp_path / "tls.key").write_bytes((write_pair(tmp_path / "other") / "tls.key").read_bytes())
            elif damage == "half a file":
                (tmp_path / "tls.crt").write_bytes((tmp_path / "tls.crt").read_bytes()[:200])
            else:
                (tmp_path / "tls.key").unlink()
            await eventually(lambda: logs)
            assert shown(certificate.context) == before
            write_pair(tmp_path)
            await eventually(lambda: any(line["event"] == "certificate loaded" for line in logs))
        assert shown(certificate.context) != before
    assert [line["log_level"] for line in logs if line["event"] == "certificate unusable"][:1] == ["error"]


def test_what_is_wrong_with_a_folder_is_one_sentence(tmp_path: Path) -> None:
    """Missing files and a key that does not fit are told apart."""
    with pytest.raises(CertificateError, match="cannot be read: No such file"):
        server_context(tmp_path)
    write_pair(tmp_path)
    (tmp_path / "tls.key").write_bytes((write_pair(tmp_path / "other") / "tls.key").read_bytes())
    with pytest.raises(CertificateError, match="no usable certificate and key"):
        server_context(tmp_path)
