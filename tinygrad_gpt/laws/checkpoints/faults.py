"""A stand-in for the module `os` whose n-th operation fails, a log of what was done, and what a power cut leaves of it.

The model of a disk: created, renamed and removed names reach the disk in order, but after a power cut only the first of
them may be there, unless the folder was fsynced since.  A file's bytes are on the disk once the file was fsynced.
Before that, all of them may be there, none, the first half, or zeros instead.  fsync is only logged here.
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

from tinygrad_gpt.laws.checkpoints.runs import FolderImage, folder_image

FaultMode = Literal["once", "forever", "short"]
# Short: a write writes half of what it was given, and says so.
FAULT_MODES: tuple[FaultMode, ...] = ("once", "forever", "short")
_NAMING = ("create", "link", "rename", "unlink", "mkdir", "rmdir")  # operations that change a folder, not a file
_UNSYNCED = ("all", "none", "half", "zeros")  # what a power cut may leave of bytes that were not fsynced


@dataclass(frozen=True)
class _Operation:
    """One operation on the folder; paths are relative to it."""

    kind: str
    path: str = ""
    target: str = ""  # the new name, for a rename or link
    inode: int = -1  # the file, under whatever name
    data: bytes = b""
    offset: int = 0  # where data was written, or the size of a truncated file


class FaultyOS:
    """Replaces the module `os`: does the same, logs it, and fails at the n-th operation if told to.

    An operation is a call that opens, writes, fsyncs, closes, renames or removes.  Everything else is passed to os.
    """

    def __init__(self, folder: Path, fail_at: int = 0, mode: FaultMode = "once", code: int = errno.EIO) -> None:
        self.folder, self.fail_at, self.mode, self.code = folder, fail_at, mode, code
        self.count = 0
        self.failed: list[str] = []  # the kinds of the operations that failed or wrote only half
        self.log: list[_Operation] = []
        self.before = folder_image(folder)
        self.inodes = {path: inode for inode, path in enumerate(self.before)}
        self.next_inode = len(self.before)
        self.handles: dict[int, _Handle] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _count(self, kind: str) -> bool:
        """Count an operation and raise OSError if this one must fail; returns whether a write must be cut short."""
        self.count += 1
        due = self.count == self.fail_at or (self.mode == "forever" and 0 < self.fail_at < self.count)
        if not due or (self.mode == "short" and kind != "write"):
            return False
        self.failed.append(kind)
        if self.mode == "short":
            return True
        raise OSError(self.code, os.strerror(self.code))

    def _relative(self, path: Any) -> str:
        """A path as the log has it."""
        return os.path.relpath(os.path.abspath(os.fsdecode(path)), self.folder)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        """os.open"""
        self._count("open")
        name = self._relative(path)
        existed = os.path.lexists(path)
        fd = os.open(path, flags, mode)
        if os.path.isdir(path):
            self.handles[fd] = _Handle(None)
        elif flags & (os.O_WRONLY | os.O_RDWR):
            if not existed:
                self.inodes[name], self.next_inode = self.next_inode, self.next_inode + 1
                self.log.append(_Operation("create", name, inode=self.inodes[name]))
            elif flags & os.O_TRUNC:
                self.log.append(_Operation("truncate", inode=self.inodes[name]))
            self.handles[fd] = _Handle(self.inodes[name], os.fstat(fd).st_size if flags & os.O_APPEND else 0)
        return fd

    def write(self, fd: int, data: Any) -> int:
        """os.write"""
        block = bytes(memoryview(data).cast("B"))
        if self._count("write") and len(block) > 1:
            block = block[: len(block) // 2]
        count = os.write(fd, block)
        if (handle := self.handles.get(fd)) and handle.inode is not None:
            self.log.append(_Operation("write", inode=handle.inode, data=block[:count], offset=handle.position))
            handle.position += count
        return count

    def fsync(self, fd: int) -> None:
        """os.fsync of a file or a folder"""
        self._count("fsync")
        if handle := self.handles.get(fd):
            self.log.append(_Operation("sync names" if handle.inode is None else "sync", inode=handle.inode or 0))

    fdatasync = fsync

    def close(self, fd: int) -> None:
        """os.close; the descriptor is closed even if this fails"""
        self.handles.pop(fd, None)
        os.close(fd)
        self._count("close")

    def lseek(self, fd: int, offset: int, how: int = os.SEEK_SET) -> int:
        """os.lseek"""
        position = os.lseek(fd, offset, how)
        if handle := self.handles.get(fd):
            handle.position = position
        return position

    def ftruncate(self, fd: int, size: int) -> None:
        """os.ftruncate"""
        self._count("truncate")
        os.ftruncate(fd, size)
        if (handle := self.handles.get(fd)) and handle.inode is not None:
            self.log.append(_Operation("truncate", inode=handle.inode, offset=size))

    def replace(self, source: Any, target: Any) -> None:
        """os.replace"""
        self._count("rename")
        os.replace(source, target)
        self._log_names(_Operation("rename", self._relative(source), self._relative(target)))

    rename = replace

    def link(self, source: Any, target: Any) -> None:
        """os.link"""
        self._count("link")
        os.link(source, target)
        self._log_names(_Operation("link", self._relative(source), self._relative(target)))

    def unlink(self, path: Any) -> None:
        """os.unlink"""
        self._count("unlink")
        os.unlink(path)
        self._log_names(_Operation("unlink", self._relative(path)))

    remove = unlink

    def mkdir(self, path: Any, mode: int = 0o777) -> None:
        """os.mkdir"""
        self._count("mkdir")
        os.mkdir(path, mode)
        self._log_names(_Operation("mkdir", self._relative(path), inode=-1))

    def makedirs(self, path: Any, mode: int = 0o777, exist_ok: bool = False) -> None:
        """os.makedirs"""
        parent = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(parent):
            self.makedirs(parent, mode, exist_ok=True)
        if not (exist_ok and os.path.isdir(path)):
            self.mkdir(path, mode)

    def rmdir(self, path: Any) -> None:
        """os.rmdir"""
        self._count("rmdir")
        os.rmdir(path)
        self._log_names(_Operation("rmdir", self._relative(path)))

    def _log_names(self, operation: _Operation) -> None:
        """Log a change of names, and keep track of it."""
        self.log.append(operation)
        self.inodes = _apply_rename(self.inodes, operation)

    def fdopen(self, fd: int, mode: str = "w", *args: Any, **options: Any) -> Any:
        """os.fdopen"""
        return self.open_file(fd, mode, *args, **options)

    def open_file(self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> Any:
        """Replaces the built-in open.  Files to read are opened by it; files to write use the operations above."""
        letter = next((letter for letter in _FLAGS if letter in mode), "")
        if not letter:
            return open(file, mode, buffering, *args, **options)
        if "+" in mode:
            raise io.UnsupportedOperation(f"mode {mode!r}: reading and writing one file is not supported")
        written = _WrittenFile(self, file if isinstance(file, int) else self.open(file, _FLAGS[letter], 0o666))
        return written if "b" in mode else io.TextIOWrapper(written, *args, **options)


_FLAGS = {
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}


@dataclass
class _Handle:
    """An open file's inode and the position of the next write; no inode for a folder."""

    inode: int | None
    position: int = 0


