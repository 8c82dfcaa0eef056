"""The Prometheus Operator beside a cluster, in the version that `tests/lab/modules/prometheus-operator` pins, and a Prometheus of it.

Its controllers run on this machine as the cluster's administrator; what they make runs in the cluster, under the restricted Pod Security
standard, and may read the pods and Services of the namespaces that it scrapes, and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.kube import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kube import Kube

MODULE = Path(__file__).parent.parent / "lab" / "modules" / "prometheus-operator"
LABELS = {"release": "watching"}
"""Of the monitors and rules that the Prometheus selects, as that of kube-prometheus-stack does."""
NAME = "watching"
VERSION = "3.16.0"
"""Of Prometheus, in the release's own count: that of the Go module v0.316."""
INTERVAL = "5s"
"""Between two scrapes, and two evaluations of rules."""
PATIENCE = 30.0
"""Seconds that the controllers may take to end."""


def definitions() -> Path:
    """Return the folder with the operator's definitions."""
    downloaded = json.loads(
        run(["go", "-C", str(MODULE), "mod", "download", "-json", "github.com/prometheus-operator/prometheus-operator"])
    )
    return Path(downloaded["Dir"]) / "example" / "prometheus-operator-crd"


@contextmanager
def controllers(program: str, image: str, namespaces: tuple[Kube, ...], log: Path) -> Iterator[None]:
    """Run *program*, the operator, for *namespaces* while the context lasts; *image* is that of the reloader beside each Prometheus."""
    watched = ",".join(kube.namespace for kube in namespaces)
    reloader = [f"--prometheus-config-reloader={image}", "--config-reloader-cpu-request=0", "--config-reloader-cpu-limit=0"]
    line = [program, f"--namespaces={watched}", "--web.listen-address=127.0.0.1:0", "--kubelet-endpoints=false", *reloader]
    with log.open("w") as output:
        environment = os.environ | {"KUBECONFIG": str(namespaces[0].cluster.kubeconfig)}
        process = subprocess.Popen(line, stdout=output, stderr=output, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def prometheus(image: str) -> list[dict[str, Any]]:
    """Return a Prometheus that takes every monitor and rule with `LABELS`, wherever its operator looks, and its ServiceAccount."""
    chosen = {f"{kind}Selector": {"matchLabels": LABELS} for kind in ("podMonitor", "serviceMonitor", "rule")}
    anywhere: dict[str, Any] = {f"{kind}NamespaceSelector": {} for kind in ("podMonitor", "serviceMonitor", "rule")}
    restricted = {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "image": image,
        "version": VERSION,
        "serviceAccountName": NAME,
        "securityContext": restricted,
        "scrapeInterval": INTERVAL,
        "evaluationInterval": INTERVAL,
        **chosen,
        **anywhere,
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}},
        {"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": {"name": NAME}, "spec": spec},
    ]


def rights(watching: Kube) -> list[dict[str, Any]]:
    """Return the Role by which the Prometheus in the namespace of *watching* finds what there is to scrape in that of the Role."""
    verbs = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["pods", "services", "endpoints"], "verbs": verbs},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": NAME}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": watching.namespace}],
        },
    ]
