"""A gateway whose resource says `paused`: looked at, and not touched."""

from __future__ import annotations

from smtp_gateway_operator.cluster.api import EVENT, GATEWAY, SECRET, SERVICE, STATEFUL_SET
from smtp_gateway_operator.cluster.memory import Call
from tests.unit.operator.fleets import BACKLOG, Controlled
from tests.unit.operator.setting import KEY, Setting, ref


async def test_nothing_is_changed_while_paused(setting: Setting) -> None:
    """Changes of the resource and of its Secrets wait, a deleted child stays away, and the status and one Event say why."""
    await setting.reconcile(KEY)
    await setting.pods_become_ready()
    await setting.reconcile(KEY)
    service = await setting.get(SERVICE)
    await setting.cluster.delete(ref(SERVICE), service["metadata"]["uid"])
    before, events = await setting.versions(), len(setting.reasons())
    await setting.change(paused=True, hostname="other.example.com", replicas=3)

    await setting.reconcile(KEY)
    await setting.reconcile(KEY)

    assert await setting.versions() == before
    sentence = "spec.paused is true: nothing is changed, and no certificate renewed"
    assert await setting.condition("Progressing") == ("False", "Paused", sentence)
    assert (await setting.condition("Ready"))[:2] == ("False", "Paused")
    assert (await setting.condition("ConfigValid"))[0] == (await setting.condition("ReferencesResolved"))[0] == "True"
    assert setting.reasons()[events:] == [("Warning", "NotReady"), ("Warning", "Paused")]


async def test_the_pods_are_still_looked_at(setting: Setting) -> None:
    """The message says how many of the pods are ready, so that a pause hides no trouble."""
    await setting.reconcile(KEY)
    await setting.pods_become_ready()
    await setting.change(paused=True)

    await setting.reconcile(KEY)

    assert (await setting.condition("Ready"))[2].endswith("; 1 of 1 pods ready")


async def test_the_end_of_a_pause_brings_about_what_waited(setting: Setting) -> None:
    """Everything that changed meanwhile is made so, whatever it was."""
    await setting.reconcile(KEY)
    await setting.change(paused=True, replicas=3)
    await setting.cluster.patch(ref(SECRET, "app"), {"data": {"alice": "b3RoZXI="}})
    config = (await setting.get(SECRET, "mail-config-0"))["data"]
    await setting.reconcile(KEY)
    assert (await setting.get(SECRET, "mail-config-0"))["data"] == config

    await setting.change(paused=False)
    await setting.reconcile(KEY)

    assert (await setting.get(STATEFUL_SET))["spec"]["replicas"] == 3
    assert (await setting.get(SECRET, "mail-config-0"))["data"] != config
    assert (await setting.condition("Progressing"))[:2] == ("True", "RollingOut")


async def test_a_gateway_that_begins_paused_is_not_made(setting: Setting) -> None:
    """Nothing is created for it."""
    await setting.change(paused=True)

    await setting.reconcile(KEY)

    assert await setting.versions() == {"Secret app": "2"}
    assert (await setting.condition("Ready"))[:2] == ("False", "Paused")


async def test_a_pause_writes_nothing_but_the_status_and_events() -> None:
    """Volumes do not grow and get no notes, nobody is let go, drained or nudged, and a listener at risk is not closed, while it lasts."""
    setting = await Controlled.of(2)
    setting.cluster.expandable = {None}
    setting.queues[1] = BACKLOG
    await setting.heed()
    risky = {"name": "printers", "port": 25, "tls": "Opportunistic", "auth": "None", "allowedNetworks": ["10.0.0.0/8"]}
    await setting.change(paused=True, replicas=1, listeners=[risky], spool={"volume": {"size": "2Gi"}})
    setting.later(minutes=6)
    setting.cluster.calls.clear()

    await setting.reconcile(KEY)
    setting.later(minutes=6)
    await setting.look()

    writes = {call for call in setting.cluster.calls if call.verb not in {"get", "list"}}
    assert writes == {Call("patch/status", GATEWAY), Call("create", EVENT)}
    assert (await setting.condition("OpenRelayRisk"))[2].startswith("not to be opened, once something can be changed: printers")
