"""The file operations of a real process, whoever makes them: Python, its threads, or SQLite in C.

`record` runs a program under strace and returns what it did to the files beneath one folder, as `Step`s in their order. A call has two
moments, because another thread may act between them: what a sync covers had ended before it began. What this module does not know
how to follow (a shared writable mapping, asynchronous I/O, a descriptor that is copied) raises `UntraceableError` rather than being overlooked.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

CALLS = (
    *("execve", "openat", "open", "creat", "close", "dup", "dup2", "dup3", "fcntl", "lseek"),
    *("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice", "ftruncate", "truncate", "fallocate"),
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    *("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "mmap", "io_submit", "io_uring_enter"),
)
"""Whatever changes files or makes changes durable, and what is needed to know which file a descriptor means."""
LONGEST = 64 * 1024 * 1024
"""Octets of one write that are recorded; more than any write has."""
_LINE = re.compile(r"(\d+) +(.*)")
_WHOLE = re.compile(r"(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?).*")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_HEX = re.compile(r"\\x([0-9a-f]{2})")
_ON_DATA = frozenset({"write", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate"})
"""Calls on a descriptor that change a file or make it durable, and that are modelled; others on files under test are refused."""
_UNFINISHED = " <unfinished ...>"


class UntraceableError(Exception):
    """The process did something that the recorder cannot follow, or that failed."""


@dataclass(frozen=True, slots=True)
class Write:
    """Octets at a place of a file."""

    file: int
    offset: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file's new size."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """What a file, or the names in a folder, needs to be durable."""

    file: int


@dataclass(frozen=True, slots=True)
class Create:
    """A new file or folder under a name."""

    folder: int
    name: str
    file: int
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """One more name of a file."""

    folder: int
    name: str
    file: int


@dataclass(frozen=True, slots=True)
class Rename:
    """Another name, in place of what had it, in the same folder."""

    folder: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Unlink:
    """A name that is gone."""

    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Note:
    """What the process wrote into its diary, which is not on the disk under test."""

    line: str


Call = Write | Truncate | Sync | Create | Link | Rename | Unlink | Note


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One moment of one call; a call that was cut short (by the end of the process) has only the first."""

    call: Call
    begins: bool = False
    ends: bool = False
    other: Step | None = None
    """The first moment, at the second."""


def ensure_strace() -> None:
    """Install strace when it is missing, as the lab does with what it is made of."""
    if shutil.which("strace") is None:
        wait = ("apt-get", "--option=DPkg::Lock::Timeout=300")
        subprocess.run([*wait, "update"], check=True, capture_output=True)
        subprocess.run([*wait, "install", "--yes", "--no-install-recommends", "strace"], check=True, capture_output=True)


def record(command: Sequence[str], root: Path, diary: Path, setting: tuple[Path, dict[str, str]]) -> list[Step]:
    """Run *command* in a folder and with an environment; return its steps beneath *root*, with the lines of *diary*, in order.

    Inode 0 is *root*, which must be empty. Raises `UntraceableError`.
    """
    ensure_strace()
    output = diary.with_suffix(".strace")
    trace = ("strace", "-f", "-y", "-xx", "-s", str(LONGEST), "-e", f"trace={','.join(CALLS)}", "-o", str(output))
    done = subprocess.run([*trace, *command], cwd=setting[0], env=setting[1], check=False, capture_output=True, text=True)
    if done.returncode:
        message = f"the traced process ended with {done.returncode}: {done.stderr}"
        raise UntraceableError(message)
    with output.open() as lines:
        return list(_Reader(root, diary).steps(lines))


@dataclass(slots=True)
class _Open:
    """A descriptor."""

    file: int | None
    """None for the diary."""
    appends: bool = False
    closes_at_exec: bool = True
    offset: int = 0


