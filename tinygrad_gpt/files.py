"""Files: writing one whole or not at all, and reading JSON strictly."""

import errno
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from os.path import lexists, realpath
from pathlib import Path
from typing import Any, BinaryIO, NoReturn


@contextmanager
def atomic_write(path: str | os.PathLike[str], check: Callable[[Path], object] | None = None) -> Iterator[BinaryIO]:
    """A binary file to write; it replaces the file at path when the block ends.

    After an error, path is as it was before.  There is one exception: if only the sync of the folder failed, path has
    the new content.

    The draft is written beside path, so that os.replace stays within one file system and is one step.  It is synced to
    the disk before it gets its name, and the name is synced before the block ends.  check(draft) is called last before
    the replacement, and may raise to prevent it.  A symbolic link stays, and the file that it points to is replaced.

    Raises OSError if path is not a regular file: as root, os.replace would replace even /dev/null.
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
    """Sync the names in a folder to the disk, where the system can (POSIX)."""
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def strict_json(text: str | bytes, parse_int: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON text; parse_int converts the digits of a whole number.

    Raises ValueError for a text that is not JSON, and for what Python's reader accepts silently: a name that an object
    has twice, NaN and Infinity.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique_names, parse_constant=_refuse_constant, parse_int=parse_int)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:  # Python would use the last
            raise ValueError(f"{name!r} is given twice")
        content[name] = value
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
