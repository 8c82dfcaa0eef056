"""The Prometheus Operator, built from its Go module, and an image for the pods that it makes: Prometheus, and its reloader.

Debian's Prometheus cannot find pods by the API, so this one is built from its module, too. Nothing of it is part of a cluster that boots:
`make test-long` asks for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.lab.base_images import PYTHON_IMAGE, ensure_python_in_storage
from tests.lab.binaries import Module, ensure_binaries
from tests.lab.buildah import commit, push_archive
from tests.lab.files import keep_newest
from tests.lab.packages import ensure_packages
from tests.lab.project_images import Image

if TYPE_CHECKING:
    from tests.lab.layout import Layout

NAME = "prometheus-operator"
_PROMETHEUS, _RELOADER = "prometheus", "prometheus-config-reloader"
_COMMANDS = "github.com/prometheus-operator/prometheus-operator/cmd"
_MODULES = (
    Module(NAME, {NAME: f"{_COMMANDS}/operator", _RELOADER: f"{_COMMANDS}/{_RELOADER}"}),
    # Of the some thirty ways to find targets, with the clients of as many clouds, the one.
    Module(
        "prometheus-server", {_PROMETHEUS: "github.com/prometheus/prometheus/cmd/prometheus"}, tags="remove_all_sd,enable_kubernetes_sd"
    ),
)
_KEPT_ARCHIVES = 1


def ensure_image(layout: Layout) -> Image:
    """Build the operator, and make the image when it is not there yet: Prometheus is its entry point, and each program lies where the operator calls it."""
    ensure_packages(layout)
    ensure_binaries(layout, _MODULES)
    programs = [layout.tool(name).resolve() for name in (_PROMETHEUS, _RELOADER)]
    tag = "-".join(program.parent.name.rpartition("-")[2] for program in programs)
    image = Image(f"localhost/prometheus:{tag}", layout.images / f"prometheus-{tag}.tar")
    if not image.archive.exists():
        ensure_python_in_storage(layout)
        commit(layout, image.name, PYTHON_IMAGE, dict.fromkeys(programs, "/bin/"), "--entrypoint", '["/bin/prometheus"]', "--cmd", "")
        push_archive(layout, image.name, image.archive)
    os.utime(image.archive)
    keep_newest(layout.images.glob("prometheus-*.tar"), _KEPT_ARCHIVES)
    return image
