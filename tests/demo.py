"""`make demo`: from nothing to a delivered mail on a real cluster, each step shown with what it runs and how long it took.

Standard library only, because it runs before anything is installed; the picture at its end is drawn by the virtual environment. Running it again brings everything up to date and sends new mail.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.provider import connect
from tests.support import watched, world
from tests.support.kube import CommandError, Kube
from tests.support.pods import mail_client
from tests.support.waiting import DeadlinePassedError, eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "smtp-gateway-demo"
SINK = "smtp-gateway-demo-sink"
HOST = f"mail.{NAMESPACE}.svc"
METRICS = (
    "smtp_gateway_sessions_total",
    "smtp_gateway_authentications_total",
    "smtp_gateway_accepted_messages_total",
    "smtp_gateway_delivered_recipients_total",
    "smtp_gateway_queue_messages",
)
PICTURE = ROOT / "dist/demo-fleet.png"
ORIGINS = ("pod", "host")
PORTS = (587, 2525)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show a step and its time."""
    print(f"\n\033[1m{title}\033[0m", flush=True)
    begin = time.monotonic()
    yield
    print(f"   ({time.monotonic() - begin:.1f} s)", flush=True)


def show(text: str) -> None:
    """Print *text*, set in."""
    print("\n".join(f"   {line}" for line in text.splitlines()), flush=True)


def told(kube: Kube, *arguments: str) -> str:
    """Show a kubectl command as a person would type it, run it, return its output."""
    show(f"$ kubectl -n {kube.namespace} {shlex.join(arguments)}")
    return kube(*arguments)


def lab(command: str, *arguments: str) -> str:
    """Run a command of the lab, its progress on the terminal, and return what it printed when it was asked for JSON."""
    line = [sys.executable, "-m", "tests.lab", command, *arguments]
    show(f"$ {shlex.join(['python3', *line[1:]])}")
    done = subprocess.run(line, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE if arguments else None)
    return done.stdout or ""


def install(kube: Kube, images: dict[str, str]) -> None:
    """Install the operator with helm, CRD included."""
    gateway, operator = (images[name].rpartition(":") for name in ("gateway", "operator"))
    arguments = [
        *(
            "upgrade",
            "--install",
            "smtp-gateway-operator",
            "charts/smtp-gateway-operator",
            "--create-namespace",
            "--take-ownership",
            "--wait",
            "--timeout=120s",
        ),
        *("--set", f"image.repository={operator[0]},image.tag={operator[2]}"),
        *("--set", f"gateway.image.repository={gateway[0]},gateway.image.tag={gateway[2]}"),
    ]
    show(f"$ helm -n {NAMESPACE} {shlex.join(arguments)}")
    show(kube.helm(*arguments).partition("NOTES:")[0].strip())


def mail(origin: str, port: int) -> bytes:
    """Return a message that says where it came from."""
    head = f"From: App <app@example.com>\r\nTo: you@example.net\r\nSubject: Sent from a {origin} on port {port} at {time.time():.0f}\r\n"
    return f"{head}\r\nHello from the {origin}.\r\n".encode()


def job(kube: Kube, port: int) -> dict[str, Any]:
    """Return what a mail client has to know to send to *port* of the gateway."""
    known = {"host": HOST, "port": port, "authority": world.authority(kube, "mail"), "tls": "StartTLS"}
    return known | {"login": "my-app", "password": "demo-password"}


def send(kube: Kube, origin: str, port: int) -> bytes:
    """Send one mail with STARTTLS and AUTH from a pod or from this host; return it. Raises `CommandError` when it is not accepted."""
    data = mail(origin, port)
    one = job(kube, port) | {"messages": [world.message("app@example.com", ["you@example.net"], data)]}
    if origin == "pod":
        outcomes = world.submit(kube, one)
    else:
        with kube.port_forward("service/mail", port) as local:
            outcomes = mail_client.send(one | {"via": ["127.0.0.1", local]})
    show(f"from a {origin} to {HOST}:{port}: {outcomes[-1]['code']} {outcomes[-1]['reply']}")
    if outcomes[-1]["code"] != 250:
        raise CommandError(outcomes[-1]["reply"])
    return data


