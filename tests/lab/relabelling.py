"""
Another version of an image that was built, made without building: the same files, one label more, another tag.

The archive is one that `docker save` and buildah write: layers, the image's configuration named by its own hash, and `manifest.json`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from tests.lab.project_images import Image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MANIFEST = "manifest.json"
_LABEL = "smtpgateway.io/version-of-a-test"


def relabelled(image: Image, tag: str, folder: Path) -> Image:
    """Return *image* as another one under *tag*, its archive in *folder*."""
    other = Image(f"{image.name.rpartition(':')[0]}:{tag}", folder / f"{tag}.tar")
    with tarfile.open(image.archive) as source, tarfile.open(other.archive, "w") as target:
        (manifest,) = json.loads(_read(source, _MANIFEST))
        configuration = json.loads(_read(source, manifest["Config"]))
        replaced = _replaced(manifest, configuration, other.name, tag)
        for member in source:
            if member.name not in {manifest["Config"], _MANIFEST, "repositories"}:
                target.addfile(member, source.extractfile(member) if member.isfile() else None)
        for name, content in replaced.items():
            _add(target, name, content)
    return other


def _replaced(manifest: Mapping[str, Any], configuration: dict[str, Any], name: str, tag: str) -> dict[str, bytes]:
    """Return the files that tell the two images apart."""
    labels = configuration.setdefault("config", {}).get("Labels") or {}
    configuration["config"]["Labels"] = labels | {_LABEL: tag}
    content = json.dumps(configuration).encode()
    file = f"{hashlib.sha256(content).hexdigest()}.json"
    return {file: content, _MANIFEST: json.dumps([{**manifest, "Config": file, "RepoTags": [name]}]).encode()}


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