@dataclass(slots=True)
class _Reader:
    """Follows names and descriptors, and turns lines into steps."""

    root: Path
    diary: Path
    names: dict[str, int] = field(default_factory=dict)
    """Inodes by path."""
    folders: set[int] = field(default_factory=lambda: {0})
    sizes: dict[int, int] = field(default_factory=dict)
    open: dict[int, _Open] = field(default_factory=dict)
    inodes: int = 0
    begun: dict[str, tuple[str, list[Step]]] = field(default_factory=dict)
    """By thread: the text of an unfinished call, and the steps that it began with."""

    def steps(self, lines: Iterable[str]) -> Iterator[Step]:
        """Yield the steps of the *lines* of strace."""
        self.names[str(self.root)] = 0
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                continue
            thread, text = found.groups()
            if text.endswith(_UNFINISHED):
                text = text.removesuffix(_UNFINISHED)
                self.begun[thread] = (text, [Step(call, begins=True) for call in self._at_once(text)])
                yield from self.begun[thread][1]
            elif resumed := _RESUMED.match(text):
                begin, first = self.begun.pop(thread)
                yield from self._end(begin + resumed[1], first)
            else:
                yield from self._end(text, None)

    def _at_once(self, text: str) -> Iterator[Call]:
        """Yield what may be on the disk before the call returns: writes, and what the diary was told."""
        name, _, rest = text.partition("(")
        if name in _ON_DATA:
            yield from self._data(name, _split(rest))
        elif name == "close":  # before it returns, another thread may get the same number for something else
            self.open.pop(_number(_split(rest)[0]), None)

    def _end(self, text: str, first: list[Step] | None) -> Iterator[Step]:
        found = _WHOLE.match(text)
        if found is None:
            return
        name, arguments = found[1], _split(found[2])
        if name in _ON_DATA:
            calls = [Step(call, begins=True) for call in self._data(name, arguments)] if first is None else first
            for begun in calls:
                _demand(begun.call, found[3], text)
                yield Step(begun.call, ends=True, other=begun) if first else Step(begun.call, begins=True, ends=True)
        elif found[3] != "?" and int(found[3], 0) >= 0 and (name != "close" or first is None):
            yield from (Step(call, begins=True, ends=True) for call in self._names(name, arguments, int(found[3], 0)))

    def _data(self, name: str, arguments: list[str]) -> Iterator[Call]:
        """Yield what a call on a descriptor does."""
        one = self.open.get(_number(arguments[0]))
        if one is None:
            if self._inside(_path(arguments[0])):
                message = f"{name} on {_shown(arguments[0])}, which nobody opened"
                raise UntraceableError(message)
        elif one.file is None:
            if name == "write":
                yield Note(_octets(arguments[1]).decode())
        elif name in {"fsync", "fdatasync"}:
            yield Sync(one.file)
        elif name == "ftruncate":
            yield Truncate(one.file, int(arguments[1]))
            self.sizes[one.file] = int(arguments[1])
        elif name == "fallocate":
            yield self._grown(one.file, arguments)
        else:
            yield self._write(one, one.file, arguments)

    def _grown(self, file: int, arguments: list[str]) -> Truncate:
        """Return what allocated octets are to a reader: zeros, as far as the file has become longer."""
        if arguments[1] != "0":
            message = f"fallocate({_shown(', '.join(arguments))})"
            raise UntraceableError(message)
        self.sizes[file] = max(self.sizes[file], int(arguments[2]) + int(arguments[3]))
        return Truncate(file, self.sizes[file])

    def _write(self, one: _Open, file: int, arguments: list[str]) -> Write:
        octets = _octets(arguments[1])
        placed = len(arguments) > 3  # pwrite64 says where
        offset = int(arguments[3]) if placed else self.sizes[file] if one.appends else one.offset
        if not placed:
            one.offset = offset + len(octets)
        self.sizes[file] = max(self.sizes[file], offset + len(octets))
        return Write(file, offset, octets)

    def _names(self, name: str, arguments: list[str], result: int) -> Iterator[Call]:
        """Yield what a successful call does to names, and follow descriptors."""
        known: dict[str, Callable[[list[str], int], Iterator[Call]]] = {
            "openat": self._opened,
            "execve": self._executed,
            "close": self._closed,
            "mkdir": lambda rest, _: self._made(_text(rest[0]), is_folder=True),
            "rename": lambda rest, _: self._renamed(_text(rest[0]), _text(rest[1])),
            "link": lambda rest, _: self._linked(_text(rest[0]), _text(rest[1])),
            "unlink": lambda rest, _: self._unlinked(_text(rest[0])),
            "lseek": self._sought,
        }
        if name in known:
            yield from known[name](arguments, result)
        elif self._concerns(name, arguments):
            message = f"{name}({_shown(', '.join(arguments))})"
            raise UntraceableError(message)

    def _concerns(self, name: str, arguments: list[str]) -> bool:
        """Tell whether a call that is not followed is about the files under test."""
        if name == "fcntl":
            return _number(arguments[0]) in self.open and "F_DUPFD" in arguments[1]
        if name == "mmap":
            return self._inside(_path(arguments[4])) and {"PROT_WRITE", "MAP_SHARED"} <= {*"|".join(arguments[2:4]).split("|")}
        if name in {"io_submit", "io_uring_enter"}:
            return True
        paths = [_text(one) for one in arguments if one.startswith('"')]
        return any(self._inside(path) for path in (*paths, *(_path(one) for one in arguments if "<" in one)))

    def _inside(self, path: str) -> bool:
        return path == str(self.root) or path.startswith(f"{self.root}/")

    def _opened(self, arguments: list[str], result: int) -> Iterator[Call]:
        path, flags = _text(arguments[1]), arguments[2].split("|")
        if path == str(self.diary):
            self.open[result] = _Open(None, closes_at_exec="O_CLOEXEC" in flags)
        if not self._inside(path):
            return
        if path not in self.names:
            yield from self._made(path)
        elif "O_TRUNC" in flags:
            yield Truncate(self.names[path], 0)
            self.sizes[self.names[path]] = 0
        self.open[result] = _Open(self.names[path], "O_APPEND" in flags, "O_CLOEXEC" in flags)

    def _executed(self, _arguments: list[str], _result: int) -> Iterator[Call]:
        self.open = {number: one for number, one in self.open.items() if not one.closes_at_exec}
        yield from ()

    def _closed(self, arguments: list[str], _result: int) -> Iterator[Call]:
        self.open.pop(_number(arguments[0]), None)
        yield from ()

    def _sought(self, arguments: list[str], result: int) -> Iterator[Call]:
        if _number(arguments[0]) in self.open:
            self.open[_number(arguments[0])].offset = result
        yield from ()

    def _made(self, path: str, *, is_folder: bool = False) -> Iterator[Call]:
        if self._inside(path):
            self.inodes += 1
            self.names[path] = self.inodes
            self.sizes[self.inodes] = 0
            folder, name = path.rsplit("/", 1)
            yield Create(self.names[folder], name, self.inodes, is_folder)

    def _renamed(self, old: str, new: str) -> Iterator[Call]:
        if not (self._inside(old) or self._inside(new)):
            return
        folder, name = new.rsplit("/", 1)
        if old.rsplit("/", 1)[0] != folder:
            message = f"a rename from one folder into another: {old} to {new}"
            raise UntraceableError(message)
        self.names[new] = self.names.pop(old)
        yield Rename(self.names[folder], old.rsplit("/", 1)[1], name)

    def _linked(self, old: str, new: str) -> Iterator[Call]:
        if self._inside(old) or self._inside(new):
            self.names[new] = self.names[old]
            folder, name = new.rsplit("/", 1)
            yield Link(self.names[folder], name, self.names[new])

    def _unlinked(self, path: str) -> Iterator[Call]:
        if self._inside(path):
            folder, name = path.rsplit("/", 1)
            del self.names[path]
            yield Unlink(self.names[folder], name)


