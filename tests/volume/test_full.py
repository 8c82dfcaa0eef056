"""Volumes that are full: by mail, by somebody else, before the start; whatever is in the spool gets out, and new mail in again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.spool.api import FULL
from tests.volume.mail import Sent, Site, site
from tests.volume.volumes import volume

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.around import NextHop

NO_ROOM = {452}
KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Filling:
    """What fills a volume."""

    mebibytes: int
    sizes: tuple[int, ...]
    clients: int
    reserve: int | None = None


FILLINGS = {
    "large mail, then small": Filling(64, (MIB, 16 * KIB), clients=1),
    "large mail at once": Filling(48, (3 * MIB, 300_000, 40 * KIB), clients=8),
    "small mail in the index": Filling(24, (50_000,), clients=8),
    "small mail and the least reserve": Filling(24, (100_000,), clients=2, reserve=1),
}


@pytest.mark.parametrize("filling", FILLINGS.values(), ids=FILLINGS)
async def test_a_volume_full_of_mail_refuses_more_and_delivers_all_of_it(tmp_path: Path, hop: NextHop, filling: Filling) -> None:
    """452 and not ready, however long the next hop stays away; then everything acknowledged arrives once, and mail is taken again."""
    with volume(tmp_path, filling.mebibytes):
        async with site(tmp_path, hop, filling.reserve) as here:
            sent = Sent()
            await here.fill(sent, *filling.sizes, clients=filling.clients)
            await here.deferrals(many(sent))
            while here.gateway.not_ready() is None:  # large mail that was refused has left room
                await here.fill(sent, filling.sizes[-1], clients=1)
                await here.deferrals(many(sent))
            await here.is_not_ready(FULL)
            hop.open()
            await here.arrives(sent)

            assert sent.codes == NO_ROOM
            assert len(sent.taken) >= 5
            await takes_again(here)


def many(sent: Sent) -> int:
    """Return a number of deferrals that take more room in the log than a small volume has in reserve."""
    return min(20 * len(sent.taken), 800)


async def takes_again(here: Site) -> None:
    """Demand that the gateway becomes ready, and that new mail arrives."""
    await here.becomes_ready()
    again = Sent()
    await here.send(again, "again-", MIB, most=1)
    assert again.codes == set()
    await here.arrives(again)


async def test_others_may_take_all_that_is_left_of_a_volume(tmp_path: Path, hop: NextHop) -> None:
    """With every block taken, new mail is refused, old mail is deferred, delivered and settled; the ballast pays for it and is held again."""
    with volume(tmp_path, 64) as disk:
        async with site(tmp_path, hop) as here:
            sent = Sent()
            await here.send(sent, "small-", 30_000, most=100)
            await here.send(sent, "large-", MIB, most=10)
            others = disk.give_to_others()
            await here.is_not_ready(FULL)
            await here.deferrals(many(sent))
            await here.send(sent, "refused-", 1_000)
            hop.open()
            await here.arrives(sent)
            others.unlink()
            await takes_again(here)

            assert len(sent.taken) == 110
            assert sent.codes == NO_ROOM
            assert (disk.path / "ballast").exists()


@pytest.mark.parametrize("who", ["others", "bodies/0-cut.unfinished"])
async def test_a_start_on_a_full_volume_delivers_what_is_in_it(tmp_path: Path, hop: NextHop, who: str) -> None:
    """The gateway starts although nothing is left, by somebody else or by bodies that a crash cut short; everything arrives."""
    with volume(tmp_path, 48) as disk:
        async with site(tmp_path, hop) as here:
            sent = Sent()
            await here.send(sent, "small-", 30_000, most=100)
            await here.send(sent, "large-", MIB, most=10)
        disk.give_to_others().rename(disk.path / who)
        async with site(tmp_path, hop) as here:
            await here.deferrals(2 * len(sent.taken))
            hop.open()
            await here.arrives(sent)
            (disk.path / who).unlink(missing_ok=True)
            await takes_again(here)

            assert len(sent.taken) == 110
