"""Noting on volume claims what mail is on them; `steps.volumes` says what and when.

What is remembered is when a count was written last, which only saves writes. A note before a step has to be written, or the step is not
taken; one after a look is a courtesy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from smtp_gateway_operator import names
from smtp_gateway_operator.cluster.api import VOLUME_CLAIM, ClusterError, Ref
from smtp_gateway_operator.steps.volumes import SELDOM, after_look, before_step, claims_by_ordinal, taken_back

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from smtp_gateway_operator.cluster.api import Cluster, Object
    from smtp_gateway_operator.names import Key, Owner
    from smtp_gateway_operator.steps.volumes import Counted

    Claims = dict[int, Object]


class Noting:
    """The writer of notes on every gateway's volume claims."""

    def __init__(self, cluster: Cluster, now: Callable[[], datetime]) -> None:
        """Write to *cluster*; *now* tells the time, aware."""
        self._cluster = cluster
        self._now = now
        self._written: dict[Key, dict[int, datetime]] = {}
        self._log = structlog.get_logger()

    async def claims(self, owner: Owner) -> Claims:
        """Return the claims of the gateway's pods by ordinal, those that a smaller fleet or a deleted namesake left included."""
        found = await self._cluster.list(VOLUME_CLAIM, owner.namespace, names.children_selector(owner.name))
        return claims_by_ordinal(owner.name, found)

    async def serving(self, owner: Owner, claims: Claims, wanted: int) -> None:
        """Take back what must not stand on the volumes of a fleet that should be *wanted* pods. Updates *claims*."""
        for number, notes in taken_back(claims, wanted).items():
            claims[number] = await self._write(owner, number, notes)

    async def before_step(self, owner: Owner, claims: Claims, sizes: tuple[int, int], counted: Counted) -> None:
        """Note what has to stand there before the StatefulSet goes from the first of *sizes* to the second. Updates *claims*."""
        for number, notes in before_step(claims, sizes, counted).items():
            claims[number] = await self._write(owner, number, notes)

    async def after_look(self, owner: Owner, claims: Claims, size: int, counted: Counted) -> None:
        """Note how many messages the pods of a StatefulSet of *size* hold, if it is time for it. Updates *claims*."""
        now, written = self._now(), self._written.get(owner.key, {})
        recent = {number for number, at in written.items() if now - at < SELDOM}
        for number, notes in after_look(claims, size, counted, recent).items():
            try:
                claims[number] = await self._write(owner, number, notes)
            except ClusterError as error:
                claim = f"{owner.namespace}/{names.volume_claim(owner.name, number)}"
                self._log.warning("volume not noted", claim=claim, error=f"{type(error).__name__}: {error}")

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a gateway that is gone."""
        self._written.pop(key, None)

    async def _write(self, owner: Owner, number: int, notes: Mapping[str, str | None]) -> Object:
        claim = Ref(VOLUME_CLAIM, owner.namespace, names.volume_claim(owner.name, number))
        if names.MESSAGES_ANNOTATION in notes:
            self._written.setdefault(owner.key, {})[number] = self._now()
        return await self._cluster.patch(claim, {"metadata": {"annotations": dict(notes)}})
