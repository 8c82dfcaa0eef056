"""The world around a gateway, inside the cluster: a receiving mail server on port 25, and a pod to send mail from.

Both run in the gateway's image, because it is there and has Python, under the restricted Pod Security standard. Standard library only.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.pods import mail_client

if TYPE_CHECKING:
    from tests.support.kube import Kube

PODS = Path(mail_client.__file__).parent
RECORD = "/record/messages"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass(frozen=True, slots=True)
class Received:
    """One message that the sink took."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes


def namespace(name: str) -> dict[str, Any]:
    """Return a namespace in which only restricted pods may run."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}


def sink(image: str, certificate: tuple[str, str] | None = None) -> list[dict[str, Any]]:
    """Return a mail server on port 25, reached as `sink`, that records what it takes; the record outlives its pod, on a volume.

    With a *certificate* and its key, PEM, it is one on port 587 too that wants credentials; see `demand`.
    """
    demanding = ["587", "/tls"] if certificate else []
    pod = _pod(image, "sink_server.py", ["/scripts/sink_server.py", "25", RECORD, *demanding])
    pod["securityContext"]["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    pod["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 25}, "periodSeconds": 1}
    pod["containers"][0]["volumeMounts"].append({"name": "record", "mountPath": "/record"})
    pod["volumes"].append({"name": "record", "persistentVolumeClaim": {"claimName": "sink"}})
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "256Mi"}}}
    ports = [{"name": "tcp-mail", "port": 25, "appProtocol": "tcp"}]
    objects = []
    if certificate:
        pod["containers"][0]["volumeMounts"].append({"name": "tls", "mountPath": "/tls"})
        pod["volumes"].append({"name": "tls", "secret": {"secretName": "sink-tls"}})
        ports.append({"name": "tcp-submission", "port": 587, "appProtocol": "tcp"})
        pair = dict(zip(("tls.crt", "tls.key"), certificate, strict=True))
        objects.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sink-tls"}, "stringData": pair})
    service = {"selector": {"app": "sink"}, "ports": ports}
    return [
        *objects,
        _scripts("sink_server.py"),
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "sink"}, "spec": claim},
        _deployment("sink", pod),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sink"}, "spec": service},
    ]


def client(image: str) -> list[dict[str, Any]]:
    """Return a pod that waits for `submit` to send mail from it."""
    return [_scripts("mail_client.py"), _deployment("client", _pod(image, "mail_client.py", ["-c", "import signal; signal.pause()"]))]


def stream(image: str, job: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a pod that sends mail for ever, as *job* says, without anybody's help; see `acknowledged`. *name* is its Deployment's."""
    pod = _pod(image, "mail_client.py", ["/scripts/mail_client.py", "/job/job.json"])
    pod["containers"][0]["volumeMounts"].append({"name": "job", "mountPath": "/job"})
    pod["volumes"].append({"name": "job", "secret": {"secretName": name}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"job.json": json.dumps(job)}}
    return [_scripts("mail_client.py"), secret, _deployment(name, pod)]


def acknowledged(kube: Kube, subject: str) -> set[str]:
    """Return the Subject lines of what the stream that sends *subject*, and is called like it, was told to be safe so far."""
    deployment = f"deployment/{subject.replace(' ', '-')}"
    return {f"Subject: {subject} {int(line):06}" for line in kube("logs", deployment, "--tail=-1").split()}


def received(kube: Kube) -> list[Received]:
    """Return what the sink of *kube*'s namespace recorded, in order."""
    lines = kube("exec", "deployment/sink", "--", "cat", RECORD).splitlines()
    return [Received(one["sender"], tuple(one["recipients"]), base64.b64decode(one["data"])) for one in map(json.loads, lines)]


def throttle(kube: Kube) -> None:
    """Let the sink of *kube*'s namespace put all mail off for its twenty seconds."""
    kube("exec", "deployment/sink", "--", "touch", f"{RECORD}.throttled")


def demand(kube: Kube, username: str, password: str) -> None:
    """Let the sink of *kube*'s namespace take mail on port 587 from who says this from now on, and from nobody else, also in sessions that are open."""
    write = f"cat > {RECORD}.new && mv {RECORD}.new {RECORD}.credentials"
    kube("exec", "-i", "deployment/sink", "--", "sh", "-c", write, stdin=f"{username}\n{password}")


def submit(kube: Kube, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Send *job* (see `tests.support.pods.mail_client`) from the client pod of *kube*'s namespace; return the outcomes."""
    said = kube("exec", "-i", "deployment/client", "--", "python3", "/scripts/mail_client.py", stdin=json.dumps(job))
    return [json.loads(line) for line in said.splitlines()]


def scale_sink(sink: Kube, replicas: int) -> None:
    """Take the next hop away, or bring it back."""
    sink("scale", "deployment/sink", f"--replicas={replicas}")
    if replicas:
        sink("rollout", "status", "deployment/sink", "--timeout=120s")
    else:
        sink("wait", "--for=delete", "pod", "-l", "app=sink", "--timeout=120s")


def subjects(sink: Kube) -> set[str]:
    """Return the Subject lines of what arrived."""
    lines = (line for message in received(sink) for line in message.data.decode().splitlines())
    return {line for line in lines if line.startswith("Subject:")}


def message(sender: str, recipients: list[str], data: bytes) -> dict[str, Any]:
    """Return one message of a job."""
    return {"sender": sender, "recipients": recipients, "data": base64.b64encode(data).decode()}


def authority(kube: Kube, gateway: str) -> str:
    """Return the certificate of the authority that the operator made for *gateway*, for clients to trust."""
    return str(kube.get("configmap", f"{gateway}-ca")["data"]["ca.crt"])


def _scripts(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": _config_map(name)},
        "data": {name: (PODS / name).read_text()},
    }


def _config_map(script: str) -> str:
    return script.replace("_", "-")


def _pod(image: str, script: str, arguments: list[str]) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "main",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["python3", *arguments],
                "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "scripts", "mountPath": "/scripts"}],
            }
        ],
        "volumes": [{"name": "scripts", "configMap": {"name": _config_map(script)}}],
    }


def _deployment(name: str, pod: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