def _demand(call: Call, returned: str, text: str) -> None:
    """Demand success: half of a write or a failed sync would mean something else on the disk than is modelled."""
    size = len(call.octets) if isinstance(call, Write) else len(call.line) if isinstance(call, Note) else 0
    if returned != str(size):
        message = _shown(text)
        raise UntraceableError(message)


def _shown(text: str) -> str:
    """Return both ends of *text*, for people."""
    return " ... ".join(_HEX.sub(lambda found: chr(int(found[1], 16)), end) for end in (text[:500], text[-60:]))


def _number(descriptor: str) -> int:
    """Return the number of a descriptor, which strace writes as `3<path>`."""
    return int(descriptor.partition("<")[0])


def _path(descriptor: str) -> str:
    """Return the path of a descriptor, as octets in numbers; what is no file has a word there."""
    return bytes.fromhex("".join(_HEX.findall(descriptor.partition("<")[2]))).decode()


def _split(arguments: str) -> list[str]:
    """Divide the arguments of a call: a string has no comma, because every octet of it is written as a number."""
    return arguments.strip().split(", ")


def _octets(argument: str) -> bytes:
    if not argument.endswith('"'):
        message = f"a write of more than {LONGEST} octets"
        raise UntraceableError(message)
    return bytes.fromhex(argument.strip('"').replace("\\x", ""))


def _text(argument: str) -> str:
    return _octets(argument).decode()