class _WrittenFile(io.BufferedIOBase):
    """A file object over FaultyOS.  It is not an io.FileIO, since NumPy would write to the descriptor directly."""

    def __init__(self, files: FaultyOS, fd: int) -> None:
        self.files, self.fd, self.waiting = files, fd, b""

    def writable(self) -> bool:
        """True"""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self.fd

    def seekable(self) -> bool:
        """True"""
        return True

    def seek(self, offset: int, how: int = os.SEEK_SET) -> int:
        """Write the buffer, and go to another position."""
        self.flush()
        return self.files.lseek(self.fd, offset, how)

    def tell(self) -> int:
        """The position of the next write."""
        return self.files.handles[self.fd].position + len(self.waiting)

    def write(self, data: Any) -> int:
        """Buffer for the next flush; write if the buffer is large."""
        self.waiting += bytes(memoryview(data).cast("B"))
        if len(self.waiting) > io.DEFAULT_BUFFER_SIZE:
            self.flush()
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Write the whole buffer, in as many writes as it takes."""
        while self.waiting:
            self.waiting = self.waiting[self.files.write(self.fd, self.waiting) :]

    def close(self) -> None:
        """Flush, and close the descriptor even if flushing fails."""
        if not self.closed:
            try:
                super().close()
            finally:
                self.files.close(self.fd)


@contextmanager
def replace_os(files: FaultyOS, modules: Sequence[ModuleType]) -> Iterator[None]:
    """Within the block the modules' names `os` and `open` are replaced; files left open are closed after it."""
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


def folders_after_kills(files: FaultyOS) -> Iterator[tuple[int, FolderImage]]:
    """(number of operations, folder) for a kill after each operation, or within a write."""
    for n in range(len(files.log) + 1):
        yield n, _folder_image(files, n, files.log[:n])
        if n and files.log[n - 1].kind == "write":
            last = files.log[n - 1]
            half = _Operation("write", inode=last.inode, data=last.data[: len(last.data) // 2], offset=last.offset)
            yield n, _folder_image(files, n, [*files.log[: n - 1], half])


def folders_after_power_cuts(files: FaultyOS, at: Sequence[int]) -> Iterator[tuple[int, FolderImage]]:
    """(number of operations, folder) for every different folder that a power cut after them may leave."""
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


def _folder_image(files: FaultyOS, named: int, done: Sequence[_Operation], unsynced: str = "all") -> FolderImage:
    """The folder with the names after the first `named` operations, and the bytes after all that are done."""
    inodes = {path: inode for inode, path in enumerate(files.before)}
    content = dict(enumerate(files.before.values()))
    for operation in files.log[:named]:
        inodes = _apply_rename(inodes, operation)
    inside = {path: inode for path, inode in inodes.items() if not path.startswith(os.pardir)}
    return {path: _bytes_of(inode, content.get(inode, b""), done, unsynced) for path, inode in inside.items()}


def _apply_rename(inodes: dict[str, int], operation: _Operation) -> dict[str, int]:
    """Names after one operation; renaming a folder renames what is in it."""
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


def _bytes_of(inode: int, before: bytes | None, done: Sequence[_Operation], unsynced: str) -> bytes | None:
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
        rest = [_Operation(o.kind, inode=inode, data=bytes(len(o.data)), offset=o.offset) for o in rest]
    return _apply_writes(data, rest)


def _apply_writes(before: bytes, operations: Sequence[_Operation], limit: int | None = None) -> bytes:
    """A file's bytes after these writes and truncations, or after the first `limit` bytes of them."""
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
