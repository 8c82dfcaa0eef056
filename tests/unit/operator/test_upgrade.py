"""An upgrade of the operator: its pods are of the image before, and cannot load what it renders for their successors."""

from __future__ import annotations

from smtp_gateway_operator.cluster.api import POD, SECRET, VOLUME_CLAIM
from tests.unit.operator.fleets import Controlled
from tests.unit.operator.setting import KEY, ref, report

AFTER = "example.com/smtp-gateway:2"
REFUSAL = "the configuration is not valid: extra inputs are not permitted"


class Upgraded(Controlled):
    """A fleet with time between two turns, and pods that refuse the configuration unless they are of the image `AFTER`."""

    async def heed(self) -> None:
        """Let time pass in which a refusal would be believed, and old pods say what they say of a configuration with unknown fields."""
        await super().heed()
        self.later(seconds=20)
        for one in await self.cluster.list(POD, KEY.namespace):
            name = one["metadata"]["name"]
            if name in self.fleet.says and self._revision(one) != AFTER:
                self.fleet.says[name] = report(name, config_hash="before", config_problem=REFUSAL)

    async def unsalted(self) -> None:
        """Leave the configuration as an operator wrote it that knew no salt."""
        await self.cluster.patch(ref(SECRET, "mail-config-0"), {"data": {"config.salt": None}})


async def ready_before() -> Upgraded:
    """Return a fleet that an operator of the release before brought about."""
    setting = Upgraded()
    before = await Controlled.of(3)
    setting.cluster, setting.fleet, setting.now = before.cluster, before.fleet, before.now
    await setting.unsalted()
    setting.reconcile = setting.restarted()
    return setting


async def test_pods_that_cannot_load_the_configuration_are_replaced() -> None:
    """Nothing waits for them to load it, which they never will; and what ends by itself is no Warning about the configuration."""
    setting = await ready_before()

    setting.runs(AFTER)
    await setting.settle()

    assert await setting.revisions() == [AFTER, AFTER, AFTER]
    assert (await setting.condition("Ready"))[0] == "True"
    assert ("Warning", "NotLoadable") not in setting.reasons()


async def test_a_refusal_is_told_when_the_upgrade_is_stuck() -> None:
    """Then old pods go on for longer than anybody expects, and logins that change meanwhile do not reach them."""
    setting = await ready_before()
    setting.runs("example.com/smtp-gateway:broken")
    setting.broken = "example.com/smtp-gateway:broken"
    await setting.settle()
    assert (await setting.condition("ConfigValid"))[0] == "True"

    setting.later(minutes=3)
    await setting.reconcile(KEY)

    assert (await setting.condition("Progressing"))[:2] == ("False", "RolloutStalled")
    assert (await setting.condition("ConfigValid"))[:2] == ("False", "NotLoadable")


async def test_a_refusal_of_pods_that_nobody_replaces_is_told() -> None:
    """The image is as it was: these pods will never load it."""
    setting = await ready_before()
    await setting.settle()

    await setting.reconcile(KEY)

    assert (await setting.condition("ConfigValid"))[:2] == ("False", "NotLoadable")


async def test_a_configuration_without_a_salt_gets_one_and_no_pod_restarts() -> None:
    """It is loaded once more, that is all."""
    setting = await Controlled.of(2)
    before = [one["metadata"]["uid"] for one in await setting.cluster.list(POD, KEY.namespace)]
    unsalted = await setting.config_hash()
    await setting.cluster.patch(ref(SECRET, "mail-config-0"), {"data": {"config.salt": None}})

    setting.reconcile = setting.restarted()
    await setting.settle()

    assert await setting.config_hash() != unsalted
    assert [one["metadata"]["uid"] for one in await setting.cluster.list(POD, KEY.namespace)] == before
    assert (await setting.condition("Ready"))[0] == "True"


async def test_everything_at_once_ends() -> None:
    """Volumes grow, a listener is withheld and pods that refuse their configuration are replaced, all by one change."""
    setting = await ready_before()
    setting.cluster.expandable = {None}
    risky = {"name": "printers", "port": 25, "tls": "Opportunistic", "auth": "None", "allowedNetworks": ["10.0.0.0/8"]}
    submission = {"name": "submission", "port": 587}

    setting.runs(AFTER)
    await setting.change(listeners=[submission, risky], spool={"volume": {"size": "2Gi"}})
    for _ in range(3):
        await setting.put_off()
    await setting.settle()

    assert await setting.revisions() == [AFTER, AFTER, AFTER]
    assert (await setting.condition("Progressing"))[:2] == ("True", "ResizingVolumes")
    assert (await setting.condition("OpenRelayRisk"))[:2] == ("True", "WideNetwork")
    assert (await setting.condition("Ready"))[:2] == ("False", "WideNetwork")
    assert [one["name"] for one in (await setting.status())["endpoints"]] == ["submission"]
    claims = await setting.cluster.list(VOLUME_CLAIM, KEY.namespace)
    assert [one["spec"]["resources"]["requests"]["storage"] for one in claims] == ["2Gi", "2Gi", "2Gi"]
    assert ("Warning", "NotLoadable") not in setting.reasons()
