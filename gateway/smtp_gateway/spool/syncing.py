"""A file's sync that nobody waits for: by the kernel where it takes such requests, by a thread elsewhere.

Linux has fdatasync as an asynchronous request (io_submit(2) with IOCB_CMD_FDSYNC, since 4.18), and tells its end by an eventfd that the
event loop listens to. It is the same sync: it ends when the data is on the disk, with the same errors. No thread is woken for it:
measured, 25 to 45 microseconds of processor time for a sync where a thread takes 130.

What can go wrong: a request is not taken (another system or processor, a seccomp profile or a file system without them). Then nothing
was synced yet, a thread does it, from then on always, and one log line says so. A sync that was begun and failed is a failed sync, and is
never tried again here. Not io_uring, which could do the same: container runtimes forbid it by default, and allow io_submit.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = Callable[[BaseException | None], None]
    """Called in the event loop, once: with None, or with why nothing is known to be on the disk."""

_log = structlog.get_logger()

CALLS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}
"""The numbers of io_setup, io_destroy, io_getevents and io_submit by processor (asm/unistd.h), which glibc has no wrappers for."""
_IOCB = struct.Struct("=QIIHhIQQqQII")
"""data, key, rw_flags, opcode, priority, file, buffer, octets, offset, reserved, flags, eventfd (linux/aio_abi.h; little-endian)."""
_EVENT = struct.Struct("=QQqq")
"""data, iocb, result, result2."""
_FDSYNC, _RESFD = 3, 1


class Syncing:
    """Syncs of one file at a time, in the event loop that made it."""

    def __init__(self) -> None:
        """Ask the kernel whether it takes requests."""
        self._thread: ThreadPoolExecutor | None = None
        self._kernel: _Requests | None = None
        try:
            self._kernel = _Requests()
        except OSError as fault:
            self._by_thread(fault)

    def begin(self, descriptor: int, done: Done) -> None:
        """Make what was written to *descriptor* durable, and call *done* when it is."""
        if self._kernel is not None:
            try:
                self._kernel.fdatasync(descriptor, done)
            except OSError as fault:
                self._kernel.close()
                self._kernel = None
                self._by_thread(fault)
            else:
                return
        if self._thread is not None:
            self._thread.submit(_fdatasync, asyncio.get_running_loop(), descriptor, done)

    def close(self) -> None:
        """Let go. No sync may be under way."""
        if self._kernel is not None:
            self._kernel.close()
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _by_thread(self, reason: OSError) -> None:
        self._thread = ThreadPoolExecutor(1, "spool-sync")
        _log.info("syncs are made by a thread", reason=reason.strerror)


def _fdatasync(loop: asyncio.AbstractEventLoop, descriptor: int, done: Done) -> None:
    """Wait for a sync; in the thread. Without a future of the loop's, which costs more than a small group of messages."""
    fault: BaseException | None = None
    try:
        os.fdatasync(descriptor)
    except BaseException as raised:  # noqa: BLE001 whatever it is, those who wait must be told
        fault = raised
    loop.call_soon_threadsafe(done, fault)


class _Requests:
    """The kernel's asynchronous requests, one at a time."""

    def __init__(self) -> None:
        """Open a context. Raises `OSError`."""
        calls = CALLS.get(platform.machine())
        if calls is None:
            raise OSError(0, f"no requests are known for {platform.machine()}")
        setup, self._destroy, self._events, self._submit = calls
        self._system = ctypes.CDLL(None, use_errno=True).syscall
        self._context = ctypes.c_ulong(0)
        self._call(setup, 1, ctypes.byref(self._context))
        self._ended = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._request = ctypes.create_string_buffer(_IOCB.size)
        self._requests = (ctypes.c_void_p * 1)(ctypes.addressof(self._request))
        self._event = ctypes.create_string_buffer(_EVENT.size)
        self._done: Done | None = None
        asyncio.get_running_loop().add_reader(self._ended, self._look)

    def fdatasync(self, descriptor: int, done: Done) -> None:
        """Begin one. Raises `OSError` when the kernel does not take it, and then *done* is not called."""
        _IOCB.pack_into(self._request, 0, 0, 0, 0, _FDSYNC, 0, descriptor, 0, 0, 0, 0, _RESFD, self._ended)
        self._call(self._submit, self._context, ctypes.c_long(1), self._requests)
        self._done = done

    def close(self) -> None:
        """Give the context back."""
        asyncio.get_running_loop().remove_reader(self._ended)
        self._call(self._destroy, self._context)
        os.close(self._ended)

    def _look(self) -> None:
        """Take the result of the request that has ended."""
        os.eventfd_read(self._ended)
        self._call(self._events, self._context, ctypes.c_long(1), ctypes.c_long(1), self._event, None)
        *_, result, _ = _EVENT.unpack(self._event.raw)
        done, self._done = self._done, None
        if done is not None:
            done(OSError(-result, os.strerror(-result)) if result < 0 else None)

    def _call(self, number: int, *arguments: object) -> None:
        if self._system(ctypes.c_long(number), *arguments) < 0:
            fault = ctypes.get_errno()
            raise OSError(fault, os.strerror(fault))
