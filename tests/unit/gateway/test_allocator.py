"""What the C library is told about memory."""

from __future__ import annotations

import subprocess
import sys

from smtp_gateway import allocator
from smtp_gateway.delivery import wire
from smtp_gateway.spool import bodies

_LOOK = """
from ctypes import CDLL, c_size_t, c_void_p
from smtp_gateway import allocator
library = CDLL(None)
library.malloc.restype, library.malloc.argtypes, library.free.argtypes = c_void_p, [c_size_t], [c_void_p]
if {tuned}:
    assert allocator.tune()
first = library.malloc(allocator.MAPPED)
library.free(first)
second = library.malloc(allocator.MAPPED)
maps = open("/proc/self/maps").read().splitlines()
begin, _, end = next(line for line in maps if line.endswith("[heap]")).split()[0].partition("-")
print(int(begin, 16) <= second < int(end, 16))
"""


def in_heap(*, tuned: bool) -> bool:
    """Tell whether a block of `MAPPED` comes from the heap once one was given back, in a fresh process."""
    found = subprocess.run([sys.executable, "-c", _LOOK.format(tuned=tuned)], check=True, capture_output=True, text=True, timeout=60)
    return found.stdout.strip() == "True"


def test_blocks_of_tls_are_mapped_for_themselves() -> None:
    """Without the setting the second one comes from the heap, where memory is that was used before."""
    assert in_heap(tuned=False)
    assert not in_heap(tuned=True)


def test_blocks_of_bodies_are_not() -> None:
    """Mapping and faulting in each of them would cost a third of a large message's processor time."""
    assert max(wire.BLOCK, bodies.BLOCK) + sys.getsizeof(b"") + len(wire.BodyCheck()._before) < allocator.MAPPED  # noqa: SLF001 what a check puts before a block
