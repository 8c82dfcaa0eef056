"""One SmtpGateway of a test, in a cluster: made, looked at, sent to."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support import world

if TYPE_CHECKING:
    from tests.support.kube import Kube

API_VERSION = "smtpgateway.io/v1alpha1"
READY_WITHIN = 180
"""Seconds from `kubectl apply` to Ready; a warm image takes about 15."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that relays to one smarthost."""

    kube: Kube
    name: str
    smarthost: str
    password: str = field(default_factory=secrets.token_urlsafe)

    @property
    def pod(self) -> str:
        """Return the name of the first pod."""
        return f"{self.name}-0"

    def manifest(self, **spec: Any) -> list[dict[str, Any]]:
        """Return the resource and the Secret of its login; *spec* changes fields."""
        login = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{self.name}-logins"}, "stringData": {"app": self.password}}
        hop = {"host": self.smarthost, "port": 25, "tls": "None"}
        whole = {
            "hostname": "mail.example.com",
            "logins": [{"secretRef": {"name": f"{self.name}-logins"}}],
            "routes": [{"name": "default", "smarthosts": [hop], "retry": {"initial": "2s", "maximum": "5s"}}],
            "spool": {"volume": {"size": "256Mi"}},
        }
        return [login, {"apiVersion": API_VERSION, "kind": "SmtpGateway", "metadata": {"name": self.name}, "spec": whole | spec}]

    def create(self, **spec: Any) -> None:
        """Apply it, and wait until it is Ready. One that tests share is made again what it was by this, whatever the test before did to it."""
        self.kube.apply(*self.manifest(**spec))
        self.wait("condition=Ready")

    def refresh(self) -> None:
        """Let the kubelet look at the pods now, and refresh what they mount. By itself it does so once a minute or two."""
        self.kube(
            "annotate", "pods", "-l", f"app.kubernetes.io/instance={self.name}", "--overwrite", f"tests/looked={secrets.token_hex(4)}"
        )

    def wait(self, condition: str, within: int = READY_WITHIN) -> None:
        """Wait as users do, with `kubectl wait`."""
        self.kube("wait", f"--for={condition}", f"smtpgateway/{self.name}", f"--timeout={within}s")

    def delete(self) -> None:
        """Delete the resource and its login."""
        self.kube("delete", "smtpgateway", self.name, "--ignore-not-found", "--timeout=60s")
        self.kube("delete", "secret", f"{self.name}-logins", "--ignore-not-found")

    def job(self, port: int, *messages: dict[str, Any], **changed: Any) -> dict[str, Any]:
        """Return a mail client's job that sends *messages* right, except for what *changed* says."""
        where = {"host": f"{self.name}.{self.kube.namespace}.svc", "port": port}
        if "authority" not in changed:
            where["authority"] = world.authority(self.kube, self.name)
        return where | {"login": "app", "password": self.password, "tls": "StartTLS", "messages": list(messages)} | changed

    def submit(self, port: int, *messages: dict[str, Any], **changed: Any) -> list[dict[str, Any]]:
        """Send *messages* from the client pod through the Service; return the outcomes."""
        return world.submit(self.kube, self.job(port, *messages, **changed))

    def metric(self, name: str) -> float:
        """Return the sum of a metric's samples on the first pod, as Prometheus would scrape them."""
        text = self.kube("get", "--raw", f"/api/v1/namespaces/{self.kube.namespace}/pods/{self.pod}:8080/proxy/metrics")
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))
