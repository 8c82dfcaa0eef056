"""How the C library gives memory out, where it can be told (glibc's mallopt(3)).

uvloop has a block of 256 KiB for each connection under TLS, of which an idle one touches a page or two. Left to itself, glibc takes such
blocks from its heap as soon as the first was given back, and there they lie in memory that other things have used before: an idle
connection after STARTTLS and AUTH took 46 KiB, and takes 27 where each block is mapped for itself. What comes and goes with every large
body has to be smaller than that, because mapping it would cost a third of the processor time of such a message (docs/decisions/0035).
"""

from __future__ import annotations

import ctypes

MAPPED = 256 * 1024
"""Octets from which a block is mapped for itself: uvloop's `SSL_READ_MAX_SIZE`. Blocks of bodies have to be smaller."""
KEPT = 8 * 1024 * 1024
"""Octets at the end of the heap that are kept for the next large body. Told, because telling the other would make it 128 KiB for good."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The parameters' numbers (malloc.h)."""


def tune() -> bool:
    """Tell the C library; False where it has no such setting, as musl has none."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_THRESHOLD, MAPPED) and mallopt(_TRIM_THRESHOLD, KEPT))
