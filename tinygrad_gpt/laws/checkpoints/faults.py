"""A module `os` whose n-th operation fails, that remembers what was done, and what a power cut may leave of it.

The model of a disk: creating, renaming and removing names reaches it in order, but nobody knows how far, unless a
folder was fsynced since; a file's bytes reach it once the file was fsynced, and until then all, none, the first half,
or zeros in their place.  fsync itself costs nothing here: it is only noted down.
"""

import errno
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from tinygrad_gpt.laws.checkpoints.runs import Image, image_of

Mode = Literal["once", "forever", "short"]
MODES: tuple[Mode, ...] = ("once", "forever", "short")  # short: a write writes half of what it was given, and says so
_NAMING = ("create", "link", "rename", "unlink", "mkdir", "rmdir")  # what changes a folder, not a file
_UNSYNCED = ("all", "none", "half", "zeros")  # what may be left of bytes that were written and not fsynced


@dataclass(frozen=True)
class Operation:
    """One thing that was done to the folder; paths are relative to it."""

    kind: str
    path: str = ""
    target: str = ""  # the new name, of a rename or link
    inode: int = -1  # the file, whatever its name is by now
    data: bytes = b""
    offset: int = 0  # where data was written, or the size a file was cut to


class FaultyOS:
    """Stands for the module `os`: does what it does, notes it down, and fails at the n-th operation if asked to.

    An operation is a call that opens, writes, fsyncs, closes, names, or removes.  Everything else is os's own.
    """

    def __init__(self, folder: Path, fail_at: int = 0, mode: Mode = "once", code: int = errno.EIO) -> None:
        self.folder, self.fail_at, self.mode, self.code = folder, fail_at, mode, code
        self.count = 0
        self.failed: list[str] = []  # the kinds of the operations that failed or fell short
        self.log: list[Operation] = []
        self.before = image_of(folder)
        self.inodes = {path: inode for inode, path in enumerate(self.before)}
        self.next_inode = len(self.before)
        self.handles: dict[int, Handle] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def attempt(self, kind: str) -> bool:
        """Count an operation, fail if it is its turn; whether a write has to fall short."""
        self.count += 1
        due = self.count == self.fail_at or (self.mode == "forever" and 0 < self.fail_at < self.count)
        if not due or (self.mode == "short" and kind != "write"):
            return False
        self.failed.append(kind)
        if self.mode == "short":
            return True
        raise OSError(self.code, os.strerror(self.code))

    def relative(self, path: Any) -> str:
        """A path as the log writes it."""
        return os.path.relpath(os.path.abspath(os.fsdecode(path)), self.folder)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        """os.open"""
        self.attempt("open")
        name = self.relative(path)
        existed = os.path.lexists(path)
        fd = os.open(path, flags, mode)
        if os.path.isdir(path):
            self.handles[fd] = Handle(None)
        elif flags & (os.O_WRONLY | os.O_RDWR):
            if not existed:
                self.inodes[name], self.next_inode = self.next_inode, self.next_inode + 1
                self.log.append(Operation("create", name, inode=self.inodes[name]))
            elif flags & os.O_TRUNC:
                self.log.append(Operation("truncate", inode=self.inodes[name]))
            self.handles[fd] = Handle(self.inodes[name], os.fstat(fd).st_size if flags & os.O_APPEND else 0)
        return fd

    def write(self, fd: int, data: Any) -> int:
        """os.write"""
        block = bytes(memoryview(data).cast("B"))
        if self.attempt("write") and len(block) > 1:
            block = block[: len(block) // 2]
        count = os.write(fd, block)
        if (handle := self.handles.get(fd)) and handle.inode is not None:
            self.log.append(Operation("write", inode=handle.inode, data=block[:count], offset=handle.position))
            handle.position += count
        return count

    def fsync(self, fd: int) -> None:
        """os.fsync of a file or a folder"""
        self.attempt("fsync")
        if handle := self.handles.get(fd):
            self.log.append(Operation("sync names" if handle.inode is None else "sync", inode=handle.inode or 0))

    fdatasync = fsync

    def close(self, fd: int) -> None:
        """os.close; the descriptor is gone even if it fails"""
        self.handles.pop(fd, None)
        os.close(fd)
        self.attempt("close")

    def lseek(self, fd: int, offset: int, how: int = os.SEEK_SET) -> int:
        """os.lseek"""
        position = os.lseek(fd, offset, how)
        if handle := self.handles.get(fd):
            handle.position = position
        return position

    def ftruncate(self, fd: int, size: int) -> None:
        """os.ftruncate"""
        self.attempt("truncate")
        os.ftruncate(fd, size)
        if (handle := self.handles.get(fd)) and handle.inode is not None:
            self.log.append(Operation("truncate", inode=handle.inode, offset=size))

    def replace(self, source: Any, target: Any) -> None:
        """os.replace"""
        self.attempt("rename")
        os.replace(source, target)
        self.named(Operation("rename", self.relative(source), self.relative(target)))

    rename = replace

    def link(self, source: Any, target: Any) -> None:
        """os.link"""
        self.attempt("link")
        os.link(source, target)
        self.named(Operation("link", self.relative(source), self.relative(target)))

    def unlink(self, path: Any) -> None:
        """os.unlink"""
        self.attempt("unlink")
        os.unlink(path)
        self.named(Operation("unlink", self.relative(path)))

    remove = unlink

    def mkdir(self, path: Any, mode: int = 0o777) -> None:
        """os.mkdir"""
        self.attempt("mkdir")
        os.mkdir(path, mode)
        self.named(Operation("mkdir", self.relative(path), inode=-1))

    def makedirs(self, path: Any, mode: int = 0o777, exist_ok: bool = False) -> None:
        """os.makedirs"""
        parent = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(parent):
            self.makedirs(parent, mode, exist_ok=True)
        if not (exist_ok and os.path.isdir(path)):
            self.mkdir(path, mode)

    def rmdir(self, path: Any) -> None:
        """os.rmdir"""
        self.attempt("rmdir")
        os.rmdir(path)
        self.named(Operation("rmdir", self.relative(path)))

    def named(self, operation: Operation) -> None:
        """Note down a change of names, and follow it."""
        self.log.append(operation)
        self.inodes = _apply_rename(self.inodes, operation)

    def fdopen(self, fd: int, mode: str = "w", *args: Any, **options: Any) -> Any:
        """os.fdopen"""
        return self.open_file(fd, mode, *args, **options)

    def open_file(self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> Any:
        """The built-in open.  Files to read are its own; those to write go through the operations above."""
        letter = next((letter for letter in _FLAGS if letter in mode), "")
        if not letter:
            return open(file, mode, buffering, *args, **options)
        if "+" in mode:
            raise io.UnsupportedOperation(f"mode {mode!r}: reading what is being written is not modelled")
        written = WrittenFile(self, file if isinstance(file, int) else self.open(file, _FLAGS[letter], 0o666))
        return written if "b" in mode else io.TextIOWrapper(written, *args, **options)


_FLAGS = {
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}


@dataclass
class Handle:
    """An open file's number and the place of the next write; no number for a folder."""

    inode: int | None
    position: int = 0


class WrittenFile(io.BufferedIOBase):
    """A file object over FaultyOS.  No io.FileIO: NumPy would write past that with the descriptor alone."""

    def __init__(self, files: FaultyOS, fd: int) -> None:
        self.files, self.fd, self.waiting = files, fd, b""

    def writable(self) -> bool:
        """True"""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self.fd

    def write(self, data: Any) -> int:
        """Keep for the next flush, or write once it is much."""
        self.waiting += bytes(memoryview(data).cast("B"))
        if len(self.waiting) > io.DEFAULT_BUFFER_SIZE:
            self.flush()
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Write all that waits, however often it takes."""
        while self.waiting:
            self.waiting = self.waiting[self.files.write(self.fd, self.waiting) :]

    def close(self) -> None:
        """Flush, and close the descriptor whether or not that worked."""
        if not self.closed:
            try:
                super().close()
            finally:
                self.files.close(self.fd)


@contextmanager
def in_place_of_os(files: FaultyOS, modules: Sequence[ModuleType]) -> Iterator[None]:
    """Within the block the modules' names `os` and `open` are those of files; what was left open is closed after it."""
    before = [(module, dict(vars(module))) for module in modules]
    for module in modules:
        module.__dict__.update(
            {"os": files, "open": files.open_file} if "os" in vars(module) else {"open": files.open_file}
        )
    try:
        yield
    finally:
        for module, names in before:
            for name in ("os", "open"):
                if name in names:
                    setattr(module, name, names[name])
                else:
                    module.__dict__.pop(name, None)
        for fd in list(files.handles):
            with suppress(OSError):
                os.close(fd)


def after_kills(files: FaultyOS) -> Iterator[tuple[int, Image]]:
    """(operations done, folder) after the process was killed there, the last write perhaps done by half."""
    for n in range(len(files.log) + 1):
        yield n, _folder_image(files, n, files.log[:n])
        if n and files.log[n - 1].kind == "write":
            last = files.log[n - 1]
            half = Operation("write", inode=last.inode, data=last.data[: len(last.data) // 2], offset=last.offset)
            yield n, _folder_image(files, n, [*files.log[: n - 1], half])


def after_power_cuts(files: FaultyOS, at: Sequence[int]) -> Iterator[tuple[int, Image]]:
    """(operations done, folder) for every folder that may be found after a cut there, each different one once."""
    known = set()
    for n in at:
        done = files.log[:n]
        names = [i for i, operation in enumerate(done) if operation.kind in _NAMING]
        synced = max((i for i, operation in enumerate(done) if operation.kind == "sync names"), default=-1)
        for last in [synced, *(i for i in names if i > synced)]:
            for unsynced in _UNSYNCED:
                found = _folder_image(files, last + 1, done, unsynced)
                key = frozenset(found.items())
                if key not in known:
                    known.add(key)
                    yield n, found


def _folder_image(files: FaultyOS, named: int, done: Sequence[Operation], unsynced: str = "all") -> Image:
    """The folder if names changed by the first `named` operations, and files by those that are done."""
    inodes = {path: inode for inode, path in enumerate(files.before)}
    content = dict(enumerate(files.before.values()))
    for operation in files.log[:named]:
        inodes = _apply_rename(inodes, operation)
    inside = {path: inode for path, inode in inodes.items() if not path.startswith(os.pardir)}
    return {path: _bytes_of(inode, content.get(inode, b""), done, unsynced) for path, inode in inside.items()}


def _apply_rename(inodes: dict[str, int], operation: Operation) -> dict[str, int]:
    """Names after one operation; a folder takes along what is in it."""
    path, target = operation.path, operation.target
    if operation.kind in ("create", "mkdir"):
        return {**inodes, path: operation.inode}
    if operation.kind == "link":
        return {**inodes, target: inodes[path]}
    if operation.kind in ("unlink", "rmdir"):
        return {name: inode for name, inode in inodes.items() if name != path}
    if operation.kind == "rename":
        inside = path + os.sep
        moved = {name: target + name[len(path) :] for name in inodes if name == path or name.startswith(inside)}
        kept = {name: inode for name, inode in inodes.items() if name not in moved}
        return kept | {moved[name]: inodes[name] for name in moved}
    return inodes


def _bytes_of(inode: int, before: bytes | None, done: Sequence[Operation], unsynced: str) -> bytes | None:
    """A file's bytes on the disk, or None for a folder."""
    if inode < 0 or before is None:
        return None
    own = [
        operation for operation in done if operation.inode == inode and operation.kind in ("write", "truncate", "sync")
    ]
    synced = max((i + 1 for i, operation in enumerate(own) if operation.kind == "sync"), default=0)
    data, rest = _apply_writes(before, own[:synced]), own[synced:]
    if unsynced == "none":
        return data
    if unsynced == "half":
        return _apply_writes(data, rest, limit=sum(len(operation.data) for operation in rest) // 2)
    if unsynced == "zeros":
        rest = [Operation(o.kind, inode=inode, data=bytes(len(o.data)), offset=o.offset) for o in rest]
    return _apply_writes(data, rest)


def _apply_writes(before: bytes, operations: Sequence[Operation], limit: int | None = None) -> bytes:
    """A file's bytes after these writes and truncations, or after as many bytes of them as limit."""
    data = bytearray(before)
    for operation in operations:
        if operation.kind == "truncate":
            data = data[: operation.offset].ljust(operation.offset, b"\0")
        elif operation.kind == "write":
            block = operation.data if limit is None else operation.data[:limit]
            data = data.ljust(operation.offset, b"\0")
            data[operation.offset : operation.offset + len(block)] = block
            limit = None if limit is None else limit - len(block)
    return bytes(data)
