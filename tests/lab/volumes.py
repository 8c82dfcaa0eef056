"""
Volumes with a size of their own: loop-mounted ext4 images, so that a full disk is a full disk and not a full machine.

They are `local` volumes and not `hostPath`, because only `local` honours `fsGroup`, without which a non-root pod cannot write.
A PersistentVolume that lets in ReadWriteOncePod must let in nothing else, hence two kinds of each size.
A volume whose claim was deleted keeps its data (`Retain`); `recycle_volumes` empties it and lets it be claimed again.
"""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.kubectl import kubectl
from tests.lab.layout import SMALL_STORAGE_CLASS, STORAGE_CLASS, Layout, Node
from tests.lab.shell import run, succeeds

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Kind:
    """Some volumes of a node that are alike."""

    prefix: str
    storage_class: str
    access_mode: str
    mebibytes: int
    count: int


KINDS = (
    Kind("pod", STORAGE_CLASS, "ReadWriteOncePod", 5120, 32),
    Kind("node", STORAGE_CLASS, "ReadWriteOnce", 5120, 4),
    Kind("small-pod", SMALL_STORAGE_CLASS, "ReadWriteOncePod", 64, 2),
    Kind("small-node", SMALL_STORAGE_CLASS, "ReadWriteOnce", 64, 2),
)


@dataclass(frozen=True)
class Volume:
    """One image, where it is mounted, and the PersistentVolume that offers it."""

    name: str
    kind: Kind
    node: Node
    folder: Path

    @property
    def image(self) -> Path:
        """Give the sparse file that holds the filesystem."""
        return self.folder.with_suffix(".img")


def volumes_of(layout: Layout, node: Node) -> Iterator[Volume]:
    """List a node's volumes."""
    for kind in KINDS:
        for number in range(kind.count):
            name = f"{node.name}-{kind.prefix}-{number}"
            yield Volume(name, kind, node, layout.node(node) / "volumes" / name)


def mount_volumes(layout: Layout, node: Node) -> None:
    """Make and mount the filesystems of a node."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(_mount, volumes_of(layout, node)))


def _mount(volume: Volume) -> None:
    volume.folder.mkdir(parents=True)
    run(["truncate", f"--size={volume.kind.mebibytes}M", volume.image])
    # Without the discard and with lazy tables this writes a few hundred kilobytes, whatever the size.
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", volume.image])
    run(["mount", "-o", "loop,noinit_itable", volume.image, volume.folder])


def manifests(layout: Layout, node: Node) -> str:
    """Describe a node's volumes as PersistentVolumes."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [_manifest(volume) for volume in volumes_of(layout, node)]})


def _manifest(volume: Volume) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [volume.node.name]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume.name},
        "spec": {
            "capacity": {"storage": f"{volume.kind.mebibytes}Mi"},
            "accessModes": [volume.kind.access_mode],
            "storageClassName": volume.kind.storage_class,
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(volume.folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def recycle_volumes(layout: Layout) -> list[str]:
    """Empty every volume whose claim is gone, make it claimable again, and name those."""
    listed = json.loads(kubectl(layout, "get", "persistentvolumes", "--output=json"))["items"]
    released = [volume for volume in listed if _is_released(volume, layout)]
    for volume in released:
        _empty(Path(volume["spec"]["local"]["path"]))
        unclaim = json.dumps([{"op": "remove", "path": "/spec/claimRef"}])
        kubectl(layout, "patch", "persistentvolume", volume["metadata"]["name"], "--type=json", f"--patch={unclaim}")
    return [str(volume["metadata"]["name"]) for volume in released]


def _is_released(volume: dict[str, Any], layout: Layout) -> bool:
    folder = Path(volume["spec"].get("local", {}).get("path", "/"))
    return volume["status"]["phase"] == "Released" and layout.run in folder.parents


def _empty(folder: Path) -> None:
    """Leave the filesystem as mkfs made it: writable, owned by root, with nothing but lost+found."""
    succeeds(["mount", "-o", "remount,rw", folder])
    for entry in folder.iterdir():
        if entry.name == "lost+found":
            _own(entry, 0o700)
        elif entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    _own(folder, 0o755)


def _own(folder: Path, mode: int) -> None:
    """Undo what the kubelet did for a pod's fsGroup."""
    shutil.chown(folder, 0, 0)
    folder.chmod(mode)
