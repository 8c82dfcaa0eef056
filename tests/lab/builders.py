"""
How an image of the project is built: by buildah for the lab, by Docker for kind.

What a machine needs to reach its packages (an index, a certificate authority) is lent to the build and never written into the image:
buildah mounts a pip configuration made of the PIP_* variables and the machine's certificates; Docker gets build arguments, which a
Dockerfile that does not name them ignores.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.base_images import PYTHON_IMAGE, ensure_python_in_storage
from tests.lab.buildah import buildah, push_archive
from tests.lab.project_images import find_stale
from tests.lab.shell import Setting, run, succeeds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.layout import Layout
    from tests.lab.project_images import Build

Builder = Callable[["Build"], None]

_LENT_PIP_VARIABLES = (
    "PIP_CERT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_PROXY",
    "PIP_RETRIES",
    "PIP_TRUSTED_HOST",
)
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_KEPT_LAYERS = 120
_PIP_FOLDER = "/etc/xdg/pip"


def buildah_builder(layout: Layout) -> Builder:
    """Build with buildah, from the lab's own Debian with Python."""

    def build(wanted: Build) -> None:
        ensure_python_in_storage(layout)
        buildah(layout, "rm", "--all")  # working containers of a killed build
        with tempfile.TemporaryDirectory() as lent:
            options = ["--isolation=chroot", "--network=host", "--layers", *_lent_volumes(Path(lent))]
            names = [f"--build-arg=BASE_IMAGE={PYTHON_IMAGE}", f"--file={wanted.dockerfile}", f"--tag={wanted.name}"]
            buildah(layout, "bud", *options, *names, wanted.context, setting=_setting(layout, wanted))
        push_archive(layout, wanted.name, wanted.archive)

    return build


def docker_builder(layout: Layout) -> Builder:
    """Build with Docker, from the image the Dockerfile names."""

    def build(wanted: Build) -> None:
        lent = [f"--build-arg={name}" for name in _LENT_PIP_VARIABLES if name in os.environ]
        names = [f"--file={wanted.dockerfile}", f"--tag={wanted.name}"]
        run(["docker", "build", *lent, *names, wanted.context], setting=_setting(layout, wanted))
        partial = wanted.archive.with_suffix(".partial")
        run(["docker", "save", f"--output={partial}", wanted.name])
        partial.replace(wanted.archive)

    return build


def forget_buildah_images(layout: Layout) -> None:
    """Remove what buildah keeps of images whose archive is gone, so that disk use stays bounded."""
    for name in find_stale(layout, buildah(layout, "images", "--format={{.Name}}:{{.Tag}}").split()):
        buildah(layout, "rmi", "--force", name)
    if len(buildah(layout, "images", "--all", "--quiet").split()) > _KEPT_LAYERS:
        buildah(layout, "rmi", "--prune")  # costs the next build its cached layers, so not each time


def forget_docker_images(layout: Layout) -> None:
    """Remove what Docker keeps of images whose archive is gone."""
    for name in find_stale(layout, run(["docker", "images", "--format={{.Repository}}:{{.Tag}}"]).split()):
        succeeds(["docker", "rmi", name])


def _lent_volumes(folder: Path) -> Iterator[str]:
    """Mount what pip needs of this machine for the length of the build; only an empty folder stays behind."""
    folder.chmod(0o755)
    if _CERTIFICATES.exists():
        yield f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"
    settings = {name: os.environ[name] for name in _LENT_PIP_VARIABLES if os.environ.get(name)}
    if not settings:
        return
    lines = [f"{name.removeprefix('PIP_').lower().replace('_', '-')} = {value}" for name, value in settings.items()]
    (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    yield f"--volume={folder}:{_PIP_FOLDER}:ro"
    for links in settings.get("PIP_FIND_LINKS", "").split():
        if Path(links).is_dir():
            yield f"--volume={links}:{links}:ro"


def _setting(layout: Layout, wanted: Build) -> Setting:
    log = layout.logs / f"build-{wanted.name.rpartition('/')[2].partition(':')[0]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    return Setting(log=log, task=f"Building {wanted.name}")
