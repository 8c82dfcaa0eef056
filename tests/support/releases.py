"""A release of the chart in a namespace of a test's own: the previous version and this one, and the way from each to the other."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab import previous

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.kube import Kube

CHART = previous.CHART
RELEASE = "smtp-gateway-operator"
WAIT = ("--wait", "--timeout=180s")


def previous_version() -> dict[str, str]:
    """Return the images of the previous version, loaded into the cluster, and the path of its chart."""
    built = subprocess.run([sys.executable, "-m", "tests.lab", "previous", "-o", "json"], check=True, stdout=subprocess.PIPE, text=True)
    previous: dict[str, str] = json.loads(built.stdout)
    return previous


def image_values(images: Mapping[str, str]) -> list[str]:
    """Return the options of helm that name the images."""
    values: list[str] = []
    for key, image in (("image", images["operator"]), ("gateway.image", images["gateway"])):
        repository, _, tag = image.rpartition(":")
        values += ["--set", f"{key}.repository={repository},{key}.tag={tag}"]
    return values


@dataclass(frozen=True, slots=True)
class Release:
    """The chart's release, installed as docs/upgrading.md says."""

    kube: Kube
    previous: Mapping[str, str]
    images: Mapping[str, str]

    @property
    def installed(self) -> bool:
        """Tell whether there is a release now."""
        return bool(self.kube.helm("list", "--short", "--filter", f"^{RELEASE}$").strip())

    @property
    def current(self) -> bool:
        """Tell whether what is installed has this version's images."""
        values = json.loads(self.kube.helm("get", "values", RELEASE, "-o", "json"))
        return bool(values["image"]["tag"] == self.images["operator"].rpartition(":")[2])

    def install(self) -> None:
        """Install this version, where a release of the same name was before: the definition that it left is known by that name."""
        self.kube.helm("install", RELEASE, CHART, *WAIT, *image_values(self.images))

    def install_previous(self) -> None:
        """Install the previous version; the definition may be there, from a release elsewhere."""
        self.kube.helm("install", RELEASE, self.previous["chart"], "--take-ownership", *WAIT, *image_values(self.previous))

    def upgrade(self) -> None:
        """Upgrade to this version."""
        self.kube.helm("upgrade", RELEASE, CHART, "--reset-then-reuse-values", *WAIT, *image_values(self.images))

    def roll_back(self) -> None:
        """Go back to the first revision."""
        self.kube.helm("rollback", RELEASE, "1", *WAIT)

    def uninstall(self) -> None:
        """Uninstall it."""
        self.kube.helm("uninstall", RELEASE, *WAIT)
