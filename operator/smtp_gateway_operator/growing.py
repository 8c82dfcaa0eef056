"""Raising the requests of volume claims; `steps.growing` says which.

Whether a volume can grow is for its StorageClass to say (`allowVolumeExpansion`). The API server is asked by trying, because classes
belong to the whole cluster, and an operator of one namespace may not read them. What it refuses is remembered for `AGAIN`, which only saves
requests, and told by the status; nothing else waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from smtp_gateway_operator import names
from smtp_gateway_operator.cluster.api import VOLUME_CLAIM, ForbiddenError, Ref, RejectedError
from smtp_gateway_operator.steps.growing import to_change

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway_operator.cluster.api import Cluster, Object
    from smtp_gateway_operator.names import Key, Owner

AGAIN = timedelta(minutes=5)
"""After which a refused request is tried again: the class may have been changed."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """One request that the API server refused."""

    wanted: str
    message: str
    at: datetime


class Growing:
    """The writer of what every gateway's volume claims request."""

    def __init__(self, cluster: Cluster, now: Callable[[], datetime]) -> None:
        """Write to *cluster*; *now* tells the time, aware."""
        self._cluster = cluster
        self._now = now
        self._refused: dict[Key, dict[str, _Refused]] = {}
        """By the uid of the claim."""
        self._log = structlog.get_logger()

    async def grow(self, owner: Owner, claims: dict[int, Object], size: int, wanted: str) -> dict[int, str]:
        """Let the claims of a fleet of *size* request *wanted*. Returns the API server's words, by ordinal, where it refuses.

        Updates *claims*. Raises a `ClusterError` when the outcome is not known, or the claim is another one.
        """
        before, refused = self._refused.get(owner.key, {}), {}
        for number in to_change(claims, size, wanted):
            uid = claims[number]["metadata"]["uid"]
            known = before.get(uid)
            if known is None or known.wanted != wanted or self._now() - known.at >= AGAIN:
                known = await self._try(owner, claims, number, wanted)
            if known is not None:
                refused[number] = (uid, known)
        self._refused[owner.key] = dict(refused.values())
        return {number: one.message for number, (_, one) in refused.items()}

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a gateway that is gone."""
        self._refused.pop(key, None)

    async def _try(self, owner: Owner, claims: dict[int, Object], number: int, wanted: str) -> _Refused | None:
        ref = Ref(VOLUME_CLAIM, owner.namespace, names.volume_claim(owner.name, number))
        request = {"metadata": {"uid": claims[number]["metadata"]["uid"]}, "spec": {"resources": {"requests": {"storage": wanted}}}}
        try:
            claims[number] = await self._cluster.patch(ref, request)
        except (ForbiddenError, RejectedError) as error:
            self._log.warning("volume not resized", claim=f"{ref.namespace}/{ref.name}", size=wanted, error=str(error))
            return _Refused(wanted, str(error), self._now())
        self._log.info("volume resized", claim=f"{ref.namespace}/{ref.name}", size=wanted)
        return None
