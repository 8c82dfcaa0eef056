"""Whatever happens in whatever order: no pod is let go with mail, and no volume with mail passes for drained."""

from __future__ import annotations

import random

import pytest

from smtp_gateway_operator.cluster.api import ORPHAN, POD, SECRET, STATEFUL_SET, VOLUME_CLAIM, ConflictError, Object, UnavailableError
from smtp_gateway_operator.names import ordinal
from smtp_gateway_operator.workqueue import Occasion, PutOffError
from tests.unit.operator.fleets import Controlled
from tests.unit.operator.setting import KEY, ref, resource

EVENTS = 150
"""What happens in one life; some hundred scale-ins and renewals over all lives."""


class Erratic(Controlled):
    """A fleet to which anything may happen between any two steps: pods load configurations late, calls fail, the operator restarts."""

    def __init__(self, seed: int) -> None:
        """Let *seed* decide."""
        super().__init__()
        self.chance = random.Random(seed)  # noqa: S311 it plays, it does not protect
        self.loaded: dict[int, tuple[str, int | None]] = {}
        """Of each pod, the hash of its configuration, and how many pods serve by it."""
        self.mail: dict[int, int] = {}
        """How many messages are on each volume."""
        self.shrunk = 0

    async def happens(self) -> None:
        """Let one thing happen."""
        things = (self.operator_works, self.operator_works, self.operator_looks, self.controller_works, self.pod_loads, self.pod_loads)
        rare = (self.scaled, self.mail_comes, self.mail_comes, self.mail_goes, self.mail_goes, self.pod_dies, self.operator_restarts)
        mishaps = (self.call_fails, self.pod_is_silent, self.template_changes, self.size_changes, self.workload_goes)
        await self.chance.choice((*things, *things, *rare, *mishaps))()
        await self.speak()
        await self.check()

    async def operator_works(self) -> None:
        """Reconcile, and do not mind a failure."""
        try:
            await self.reconcile(KEY)
        except PutOffError:
            self.reasons()

    async def operator_looks(self) -> None:
        """Look, and do not mind a failure."""
        try:
            await self.reconcile(KEY, Occasion.LOOK)
        except PutOffError:
            self.reasons()

    async def operator_restarts(self) -> None:
        """Forget everything."""
        self.reconcile = self.restarted()

    async def controller_works(self) -> None:
        """Make and remove pods."""
        if await self.exists(STATEFUL_SET, "mail"):
            await self.controlled()

    async def pod_loads(self) -> None:
        """Let a pod load the configuration of the moment."""
        if present := await self.present():
            number = self.chance.choice(present)
            self.loaded[number] = (await self.config_hash(), (await self.config()).get("serving"))

    async def scaled(self) -> None:
        """Scale."""
        await self.change(replicas=self.chance.choice((0, 1, 1, 2, 3, 4)))

    async def mail_comes(self) -> None:
        """Let a pod that takes mail have some."""
        if taking := [number for number in await self.present() if self._accepts(number)]:
            number = self.chance.choice(taking)
            self.mail[number] = self.mail.get(number, 0) + 1

    async def mail_goes(self) -> None:
        """Let all mail of a pod leave."""
        if present := await self.present():
            self.mail[self.chance.choice(present)] = 0

    async def pod_dies(self) -> None:
        """Take a pod away; it comes back with its volume, and with the configuration of that moment."""
        if present := await self.present():
            one = await self.get(POD, f"mail-{self.chance.choice(present)}")
            await super()._remove(one)

    async def call_fails(self) -> None:
        """Let one of the next writes fail."""
        kind = self.chance.choice((VOLUME_CLAIM, STATEFUL_SET, SECRET))
        self.cluster.fail("patch", self.chance.choice((UnavailableError("busy"), ConflictError("changed"))), kind)

    async def pod_is_silent(self) -> None:
        """Let a pod not answer, or answer again."""
        self.silent ^= {self.chance.randrange(4)}

    async def template_changes(self) -> None:
        """Let another image be wanted."""
        self.runs(f"example.com/smtp-gateway:{self.chance.randrange(3)}")

    async def size_changes(self) -> None:
        """Let volumes of another size be wanted: the StatefulSet is made anew for it."""
        await self.change(spool={"volume": {"size": self.chance.choice(("1Gi", "2Gi", "3Gi"))}})

    async def workload_goes(self) -> None:
        """Delete the StatefulSet without its pods, as the operator does; its successor comes later."""
        if await self.exists(STATEFUL_SET, "mail"):
            await self.cluster.delete(ref(STATEFUL_SET), (await self.get(STATEFUL_SET))["metadata"]["uid"], ORPHAN)

    async def _remove(self, one: Object) -> None:
        """Check that the controller takes no pod away that was scaled in with mail."""
        number = ordinal("mail", one["metadata"]["name"])
        assert number is not None
        if number >= await self.size() > 0:
            self.shrunk += 1
            assert not self.mail.get(number), f"mail-{number} was let go with {self.mail[number]} messages"
            assert not self._accepts(number), f"mail-{number} was let go while it took mail"
        self.loaded.pop(number, None)
        await super()._remove(one)

    async def _make(self, number: int, revision: str) -> None:
        await super()._make(number, revision)
        self.loaded[number] = (await self.config_hash(), (await self.config()).get("serving"))

    async def speak(self) -> None:
        """Let every pod say how it stands now."""
        self.fleet.says.clear()
        for number in await self.present():
            if number not in self.silent:
                queue = {"messages": self.mail.get(number, 0), "held": 0, "oldest": None, "lateness": 0}
                takes, config_hash = self._accepts(number), self.loaded[number][0]
                said = await self.said(number, accepting=takes, draining=not takes, config_hash=config_hash, queue=queue)
                self.fleet.says[f"mail-{number}"] = said

    def _accepts(self, number: int) -> bool:
        serving = self.loaded[number][1]
        return serving is None or number < serving

    async def present(self) -> list[int]:
        """Return which pods there are."""
        names = [one["metadata"]["name"] for one in await self.cluster.list(POD, KEY.namespace)]
        return [number for number in (ordinal("mail", name) for name in names) if number is not None]

    async def check(self) -> None:
        """Look at every volume."""
        present = await self.present()
        for number in range(4):
            if await self.exists(VOLUME_CLAIM, f"spool-mail-{number}") and (await self.noted(number))[1] == "true":
                assert not self.mail.get(number), f"spool-mail-{number} passes for drained with {self.mail[number]} messages"
                assert number not in present or not self._accepts(number), f"mail-{number} takes mail on a volume that passes for drained"


@pytest.mark.parametrize("seed", range(12))
async def test_no_mail_is_left_behind_whatever_happens(seed: int) -> None:
    """Scaled, renewed, killed, silent, restarted, refused by the API server, in any order; in the end the fleet is as wanted."""
    fleet = Erratic(seed)
    await fleet.given(resource(replicas=3))
    await fleet.operator_works()
    for _ in range(EVENTS):
        await fleet.happens()

    fleet.silent, fleet.mail = set(), {}
    await fleet.change(replicas=2)
    for _ in range(40):
        await fleet.operator_works()
        await fleet.controller_works()
        for number in await fleet.present():
            fleet.loaded[number] = (await fleet.config_hash(), (await fleet.config()).get("serving"))
        await fleet.speak()
    assert (await fleet.size(), (await fleet.condition("Ready"))[0]) == (2, "True")
