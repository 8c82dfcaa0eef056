"""Asking a gateway's pods how they stand, and nudging those that run an older configuration than they should.

What is remembered of each pod is what `status.told` and `fleet.refreshing` decide with; a restarted operator begins anew, and says
nothing wrong for it. A nudge that fails is no failure: the kubelet refreshes the volume by itself, only later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from smtp_gateway_operator.cluster.api import POD, ClusterError, Ref
from smtp_gateway_operator.fleet.api import running
from smtp_gateway_operator.fleet.refreshing import Nudge, next_nudge
from smtp_gateway_operator.names import REFRESH_ANNOTATION
from smtp_gateway_operator.status.told import Heard, Told, heard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from smtp_gateway.config.certificate import Pair
    from smtp_gateway_operator.cluster.api import Cluster, Object
    from smtp_gateway_operator.fleet.api import Fleet
    from smtp_gateway_operator.names import Key, Owner
    from smtp_gateway_operator.spec import PodReport, Route

NO_AUTHORITY = "the gateway's certificate authority is missing or damaged"


@dataclass(frozen=True, slots=True)
class Question:
    """Whom to ask, and what they should do."""

    owner: Owner
    pods: Sequence[Object]
    authority: Pair | None
    """None when there is none that could be used; then nobody can be asked."""
    config_hash: str
    """The configuration that pods should run; empty when it is not known."""
    routes: tuple[Route, ...] | None
    """The routes that the resource wants; None when it cannot be understood."""
    issued: bool
    """Whether the listeners' certificate is the operator's own."""


@dataclass(slots=True)
class _Remembered:
    """What is remembered of one gateway."""

    config_hash: str
    since: datetime
    heard: dict[str, Heard] = field(default_factory=dict)
    nudged: dict[str, Nudge] = field(default_factory=dict)
    silent_since: dict[str, datetime] = field(default_factory=dict)
    """For pods that gave no answer the last time."""


class Asking:
    """The operator's side of the conversation with all pods."""

    def __init__(self, fleet: Fleet, cluster: Cluster, now: Callable[[], datetime]) -> None:
        """Ask through *fleet* and nudge through *cluster*; *now* tells the time, aware."""
        self._fleet = fleet
        self._cluster = cluster
        self._now = now
        self._remembered: dict[Key, _Remembered] = {}
        self._log = structlog.get_logger()

    async def ask(self, question: Question) -> Told:
        """Ask every running pod, nudge those that are behind, and return what counts of it all."""
        now = self._now()
        answers = await self._answers(question)
        remembered = self._of(question, now)
        before = remembered.heard
        found = {pod: heard(before.get(pod), answer, now) for pod, answer in answers.items()}
        remembered.silent_since = silences(question.pods, answers, remembered, now)
        remembered.heard = {pod: one for pod, one in found.items() if one is not None}
        await self._nudge(question, remembered, now)
        return Told(
            reports={pod: one.report for pod, one in remembered.heard.items()},
            silent={pod: str(answers[pod]) for pod, one in found.items() if one is None},
            unanswered={pod: answer for pod, answer in answers.items() if isinstance(answer, str)},
            silent_since=remembered.silent_since,
            routes=question.routes,
            issued=question.issued,
            config_hash=question.config_hash,
            waited=(now - remembered.since).total_seconds(),
        )

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a gateway that is gone."""
        self._remembered.pop(key, None)
        self._fleet.forget(key)

    async def _answers(self, question: Question) -> dict[str, PodReport | str]:
        if question.authority is None:
            return {pod["metadata"]["name"]: NO_AUTHORITY for pod in running(question.owner, question.pods)}
        return await self._fleet.reports(question.owner, question.pods, question.authority)

    def _of(self, question: Question, now: datetime) -> _Remembered:
        """Return what is remembered of the gateway, with the time since when its configuration is wanted."""
        remembered = self._remembered.setdefault(question.owner.key, _Remembered(question.config_hash, now))
        if question.config_hash and question.config_hash != remembered.config_hash:
            remembered.config_hash, remembered.since, remembered.nudged = question.config_hash, now, {}
        return remembered

    async def _nudge(self, question: Question, remembered: _Remembered, now: datetime) -> None:
        """Nudge each pod that is due. Only pods that answer: the others have no configuration in force, or cannot say which."""
        for pod, one in remembered.heard.items():
            last = remembered.nudged.get(pod)
            nudge = next_nudge(question.config_hash, one.report.config_hash, last, now) if question.config_hash else None
            if nudge is not None:
                remembered.nudged[pod] = nudge
                await self._annotate(Ref(POD, question.owner.namespace, pod), nudge)

    async def _annotate(self, pod: Ref, nudge: Nudge) -> None:
        try:
            await self._cluster.patch(pod, {"metadata": {"annotations": {REFRESH_ANNOTATION: nudge.value}}})
        except ClusterError as error:
            self._log.warning("pod not nudged", pod=f"{pod.namespace}/{pod.name}", error=f"{type(error).__name__}: {error}")


def silences(pods: Sequence[Object], answers: Mapping[str, PodReport | str], remembered: _Remembered, now: datetime) -> dict[str, datetime]:
    """Return since when each of *pods* without an answer among *answers* has given none: its last one, or when it was missed first."""
    names = [pod["metadata"]["name"] for pod in pods]
    silent = [name for name in names if isinstance(answers.get(name, ""), str)]
    before = {pod: one.at for pod, one in remembered.heard.items()} | remembered.silent_since
    return {name: before.get(name, now) for name in silent}
