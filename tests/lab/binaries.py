"""
Kubernetes, etcd, Helm and CoreDNS, and the tools that test the chart, built from pinned Go modules.

A module's binaries lie in a folder named by the hash of all that decides their content, so they are never built twice.
The modules are apart because their dependencies' versions must not mix. A binary appears under its name only when complete.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.files import keep_newest
from tests.lab.progress import say
from tests.lab.shell import LabError, Setting, run

if TYPE_CHECKING:
    from tests.lab.layout import Layout

_MODULES = Path(__file__).parent / "modules"
_KEPT_VERSIONS = 2


@dataclass(frozen=True)
class Module:
    """A folder of `modules/`, and which package becomes which binary."""

    name: str
    packages: dict[str, str]
    tags: str = ""
    """Build tags."""

    @property
    def folder(self) -> Path:
        """Give the folder with go.mod and go.sum, or with the program itself."""
        return _MODULES / self.name


_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
MODULES = (
    Module("kube", {name: f"k8s.io/kubernetes/cmd/{name}" for name in _KUBERNETES}),
    Module("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Module("helm", {"helm": "helm.sh/helm/v3/cmd/helm"}),
    Module("coredns", {"coredns": "github.com/coredns/coredns"}),
    Module("pause", {"pause": "main.go"}),
)
CHART_MODULES = (
    Module("helm-unittest", {"helm-unittest": "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"}),
    Module("kubeconform", {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"}),
)
"""What tests of the chart need beside Helm, and no cluster: two minutes of Go together when nothing is cached."""


def ensure_binaries(layout: Layout, modules: tuple[Module, ...] = MODULES) -> None:
    """Build what is not there yet of *modules*, and link all of it into the tools folder."""
    layout.tools.mkdir(parents=True, exist_ok=True)
    for module in modules:
        folder = _folder(layout, module)
        folder.mkdir(parents=True, exist_ok=True)
        keep_newest(folder.glob("*.partial.*"), 0)
        for binary, package in module.packages.items():
            if not (folder / binary).exists():
                _build(module, package, folder / binary, layout)
            _link(folder / binary, layout.tool(binary))
        os.utime(folder)
        keep_newest(layout.binaries.glob(f"{module.name}-*"), _KEPT_VERSIONS)


def _folder(layout: Layout, module: Module) -> Path:
    digest = hashlib.sha256((_linker_flags(module) + module.tags).encode())
    for source in sorted(module.folder.iterdir()):
        digest.update(source.read_bytes())
    return layout.binaries / f"{module.name}-{digest.hexdigest()[:12]}"


def _build(module: Module, package: str, binary: Path, layout: Layout) -> None:
    say(f"building {binary.name} (minutes, unless Go's build cache is warm)")
    partial = binary.with_name(f"{binary.name}.partial.{os.getpid()}")
    log = layout.logs / f"build-{binary.name}.log"
    setting = Setting(cwd=module.folder, env={"CGO_ENABLED": "0"}, log=log, task=f"Building {binary.name}")
    options = ["-trimpath", "-tags", module.tags, "-ldflags", _linker_flags(module)]
    run(["go", "build", *options, "-o", partial, package], setting=setting)
    partial.replace(binary)


def _linker_flags(module: Module) -> str:
    """Stamp Kubernetes with its version, and Helm with that of the Kubernetes that it renders for when it sees no cluster.

    Without them /version says 0.0.0, and Helm takes every cluster that it cannot see for a 1.20.
    """
    if module.name == "kube":
        tag, minor = _required(module, "k8s.io/kubernetes")
        stamps = {"gitVersion": tag, "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean"}
        packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    elif module.name == "helm":
        _, minor = _required(module, "k8s.io/client-go")
        stamps = {"k8sVersionMajor": "1", "k8sVersionMinor": minor}
        packages = ("helm.sh/helm/v3/pkg/chartutil", "helm.sh/helm/v3/pkg/lint/rules")
    else:
        return "-s -w"
    return " ".join(["-s -w", *(f"-X {package}.{key}={value}" for package in packages for key, value in stamps.items())])


def _required(module: Module, dependency: str) -> tuple[str, str]:
    """Return the version of *dependency* in the module's go.mod, and its minor number, which is Kubernetes' own."""
    version = re.search(rf"^\s*{re.escape(dependency)} (v\d+\.(\d+)\.\d+)", (module.folder / "go.mod").read_text(), re.MULTILINE)
    if version is None:
        sentence = f"{module.folder / 'go.mod'} requires no {dependency}."
        raise LabError(sentence)
    return version[1], version[2]


def _link(binary: Path, link: Path) -> None:
    if link.is_symlink() and link.readlink() == binary:
        return
    fresh = link.with_name(f"{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(binary)
    fresh.replace(link)
