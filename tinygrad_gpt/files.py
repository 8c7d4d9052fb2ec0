"""Writing a file whole or not at all."""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from os.path import lexists, realpath
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: str | os.PathLike[str], check: Callable[[Path], object] | None = None) -> Iterator[BinaryIO]:
    """A binary file to write that takes path's place when the block ends; an error leaves path as it was, or, if only
    its folder cannot be synced, with the new content.

    It is written beside path, so that os.replace stays within one file system and is one step, and it is on the disk
    before it has the name; the name is on the disk when the block has ended.  check(file) may raise, as the last
    thing before it has the name.  A link stays, and what it points to is replaced.  OSError for what is no file: as
    root, os.replace would put one in the place of /dev/null.
    """
    target = Path(realpath(path))
    if lexists(target) and not target.is_file():
        number = errno.EISDIR if target.is_dir() else errno.EINVAL
        raise OSError(number, "not a file", os.fspath(path))
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(draft, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(draft)
        os.replace(draft, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Have the folder's names on the disk, where the system knows how (POSIX)."""
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
