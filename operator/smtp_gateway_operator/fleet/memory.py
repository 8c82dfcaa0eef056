"""The twin of the pods' admin ports for tests: pods say what the test says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from smtp_gateway_operator.fleet.api import running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.config.certificate import Pair
    from smtp_gateway_operator.fleet.api import Pod
    from smtp_gateway_operator.names import Key, Owner
    from smtp_gateway_operator.spec import PodReport


class MemoryFleet:
    """The port `Fleet` in memory."""

    def __init__(self) -> None:
        """Start with pods that nobody gave words to."""
        self.says: dict[str, PodReport | str] = {}
        """By the name of a pod, its report, or why it gives none."""
        self.asked: list[str] = []
        """Which pods were asked so far, in order."""
        self.answers = asyncio.Event()
        """Set while pods answer at all."""
        self.answers.set()
        self.waiting = 0
        """How many questions wait for an answer."""
        self.forgotten: list[Key] = []
        """Which gateways are gone."""

    async def reports(self, owner: Owner, pods: Sequence[Pod], authority: Pair) -> dict[str, PodReport | str]:
        """See `Fleet`."""
        del authority  # which the real thing needs for its handshakes
        names = [str(pod["metadata"]["name"]) for pod in running(owner, pods)]
        self.asked += names
        self.waiting += 1
        try:
            await self.answers.wait()
        finally:
            self.waiting -= 1
        return {name: self.says.get(name, "connection refused") for name in names}

    def forget(self, key: Key) -> None:
        """See `Fleet`."""
        self.forgotten.append(key)
