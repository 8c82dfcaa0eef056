"""An image under another tag is another image of the same files."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from tests.lab.project_images import Image
from tests.lab.relabelling import relabelled

if TYPE_CHECKING:
    from pathlib import Path


def archive(path: Path, files: dict[str, bytes]) -> None:
    """Write an archive of *files*, and one link as buildah writes them."""
    with tarfile.open(path, "w") as target:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("aa/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../layer.tar"
        target.addfile(link)


def read(path: Path, name: str) -> bytes:
    """Return a file of an archive."""
    with tarfile.open(path) as source:
        file = source.extractfile(name)
        assert file is not None
        return file.read()


def test_another_image_has_the_same_layers(tmp_path: Path) -> None:
    """Its configuration has one label more and is named by its own hash; layers and links are the same."""
    configuration = {"config": {"User": "65532", "Labels": {"a": "b"}}, "rootfs": {"diff_ids": ["sha256:aa"]}}
    manifest = [{"Config": "old.json", "RepoTags": ["localhost/one:first"], "Layers": ["layer.tar"]}]
    files = {"layer.tar": b"layer", "old.json": json.dumps(configuration).encode(), "manifest.json": json.dumps(manifest).encode()}
    archive(tmp_path / "first.tar", files)

    other = relabelled(Image("localhost/one:first", tmp_path / "first.tar"), "second", tmp_path)

    (told,) = json.loads(read(other.archive, "manifest.json"))
    content = read(other.archive, told["Config"])
    changed: dict[str, Any] = json.loads(content)
    assert other.name == "localhost/one:second"
    assert (told["RepoTags"], told["Layers"]) == (["localhost/one:second"], ["layer.tar"])
    assert told["Config"] == f"{hashlib.sha256(content).hexdigest()}.json"
    assert changed["config"].pop("Labels") == {"a": "b", "smtpgateway.io/version-of-a-test": "second"}
    assert changed["config"] == {"User": "65532"}
    assert read(other.archive, "layer.tar") == b"layer"
    assert read(other.archive, "aa/layer.tar") == b"layer"
