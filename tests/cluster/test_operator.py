"""The operator through everything that happens to it: killed, without an API server, beside another operator."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest

from tests.cluster.conftest import CHART, image_values
from tests.lab import daemons, layout
from tests.support import machines, processes, world
from tests.support.kube import CommandError
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.gateways import Gateway
    from tests.support.kube import Kube

SELECTOR = "app.kubernetes.io/name=smtp-gateway-operator"


@pytest.fixture
def stream(gateway: Gateway, images: dict[str, str]) -> Iterator[str]:
    """Mail that is sent all the time, from a pod that needs no API server for it; the subject that it has."""
    token = secrets.token_hex(4)
    subject, name = f"stream {token}", f"stream-{token}"
    message = {"sender": "app@example.com", "recipients": ["one@example.net"]}
    gateway.kube.apply(*world.stream(images["gateway"], gateway.job(587, subject=subject, message=message), name))
    eventually_sync(lambda: acknowledged(gateway, subject), within=120, what="the first mail is taken", pause=1)
    yield subject
    gateway.kube("delete", f"deployment/{name}", f"secret/{name}", "--wait=false")


def acknowledged(gateway: Gateway, subject: str) -> set[str]:
    """Return what the stream was told to be safe; nothing while its pod is not there yet."""
    try:
        return world.acknowledged(gateway.kube, subject)
    except CommandError:
        return set()


def nothing_lost(gateway: Gateway, sink: Kube, subject: str) -> None:
    """Wait until everything that was acknowledged so far has arrived."""
    expected = world.acknowledged(gateway.kube, subject)
    assert expected
    eventually_sync(lambda: expected <= world.subjects(sink), within=120, what="everything acknowledged arrives", pause=2)


def operator_pod(kube: Kube) -> dict[str, Any]:
    """Return the pod of the one operator."""
    pods = [one for one in kube.get("pod", "-l", SELECTOR) if not one["metadata"].get("deletionTimestamp")]
    assert len(pods) == 1
    pod: dict[str, Any] = pods[0]
    return pod


def change(gateway: Gateway, recipients: int) -> None:
    """Change the resource, so that there is something to reconcile."""
    gateway.kube("patch", "smtpgateway", gateway.name, "--type=merge", f'-p={{"spec":{{"limits":{{"recipients":{recipients}}}}}}}')


def is_brought_about(gateway: Gateway) -> bool:
    """Tell whether the resource as it is now was reconciled, and everything is well."""
    resource = gateway.kube.get("smtpgateway", gateway.name)
    status = resource.get("status", {})
    ready = {one["type"]: one["status"] for one in status.get("conditions", [])}.get("Ready")
    return status.get("observedGeneration") == resource["metadata"]["generation"] and ready == "True"


def config_version(gateway: Gateway) -> str:
    """Return the version of the Secret with the gateway's configuration."""
    version: str = gateway.kube.get("secret", f"{gateway.name}-config-0")["metadata"]["resourceVersion"]
    return version


@pytest.mark.timeout(300)
def test_a_rotated_login_is_in_force_without_a_resync(gateway: Gateway, sink: Kube) -> None:
    """A new password reaches the pods' configuration within seconds of the change of its Secret, and then is the one that works."""
    assert sink
    before, old = config_version(gateway), gateway.password
    message = world.message("app@example.com", ["one@example.net"], b"Subject: rotated\r\n\r\n\r\n")
    patch = f'-p={{"stringData":{{"app":"{old}-new"}}}}'
    gateway.kube("patch", "secret", f"{gateway.name}-logins", patch)
    try:
        eventually_sync(lambda: config_version(gateway) != before, within=10, what="the configuration has the new password", pause=0.2)

        def works() -> bool:
            (outcome,) = gateway.submit(587, message, password=f"{old}-new")
            return bool(outcome["code"] == 250)

        eventually_sync(works, within=120, what="the new password works", pause=1)
        (refused,) = gateway.submit(587, message, password=old)
        assert refused["code"] == 535
    finally:
        gateway.kube("patch", "secret", f"{gateway.name}-logins", f'-p={{"stringData":{{"app":"{old}"}}}}')
    eventually_sync(lambda: gateway.submit(587, message)[0]["code"] == 250, within=120, what="the old password works again", pause=1)


@pytest.fixture
def shop(gateway: Gateway) -> Iterator[str]:
    """The name of a Secret of logins that the test makes, and that the gateway knows nothing of before and after."""
    name = f"{gateway.name}-shop"
    yield name
    refer(gateway)
    gateway.kube("delete", "secret", name, "--ignore-not-found")


def refer(gateway: Gateway, *further: dict[str, Any]) -> None:
    """Let the gateway have its own login and *further* sources."""
    logins = [{"secretRef": {"name": f"{gateway.name}-logins"}}, *further]
    gateway.kube("patch", "smtpgateway", gateway.name, "--type=merge", f"-p={json.dumps({'spec': {'logins': logins}})}")


