"""Every query of the dashboards, asked of Debian's Prometheus with the data of a loaded gateway and an operator."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from dashboards.committed import Choice, names, shown
from dashboards.picture import DPI, MARGIN, UNIT, WIDTH, picture
from dashboards.server import Span
from tests.support.observed import Observed, Pod, observed
from tests.support.prometheus import RATE_INTERVAL
from tests.support.waiting import DeadlinePassedError, eventually_sync
from tests.unit.operator.setting import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboards.server import Server

WITHIN = 60.0
"""Seconds for a gateway under load to have shown everything; some fifteen are usual."""
CHOICE = Choice(KEY.namespace, KEY.name, "mail-0", RATE_INTERVAL)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A gateway under load, an operator, and a Prometheus that scrapes them."""
    with observed(tmp_path_factory.mktemp("world")) as running:
        yield running


def unanswered(server: Server, asked: dict[str, str]) -> dict[str, str]:
    """Return those of *asked*, by panel, that have no series with a number now."""
    return {panel: query for panel, query in asked.items() if not any(one.points for one in server.now(query))}


def run_out_of_room(pod: Pod) -> None:
    """Let the spool fail until a message was postponed."""
    with pod.out_of_room():
        eventually_sync(lambda: any(code in {451, 452} for code in pod.send("you@there.example")), WITHIN, "the spool fails")


@pytest.mark.timeout(180)
def test_every_query_has_an_answer(world: Observed) -> None:
    """Each returns a series with a number in it, and none is one that Prometheus refuses; queries about faults are given their fault."""
    asked = {
        f"{board} / {panel.title} / {query}": query for board in names() for panel in shown(board) for query, _ in panel.queries(CHOICE)
    }
    assert len(asked) > 80

    left = asked

    def all_answered() -> bool:
        nonlocal left
        if any("postponed" in query for query in left.values()):
            run_out_of_room(world.pods[0])
        left = unanswered(world.server, left)
        return not left

    try:
        eventually_sync(all_answered, WITHIN, pause=0.5)
    except DeadlinePassedError:
        pytest.fail("no answer: " + "\n".join(left))


@pytest.mark.parametrize("board", names())
def test_a_dashboard_can_be_drawn(world: Observed, board: str) -> None:
    """With the same data each becomes a picture as tall as its grid, in which there is more to be seen than frames and titles."""
    now = time.time()

    drawn = Image.open(io.BytesIO(picture(board, world.server, CHOICE, Span(now - 20, now, 1)))).convert("RGB")

    lines = MARGIN + max(y + height for _, y, _, height in (panel.place for panel in shown(board)))
    assert drawn.size == (int(WIDTH * DPI), int(lines * UNIT * DPI))
    assert len(drawn.getcolors(drawn.width * drawn.height) or ()) > 50
