"""What a cluster tells about a test that failed, asked before the test's objects are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.kube import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kube import Kube

LINES = 60
"""Lines of each log, of each queue and of the events: the last ones."""
GATEWAYS = ("-l", "app.kubernetes.io/name=smtp-gateway")
SPOOL = "/var/spool/smtp-gateway"


def evidence(kube: Kube) -> Iterator[tuple[str, str]]:
    """Yield titles and texts about the namespace of *kube*: its pods, gateways, events and logs, and what is in each spool."""
    yield "pods", _said(kube, "get", "pods", "-o", "wide")
    yield "gateways", _conditions(kube)
    yield "events", _last(_said(kube, "get", "events", "--sort-by=.lastTimestamp"))
    for pod in _names(kube):
        yield f"log of {pod}", _said(kube, "logs", pod, "--all-containers", f"--tail={LINES}")
        yield f"log of {pod} before a restart", _said(kube, "logs", pod, "--previous", f"--tail={LINES}")
    for pod in _names(kube, *GATEWAYS):
        yield f"queue of {pod}", _last(_said(kube, "exec", pod, "--", "smtp-gateway", "queue", "list", "-o", "json"))
        yield f"volume of {pod}", _said(kube, "exec", pod, "--", "sh", "-c", f"df -k {SPOOL}; ls -la {SPOOL}")


def _said(kube: Kube, *arguments: str) -> str:
    """Return what kubectl said, an error included: what one question lacks must not hide the answers to others."""
    try:
        return kube(*arguments)
    except CommandError as fault:
        return str(fault)


def _names(kube: Kube, *selection: str) -> list[str]:
    try:
        return kube("get", "pods", *selection, "-o", "name").split()
    except CommandError:
        return []


def _conditions(kube: Kube) -> str:
    try:
        found = kube.get("smtpgateways")
    except CommandError as fault:
        return str(fault)
    return "\n".join(
        f"{one['metadata']['name']}: {condition['type']}={condition['status']} {condition['reason']}: {condition['message']}"
        for one in found
        for condition in one.get("status", {}).get("conditions", [])
    )


def _last(text: str) -> str:
    return "\n".join(text.splitlines()[-LINES:])