@pytest.mark.timeout(600)
def test_a_login_is_added_changed_and_removed_without_a_restart(gateway: Gateway, sink: Kube, shop: str) -> None:
    """With a hashed password, and with a rule as whom it may send; the pod's containers stay the same all the while."""
    assert sink
    before = gateway.kube.get("pod", gateway.pod)

    def gets(code: int, password: str, author: str = "shop") -> Callable[[], bool]:
        data = f"From: {author}@example.com\r\nSubject: hashed\r\n\r\n\r\n".encode()
        message = world.message("shop@example.com", ["one@example.net"], data)
        return lambda: bool(gateway.submit(587, message, login="shop", password=password)[0]["code"] == code)

    assert gets(535, "first")()
    refer(gateway, {"secretRef": {"name": shop}, "allowedSenders": ["shop@example.com"]})
    for password in ("first", "second"):
        kept = bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()
        gateway.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": shop}, "stringData": {"shop": kept}})
        eventually_sync(gets(250, password), within=120, what=f"the {password} password works", pause=1)
    assert gets(535, "first")()

    assert gets(550, "second", "boss")()
    refer(gateway, {"secretRef": {"name": shop}, "allowedSenders": ["shop@example.com", "boss@example.com"]})
    eventually_sync(gets(250, "second", "boss"), within=120, what="another author is allowed", pause=1)

    gateway.kube("patch", "secret", shop, "--type=merge", '-p={"data":{"shop":null,"other":"c2VjcmV0"}}')
    eventually_sync(gets(535, "second"), within=120, what="the removed login is refused", pause=1)
    after = gateway.kube.get("pod", gateway.pod)
    assert (after["metadata"]["uid"], restarts(after)) == (before["metadata"]["uid"], restarts(before))


def kill_container(_: Kube, pod: dict[str, Any]) -> None:
    """Kill the operator's process. The kubelet starts a container again at once the first time, and waits longer each time after."""
    processes.kill(pod, "smtp-gateway-operator")


def delete_pod(kube: Kube, pod: dict[str, Any]) -> None:
    """Delete the operator's pod without grace. Another pod waits until its Lease has run out; a new start of the same container does not."""
    kube("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")


@pytest.mark.timeout(900)
@pytest.mark.lab
def test_killing_the_operator_costs_no_mail(gateway: Gateway, sink: Kube, stream: str) -> None:
    """SIGKILLed in the middle of a reconcile, its container or its whole pod, it completes what it had begun; mail goes on."""
    for round_, end in enumerate((kill_container, delete_pod, kill_container, kill_container)):
        pod = operator_pod(gateway.kube)
        change(gateway, 50 + round_)
        end(gateway.kube, pod)
        eventually_sync(lambda: is_brought_about(gateway), within=150, what="the change is brought about", pause=0.3)

    nothing_lost(gateway, sink, stream)


@pytest.mark.timeout(600)
@pytest.mark.lab
def test_an_api_server_that_restarts_costs_no_mail(gateway: Gateway, sink: Kube, stream: str) -> None:
    """While the API server is restarted in the middle of a reconcile mail goes on, and then the operator does, in the same process."""
    before = operator_pod(gateway.kube)
    count = len(world.acknowledged(gateway.kube, stream))
    change(gateway, 60)
    machines.restart("kube-apiserver")

    def is_back() -> bool:
        daemons.require_alive(layout.find_layout().run)
        try:
            return is_brought_about(gateway)
        except CommandError:
            return False

    eventually_sync(is_back, within=180, what="the change is brought about", pause=1)
    change(gateway, 61)
    eventually_sync(is_back, within=60, what="watches tell again", pause=1)
    after = operator_pod(gateway.kube)
    assert (after["metadata"]["uid"], restarts(after)) == (before["metadata"]["uid"], restarts(before))
    eventually_sync(lambda: len(acknowledged(gateway, stream)) > count, within=60, what="mail went on", pause=1)
    nothing_lost(gateway, sink, stream)


def restarts(pod: dict[str, Any]) -> int:
    """Return how often the containers of *pod* were started again."""
    return sum(one["restartCount"] for one in pod["status"]["containerStatuses"])


@pytest.fixture
def elsewhere(kube: Kube) -> Iterator[Kube]:
    """A namespace without gateways, for operators of the test's own."""
    other = kube.within(f"{kube.namespace}-two")
    other.apply(world.namespace(other.namespace))
    yield other
    other("delete", "namespace", other.namespace, "--wait=false")


@pytest.mark.timeout(400)
def test_a_second_operator_waits_for_the_first(elsewhere: Kube, operator: str, images: dict[str, str]) -> None:
    """Installed twice by mistake, one works; the other is alive, not ready, and says for whom it waits, until the first is gone."""
    assert operator
    for release in ("one", "two"):
        wait = ["--wait", "--timeout=120s"] if release == "one" else []
        elsewhere.helm("install", release, CHART, "--set=crds.enabled=false", *wait, *image_values(images))
    deployment = "deployment/two-smtp-gateway-operator"
    (first,) = (one for one in elsewhere.get("pod", "-l", SELECTOR) if one["metadata"]["name"].startswith("one-"))

    eventually_sync(lambda: first["metadata"]["name"] in logs(elsewhere, deployment), within=120, what="it says who works", pause=1)
    holder = elsewhere.get("lease", "smtp-gateway-operator")["spec"]["holderIdentity"]
    assert holder == f"{first['metadata']['name']}_{first['metadata']['uid']}"
    assert not elsewhere.get(deployment)["status"].get("readyReplicas")

    elsewhere.helm("uninstall", "one", "--wait")
    elsewhere("rollout", "status", deployment, "--timeout=60s")
    elsewhere.helm("uninstall", "two", "--wait")


def logs(kube: Kube, deployment: str) -> str:
    """Return what the operator says; nothing while its container is not there yet."""
    try:
        return kube("logs", deployment)
    except CommandError:
        return ""
