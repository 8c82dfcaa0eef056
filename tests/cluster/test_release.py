"""The life of the chart's release: installed in the previous version, upgraded, rolled back, uninstalled, installed again.

The definition of the resource belongs to the whole cluster, and goes back with the chart: these tests come before all others
(`tests/cluster/conftest.py`), while no other operator is there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cluster.test_life import renewed
from tests.support import world
from tests.support.fleets import WITHIN, arrive, progress, uids, until_settled
from tests.support.gateways import Gateway
from tests.support.kube import CommandError
from tests.support.releases import RELEASE, Release, previous_version
from tests.support.stream import Stream
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.kube import Kube

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

PODS = ("mail-0", "mail-1")
KEPT = 10
"""Messages that are kept in the queue of each pod."""
LATER = "later.example"
"""The domain of mail whose next hop is away."""


@pytest.fixture(scope="module")
def release(kube: Kube, images: dict[str, str], further: Callable[[str], Kube]) -> Iterator[Release]:
    """The release in the previous version, in a namespace of its own with a pod to send mail from."""
    assert not kube.exists("deployment", RELEASE), "the operator of other tests is there already: its definition would go back"
    own = further("release")
    own.apply(*world.client(images["gateway"]))
    release = Release(own, previous_version(), images)
    release.install_previous()
    own("rollout", "status", "deployment/client", "--timeout=120s")
    yield release
    if release.installed:
        release.uninstall()


@pytest.fixture(scope="module")
def gateway(release: Release, sink: Kube) -> Iterator[Gateway]:
    """A gateway of two pods, made in the previous version; mail to one domain has a next hop of its own, which can go away."""
    reach(sink, "sink")
    gateway = Gateway(release.kube, "mail", f"sink.{sink.namespace}.svc")
    (login, resource) = gateway.manifest(replicas=2)
    (default,) = resource["spec"]["routes"]
    hop = {"host": f"later.{sink.namespace}.svc", "port": 25, "tls": "None"}
    later = {**default, "name": "later", "match": {"recipientDomains": [LATER]}, "smarthosts": [hop]}
    release.kube.apply(login, {**resource, "spec": {**resource["spec"], "routes": [later, default]}})
    gateway.wait("condition=Ready")
    yield gateway
    gateway.delete()


@pytest.fixture
def away(sink: Kube, gateway: Gateway) -> Iterator[Kube]:
    """The next hop of `LATER`, away."""
    assert gateway
    reach(sink, "nobody")
    yield sink
    reach(sink, "sink")


def reach(sink: Kube, app: str) -> None:
    """Let the next hop of `LATER` be the pods of *app*."""
    port = {"name": "tcp-mail", "port": 25, "appProtocol": "tcp"}
    sink.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "later"}, "spec": {"selector": {"app": app}, "ports": [port]}})


def keep(gateway: Gateway, token: str, pods: tuple[str, ...] = PODS) -> set[str]:
    """Put mail that has to wait into the queue of each of *pods*; return the Subjects."""
    kept = set()
    for pod in pods:
        subjects = [f"Subject: {token} {pod} {number:02}" for number in range(KEPT)]
        messages = [world.message("app@example.com", [f"one@{LATER}"], f"{subject}\r\n\r\n".encode()) for subject in subjects]
        host = f"{pod}.{gateway.name}-pods.{gateway.kube.namespace}.svc"
        assert {outcome["code"] for outcome in gateway.submit(587, *messages, host=host)} == {250}
        kept.update(subjects)
    return kept


def current(release: Release, gateway: Gateway) -> None:
    """Have this version installed, and every pod run it."""
    if not release.current:
        release.upgrade()
    eventually_sync(lambda: all(runs(gateway, pod, release.images) for pod in PODS), within=WITHIN, what="this version", pause=0.5)
    until_settled(gateway, len(PODS))


def grows(stream: Stream) -> None:
    """Wait until more mail is taken."""
    taken = len(stream.acknowledged)
    eventually_sync(lambda: len(stream.acknowledged) > taken, within=60, what="mail is taken", pause=0.2)


def reached(sink: Kube, kept: set[str]) -> None:
    """Wait until the mail that was *kept* has arrived."""
    reach(sink, "sink")
    eventually_sync(lambda: kept <= world.subjects(sink), within=WITHIN, what="kept mail arrives", pause=1)


def only_put_off(stream: Stream) -> None:
    """Demand that clients met nothing worse than a temporary reply, or a connection that ended: no other code, no wrong certificate."""
    worse = [said for said in stream.refusals if said[0] // 100 not in {0, 4} or "CERTIFICATE_VERIFY_FAILED" in said[1]]
    assert not worse


def runs(gateway: Gateway, pod: str, images: Mapping[str, str]) -> bool:
    """Tell whether *pod* takes mail, and has the gateway's image of *images*."""
    if not gateway.kube.exists("pod", pod):
        return False
    found = gateway.kube.get("pod", pod)
    ready = {one["type"]: one["status"] for one in found["status"].get("conditions", [])}.get("Ready")
    return bool(ready == "True" and found["spec"]["containers"][0]["image"] == images["gateway"])


