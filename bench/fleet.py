"""`python -m bench.fleet [--gateways 200] [--minutes 6]`: one operator and many gateways, on the real API server of the cluster.

The operator runs as a process beside the cluster, with the rights that its chart gives it. The gateways have no pods that could run, so
that nothing but operator and API server is measured. Requests are those that the API server counts for the operator's account, in a
flow schema of its own (`apiserver_flowcontrol_dispatched_requests_total`): not what the operator believes to have asked.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.provider import connect
from tests.support.kube import Kube

if TYPE_CHECKING:
    from collections.abc import Iterator

RELEASE = CHART = "smtp-gateway-operator"
PATIENCE = 600.0
"""Seconds after which the gateways will not be reconciled any more."""
SETTLE = 30.0
"""Seconds after the last reconcile before the steady state is looked at."""
AIMS = {"seconds": 60, "requests": 1.0, "MiB": 200}
HEAD = "| what | figure | aim |\n|---|--:|--:|"


@dataclass(frozen=True, slots=True)
class Usage:
    """What the operator has used so far."""

    requests: int
    cpu: float
    """Seconds."""
    at: float
    """When, in seconds of a clock that never jumps."""


def manifests(number: int) -> list[dict[str, Any]]:
    """Return *number* gateways, each with a Secret of its own."""
    found: list[dict[str, Any]] = []
    for one in range(number):
        name = f"gateway-{one:03}"
        nowhere = {"nodeSelector": {"example.com/bench": "nowhere"}}
        spec = {"hostname": "mail.example.com", "podTemplate": nowhere, "logins": [{"secretRef": {"name": f"{name}-logins"}}]}
        login = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"{name}-logins"},
            "stringData": {"app": secrets.token_urlsafe()},
        }
        found += [login, {"apiVersion": "smtpgateway.io/v1alpha1", "kind": "SmtpGateway", "metadata": {"name": name}, "spec": spec}]
    return found


def flow_schema(namespace: str) -> dict[str, Any]:
    """Return the flow schema by which the API server counts the operator's requests apart."""
    subject = {"kind": "ServiceAccount", "serviceAccount": {"name": RELEASE, "namespace": namespace}}
    rule = {"subjects": [subject], "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}]}
    spec = {
        "priorityLevelConfiguration": {"name": "workload-low"},  # that of every other account
        "matchingPrecedence": 500,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [rule],
    }
    return {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": namespace}, "spec": spec}


@contextmanager
def prepared(kube: Kube) -> Iterator[None]:
    """Make the namespace, the operator's account and rights in it, and take everything away again."""
    kube("apply", "--server-side", "--force-conflicts", "-f", "crds/smtpgateways.yaml")
    kube("create", "namespace", kube.namespace)
    try:
        rights = kube.helm(
            "template", RELEASE, f"charts/{CHART}", "--show-only=templates/rbac.yaml", "--show-only=templates/serviceaccount.yaml"
        )
        kube("apply", "-f", "-", stdin=rights)
        kube.apply(flow_schema(kube.namespace))
        yield
    finally:
        kube("delete", "flowschema", kube.namespace, "--ignore-not-found")
        kube("delete", "namespace", kube.namespace, "--timeout=280s")


def kubeconfig(kube: Kube, folder: Path) -> Path:
    """Write a kubeconfig of the operator's account, for the address at which the cluster is reached from here."""
    view = json.loads(kube("config", "view", "--minify", "--raw", "-o", "json"))
    token = kube("create", "token", RELEASE, "--duration=4h").strip()
    cluster = view["clusters"][0]["cluster"]
    if path := cluster.pop("certificate-authority", None):
        cluster["certificate-authority-data"] = base64.b64encode(Path(path).read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    return file


@contextmanager
def running(kube: Kube, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the operator while the context lasts."""
    command = [sys.executable, "-m", "smtp_gateway_operator", f"--namespace={kube.namespace}", "--gateway-image=example.com/none:1"]
    environment = os.environ | {"KUBECONFIG": str(kubeconfig(kube, folder))}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--http-port=0", "--probe-port=0"], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: b'"started"' in (folder / "log").read_bytes(), "the operator starts")
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(condition: Any, what: str, pause: float = 0.5) -> None:
    """Return as soon as *condition* holds. Raises `TimeoutError` after `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            message = f"not within {PATIENCE:g} s: {what}"
            raise TimeoutError(message)
        time.sleep(pause)


def reconciled(kube: Kube) -> int:
    """Return how many gateways were brought about as they are now."""
    found = kube.get("smtpgateways")
    return sum(one.get("status", {}).get("observedGeneration") == one["metadata"]["generation"] for one in found)


def usage(kube: Kube, process: subprocess.Popen[bytes]) -> Usage:
    """Return what the operator has used, as the API server and the kernel count it."""
    text = kube("get", "--raw", "/metrics")
    pattern = rf'^apiserver_flowcontrol_dispatched_requests_total{{flow_schema="{kube.namespace}",.*}} (\S+)$'
    requests = sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(int(requests), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), time.monotonic())


def memory(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Return what the operator holds and the most that it held, in MiB (VmRSS and VmHWM, proc(5))."""
    values = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE))
    return int(values["VmRSS"]) / 1024, int(values["VmHWM"]) / 1024


def row(what: str, figure: float, aim: str = "") -> str:
    """Return one line of the table."""
    return f"| {what} | {figure:.2f} | {aim} |" if figure < 10 else f"| {what} | {figure:.0f} | {aim} |"  # noqa: PLR2004 two digits tell enough


def measure(kube: Kube, process: subprocess.Popen[bytes], number: int, minutes: float) -> list[str]:
    """Make *number* gateways, wait until all are reconciled, then look at the steady state for *minutes*; return the table's lines."""
    before, (empty, _) = usage(kube, process), memory(process)
    kube.apply(*manifests(number))
    applied = time.monotonic() - before.at
    wait_for(lambda: reconciled(kube) == number, "every gateway is reconciled")
    made = usage(kube, process)
    time.sleep(SETTLE)
    steady = usage(kube, process)
    time.sleep(60 * minutes)
    after = usage(kube, process)
    passed = (after.at - steady.at) / 60
    now, most = memory(process)
    return [
        row(f"from nothing to {number} gateways reconciled, s", made.at - before.at, f"< {AIMS['seconds']}"),
        row("... of which kubectl took to apply them, s", applied),
        row("... requests per gateway", (made.requests - before.requests) / number),
        row("... processor time of the operator, s", made.cpu - before.cpu),
        row(
            f"steady state of {passed:.1f} min: requests per gateway and minute",
            (after.requests - steady.requests) / number / passed,
            f"< {AIMS['requests']:g}",
        ),
        row("... processor time of the operator per minute, s", (after.cpu - steady.cpu) / passed),
        row("memory with no gateway, RSS MiB", empty),
        row("memory at the end, RSS MiB", now, f"< {AIMS['MiB']}"),
        row("the most that it was, RSS MiB", most, f"< {AIMS['MiB']}"),
    ]


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser("python -m bench.fleet", description="One operator, many gateways, a real API server.")
    parser.add_argument("--gateways", type=int, default=200, metavar="N")
    parser.add_argument(
        "--minutes", type=float, default=6, metavar="M", help="how long to look at the steady state; a resync comes every 5"
    )
    options = parser.parse_args()
    kube = Kube(connect(), f"smtp-gateway-bench-{secrets.token_hex(3)}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(prepared(kube))
        process = stack.enter_context(running(kube, folder))
        lines = measure(kube, process, options.gateways, options.minutes)
        print("\n".join([HEAD, *lines]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