def arrived(sink: Kube, sent: list[bytes]) -> bool:
    """Tell whether the sink holds all of *sent*, each behind its trace header."""
    held = [message.data for message in world.received(sink)]
    return all(any(data.endswith(one) for data in held) for one in sent)


def metrics(kube: Kube) -> str:
    """Return what counts of five of a pod's metrics are not 0."""
    text = kube("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/mail-0:8080/proxy/metrics")
    return "\n".join(line for line in text.splitlines() if re.split(r"[ {]", line)[0] in METRICS and not line.endswith(" 0.0"))


def steps(kube: Kube, sink: Kube, images: dict[str, str]) -> None:
    """Show the product from installation to delivery."""
    with step("3. Install the operator"):
        kube.apply(world.namespace(NAMESPACE), world.namespace(SINK))
        install(kube, images)
    with step("4. A receiving mail server on port 25 in another namespace, and a pod to send from"):
        show(sink.apply(*world.sink(images["gateway"])) + kube.apply(*world.client(images["gateway"])))
    with step("5. Apply one SmtpGateway, and wait until it is Ready"):
        show(told(kube, "apply", "-f", "examples/demo.yaml"))
        show(told(kube, "wait", "--for=condition=Ready", "smtpgateway/mail", "--timeout=180s"))
        sink("rollout", "status", "deployment/sink", "--timeout=120s")
        kube("rollout", "status", "deployment/client", "--timeout=120s")
    with step("6. Send mail with STARTTLS and AUTH on 587 and 2525, from a pod and from this host"):
        sent = [send(kube, origin, port) for origin in ORIGINS for port in PORTS]
    with step("7. It arrives on port 25"):
        eventually_sync(lambda: arrived(sink, sent), within=60, what="the mail arrives at the receiving server", pause=0.5)
        for message in world.received(sink)[-len(sent) :]:
            show(f"{message.sender} -> {', '.join(message.recipients)}, {len(message.data)} octets")
        show("The last of them:\n" + message.data.decode())
    with step("8. What a person on call sees"):
        show(told(kube, "get", "smtpgw", "-o", "wide"))
        show(conditions(kube))
        show(told(kube, "get", "events", "--field-selector", "involvedObject.kind=SmtpGateway"))
        show("What the pod mail-0 has counted:\n" + metrics(kube))
    with step("9. The same as a dashboard: Prometheus scrapes the pods while more mail is sent"):
        dashboard(kube)


def dashboard(kube: Kube) -> None:
    """Draw the dashboard of all gateways from what a Prometheus scrapes of the demo's pods."""
    show("$ make setup")
    subprocess.run(["make", "--no-print-directory", "setup"], cwd=ROOT, check=True)
    watched.draw(kube, PICTURE, lambda: busy(kube))
    show(f"A picture of the dashboard, drawn from Prometheus' data: {PICTURE}")


def busy(kube: Kube) -> None:
    """Send some mail from a pod, without words."""
    some = [world.message("app@example.com", ["you@example.net"], mail("pod", PORTS[0])) for _ in range(5)]
    world.submit(kube, job(kube, PORTS[0]) | {"messages": some})


def conditions(kube: Kube) -> str:
    """Return the gateway's conditions, a line each."""
    status = kube.get("smtpgw", "mail")["status"]
    return "\n".join(f"{one['type']:20} {one['status']:6} {one['reason']:22} {one['message']}" for one in status["conditions"])


def main() -> int:
    """Run the demo; 0 when every mail arrived."""
    begin = time.monotonic()
    try:
        with step("1. A Kubernetes cluster"):
            lab("up")
        lab("recycle")  # a demo whose namespaces were deleted leaves volumes that nobody can claim
        with step("2. The images of the gateway and the operator, from this checkout"):
            images = json.loads(lab("images", "-o", "json"))
        kube = Kube(connect(), NAMESPACE)
        steps(kube, kube.within(SINK), images)
    except (CommandError, DeadlinePassedError, subprocess.CalledProcessError) as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        return 1
    print(f"\nDone in {time.monotonic() - begin:.0f} s. Look around:  export KUBECONFIG={kube.cluster.kubeconfig}")
    print(f"Clean up:  kubectl delete namespace {NAMESPACE} {SINK}   and, for the cluster,  make cluster-down")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