def says_too_new(gateway: Gateway, pod: str) -> bool:
    """Tell whether a start of *pod* ended with the word that its queue is of a newer version; the latest may be under way."""
    try:
        said = [gateway.kube("logs", pod, "--tail=5", *which) for which in ([], ["--previous"])]
    except CommandError:  # no start has ended yet
        return False
    return any("was written by a newer version of the gateway" in one for one in said)


def test_an_upgrade_goes_pod_by_pod_and_loses_nothing(release: Release, gateway: Gateway, away: Kube) -> None:
    """From the previous version, one pod away at a time, under mail: what its queues held arrives, and all that was taken meanwhile."""
    kept, before = keep(gateway, "previous"), uids(gateway)
    down: set[int] = set()
    with Stream(gateway, "upgraded") as stream:
        grows(stream)
        release.upgrade()
        eventually_sync(lambda: renewed(gateway, before, down), within=WITHIN, what="every pod is a new one", pause=0.3)
        until_settled(gateway, len(PODS))
        grows(stream)
    reached(away, kept)
    arrive(stream, away)

    assert all(runs(gateway, pod, release.images) for pod in PODS)
    assert max(down) <= 1
    assert gateway.kube.get("statefulset", gateway.name)["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == len(PODS)
    only_put_off(stream)


def test_a_rollback_stops_where_a_queue_is_too_new_and_loses_nothing(release: Release, gateway: Gateway, away: Kube) -> None:
    """A pod without mail goes back; one with mail leaves it alone and says why, while the other takes mail. Forward again, all arrives."""
    current(release, gateway)
    kept = keep(gateway, "rolled-back", PODS[:1])
    release.roll_back()
    eventually_sync(lambda: runs(gateway, PODS[1], release.previous), within=WITHIN, what="a pod without mail goes back", pause=0.3)
    with Stream(gateway, "returned") as stream:
        eventually_sync(lambda: says_too_new(gateway, PODS[0]), within=WITHIN, what="the pod says why it does not start", pause=0.3)
        eventually_sync(lambda: f"{PODS[0]}: " in progress(gateway)[2], within=WITHIN, what="the status has the pod", pause=0.3)
        grows(stream)
        release.upgrade()
        until_settled(gateway, len(PODS))
    reached(away, kept)
    arrive(stream, away)

    assert all(runs(gateway, pod, release.images) for pod in PODS)
    only_put_off(stream)


def test_what_an_uninstallation_leaves_is_found_again(release: Release, gateway: Gateway, away: Kube) -> None:
    """The definition, the gateways, their pods and volumes stay, and mail is taken; installed again, the operator takes all of it over."""
    current(release, gateway)
    kept, before = keep(gateway, "uninstalled"), uids(gateway)
    claims = sorted(claim["metadata"]["uid"] for claim in gateway.kube.get("pvc"))
    release.uninstall()

    assert gateway.kube.exists("crd", "smtpgateways.smtpgateway.io")
    assert not gateway.kube.exists("deployment", RELEASE)
    kept |= keep(gateway, "alone")

    release.install()
    gateway.kube("patch", "smtpgateway", "mail", "--type=merge", f"-p={json.dumps({'spec': {'limits': {'recipients': 77}}})}")
    until_settled(gateway, len(PODS))
    reached(away, kept)

    assert uids(gateway) == before
    assert sorted(claim["metadata"]["uid"] for claim in gateway.kube.get("pvc")) == claims
