"""What the spool's volume still has: for new mail, and for what must go on when new mail is refused.

**The reserve.** New mail may use what is left of the volume beside a *reserve*: room for the log and for the growth of the index that the
settlements of old mail need, so that a full volume delivers what it holds. Half of the reserve is held physically, by a file of
allocated blocks (the *ballast*, `smtp_gateway.spool.ballast`), because a volume may be filled by others; it is given up when SQLite finds
no room all the same, and held again once there is room.

**What counts.** What the file system has left says nothing about what was promised to bodies on their way, and nothing about the pages in the
log, which the index has to grow by before the log can begin anew. Both are taken off. Between two looks at the volume what was written
is counted, too high rather than too low, so that no burst of mail can use the reserve.

**The log** may be as large as the reserve allows while the volume is short of room, and is moved into the index before its pages are more
than the volume could take in.
"""

from __future__ import annotations

from dataclasses import dataclass

RESERVE = 16 * 1024 * 1024
"""Octets of the volume that new mail may not use unless it is configured."""
PART = 20
"""... or the twentieth part of a small volume."""
LEAST = 4 * 1024 * 1024
"""... but never less: a quarter for the log, as much for its pages in the index, and for a group of settlements beyond both."""
BALLAST = RESERVE // 2
"""Octets of the ballast at most: twice the log of a volume that is short of room."""
ROW = 128 * 1024
"""Octets that a message's rows may take in the log when it is a group of its own: eight pages of 16 KB; in a larger group they are shared."""
ROUNDED = 4096
"""Octets by which a body and its rows are longer in the index, about."""
FEW = 256 * 1024
"""Octets left for new mail at which the volume counts as full: there is room for a small message or two. It then counts as full until
half a reserve more is left, because what a turn of the log gives back would make it full and not full by turns."""
SCARCE = 128 * 1024 * 1024
"""Octets left on the volume below which the log is kept short: twice what it may be elsewhere (`smtp_gateway.spool.writer.LOG_HARD`)."""
_GROWTH = 4
"""The part of what is left by which the index may have to grow before the log is moved: a quarter, so that a burst does not outrun it."""


def reserve_of(size: int, configured: int | None) -> int:
    """Return the octets that new mail may not use of a volume of *size* octets."""
    return max(min(RESERVE, size // PART) if configured is None else configured, LEAST)


def ballast_of(reserve: int) -> int:
    """Return the part of *reserve* that is held physically."""
    return min(reserve // 2, BALLAST)


def cost_of(octets: int) -> int:
    """Return what a body of *octets* in the index takes at most: once in the log and once in the index, with its rows."""
    return 2 * octets + ROW


@dataclass(frozen=True, slots=True)
class Volume:
    """What the file system says."""

    size: int
    left: int
    """Octets that nobody has."""
    ballast: int = 0
    """Octets that the ballast holds."""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the volume found."""

    volume: Volume
    log: int
    """Octets of the log's file."""
    growth: int
    """Octets that the index grows by when the log is moved into it."""
    reserve: int

    @property
    def wants_ballast(self) -> bool:
        """Whether the ballast is not what it should be, and could be."""
        wanted, there = ballast_of(self.reserve), self.volume.ballast
        return not wanted <= there <= wanted + FEW and self.volume.left + there >= self.reserve + self.growth

    @property
    def spare(self) -> int:
        """Octets for new mail; below zero when the reserve is being used."""
        return self.volume.left - self.growth - max(self.reserve - self.volume.ballast, 0)


class Room:
    """The account of the volume between two looks. Belongs to the event loop."""

    def __init__(self, look: Look) -> None:
        """Begin with what *look* found."""
        self.full = False
        """Whether there is no room for new mail."""
        self.written = 0
        """Octets that went to the volume so far: a reading of it is taken when a look begins, for `see`."""
        self._promised = 0
        self.see(look, 0)

    @property
    def free(self) -> int:
        """Octets for new mail."""
        return max(self.look.spare - self.since - self._promised, 0)

    @property
    def since(self) -> int:
        """Octets that went to the volume since the last look began."""
        return self.written - self._at_look

    def log_is_due(self, log: int, soft: int, hard: int) -> bool:
        """Tell whether a log of *log* octets is to be moved into the index although there is work.

        *soft* bounds the log of a volume that is short of room, *hard* that of others.
        """
        left = self.look.volume.left - self.since
        return log > (soft if left < SCARCE else hard) or self.look.growth * _GROWTH > left

    def see(self, look: Look, written: int) -> None:
        """Go on from *look*, which began when *written* octets had gone to the volume."""
        self.look, self._at_look = look, written
        self.full = self.free < (FEW + look.reserve // 2 if self.full else FEW)

    def promise(self, octets: int) -> None:
        """Set *octets* aside for somebody, who has seen that they are there."""
        self._promised += octets
        self.full = self.full or self.free < FEW

    def release(self, octets: int, written: int = 0) -> None:
        """End the promise of *octets*, *written* of which went to the volume instead."""
        self._promised -= octets
        self.written += written
