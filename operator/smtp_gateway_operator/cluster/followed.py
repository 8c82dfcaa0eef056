"""Objects that gateways refer to by name: each is followed by a watch of its own, of that name alone, for as long as one refers to it.

So a rotated password is in force at once, and nobody's other Secrets are ever read. A watch begins with a list of the one name, goes on
from where it ended, begins anew when that is forgotten (410), and waits between failures, longer each time and never all together.

What can go wrong: an object whose watch has failed for longer than `TRUSTED` is not known any more, and read live until it works again.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from smtp_gateway_operator.cluster.api import ClusterError, ExpiredError, News, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from smtp_gateway_operator.cluster.api import Object, Ref, Snapshot, Watching
    from smtp_gateway_operator.names import Key

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
"""Seconds before the next attempt after one failure, and after many; shortened at random by up to a half."""
TRUSTED = 180.0
"""Seconds for which an object is taken to be as it was when its watch was last heard: thrice the time between bookmarks."""


@dataclass(slots=True)
class _Object:
    """What is known of one object."""

    task: asyncio.Task[None] | None = None
    gateways: set[Key] = field(default_factory=set)
    body: Object | None = None
    version: str = ""
    heard: float | None = None
    """When its watch last told anything; None before the first list."""


class Followed:
    """The objects that any gateway refers to."""

    def __init__(self, cluster: Watching, changed: Callable[[Key], object], clock: Callable[[], float]) -> None:
        """Call *changed* for each gateway that refers to an object that became another one; *clock* never jumps."""
        self._cluster = cluster
        self._changed = changed
        self._clock = clock
        self._objects: dict[Ref, _Object] = {}
        self._log = structlog.get_logger()

    def __len__(self) -> int:
        """Return how many objects are followed."""
        return len(self._objects)

    def follow(self, gateway: Key, refs: Iterable[Ref]) -> None:
        """Follow what *gateway* refers to now, and nothing else on its behalf."""
        wanted = set(refs)
        for ref in [ref for ref, one in self._objects.items() if gateway in one.gateways and ref not in wanted]:
            self._leave(ref, gateway)
        for ref in wanted:
            one = self._objects.setdefault(ref, _Object())
            one.gateways.add(gateway)
            if one.task is None:
                one.task = asyncio.create_task(self._attend(ref, one), name=f"watch of {ref}")

    def knows(self, ref: Ref) -> bool:
        """Tell whether `get` answers for *ref*, also that there is no such object."""
        one = self._objects.get(ref)
        return one is not None and one.heard is not None and self._clock() - one.heard <= TRUSTED

    def get(self, ref: Ref) -> Object | None:
        """Return the object as its watch told it. Call only for what is known."""
        return self._objects[ref].body

    async def close(self) -> None:
        """End every watch."""
        tasks = [one.task for one in self._objects.values() if one.task is not None]
        self._objects.clear()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def _leave(self, ref: Ref, gateway: Key) -> None:
        one = self._objects[ref]
        one.gateways.discard(gateway)
        if not one.gateways:
            del self._objects[ref]
            if one.task is not None:
                one.task.cancel()

    async def _attend(self, ref: Ref, one: _Object) -> None:
        failures = 0
        while True:
            heard, wait = one.heard, 0.0
            try:
                await self._watch(ref, one)
            except ExpiredError:
                one.version = ""
            except UnavailableError as error:
                wait = error.retry_after
            except ClusterError as error:  # may not be read, or its namespace is gone: said by the status, and tried again
                one.version, one.heard = "", None
                self._log.warning("watch failed", object=str(ref), namespace=ref.namespace, error=f"{type(error).__name__}: {error}")
            failures = failures + 1 if one.heard in (None, heard) else 0
            if failures:
                await asyncio.sleep(max(_wait(failures), wait))

    async def _watch(self, ref: Ref, one: _Object) -> None:
        if not one.version:
            self._take(one, await self._cluster.snapshot_of(ref))
        async for news in self._cluster.watch(ref, one.version):
            one.heard = self._clock()
            if isinstance(news, News):
                one.version = news.body["metadata"]["resourceVersion"]
                self._become(one, None if news.deleted else news.body)
            else:
                one.version = news

    def _take(self, one: _Object, snapshot: Snapshot) -> None:
        one.version, one.heard = snapshot.version, self._clock()
        self._become(one, next(iter(snapshot.objects), None))

    def _become(self, one: _Object, body: Object | None) -> None:
        """Take the object as it is now, and tell those who refer to it when it is another."""
        before, one.body = one.body, body
        if _content(before) != _content(body):
            for gateway in one.gateways:
                self._changed(gateway)


def _content(body: Object | None) -> Object | None:
    """Return what a gateway may depend on; labels and annotations of a Secret change nothing."""
    return None if body is None else {"uid": body["metadata"]["uid"], "data": body.get("data"), "type": body.get("type")}


def _wait(failures: int) -> float:
    longest: float = min(FIRST_WAIT * 2.0 ** (failures - 1), LONGEST_WAIT)
    return longest * (1 - random.random() / 2)  # noqa: S311 it spreads load and keeps no secret
