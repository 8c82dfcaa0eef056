"""Volumes that fail: made read-only by the kernel, or with a device beneath that cannot write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.volume.mail import Sent, site
from tests.volume.volumes import thin_volume, volume

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.around import NextHop

LATER = {451}


async def test_a_volume_that_becomes_read_only_loses_nothing(tmp_path: Path, hop: NextHop) -> None:
    """New mail is left with its clients (451) and readiness says why; once the volume was repaired, all that was acknowledged arrives.

    The kernel does this when it finds a file system damaged. A person cannot: `mount -o remount,ro` is refused while a file is open for writing.
    """
    with volume(tmp_path, 48) as disk:
        async with site(tmp_path, hop) as here:
            sent = Sent()
            await here.send(sent, "small-", 30_000, most=50)
            await here.send(sent, "large-", 1_000_000, most=5)
            with pytest.raises(AssertionError, match="busy"):
                disk.remount("ro")
            disk.damage()
            await here.is_not_ready()
            await here.send(sent, "refused-", 1_000)
            await here.send(sent, "refused-", 1_000_000)
            await here.is_not_ready()

        assert sent.codes == LATER
        assert len(sent.taken) == 55
        disk.unmount()
        disk.check()
        disk.mount()
        async with site(tmp_path, hop) as here:
            await here.becomes_ready()
            hop.open()
            await here.arrives(sent)


async def test_a_device_that_cannot_write_loses_nothing_and_heals(tmp_path: Path, hop: NextHop) -> None:
    """What a sync failed for is left with its clients (451); once the device writes again, the spool heals, and all acknowledged mail arrives."""
    with thin_volume(tmp_path, 48) as thin:
        async with site(tmp_path, hop) as here:
            sent = Sent()
            await here.send(sent, "before-", 30_000, most=50)
            thin.exhaust(spare=500_000)
            await here.fill(sent, 30_000, clients=4)
            await here.is_not_ready()
            thin.replenish()
            await here.becomes_ready()
            hop.open()
            await here.arrives(sent)

            assert sent.codes == LATER
            assert len(sent.taken) >= 50
