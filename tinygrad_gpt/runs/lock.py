"""The lock of a run folder: a file that one process at a time can lock, and that names this process.

The operating system holds the lock and releases it when the process ends, however it ends.  So a lock file that was
left behind does no harm, even if another process has the number in it by now (common in containers).
"""

import json
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

from tinygrad_gpt.files import strict_json
from tinygrad_gpt.runs.names import RunError

if sys.platform != "win32":
    import fcntl


class RunLock:
    """The lock file at `path`.  label names the run folder in errors."""

    def __init__(self, path: Path, label: str) -> None:
        self.path, self.label = path, label
        self.file: int | None = None  # open while this process holds the lock

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lock."""
        return self.file is not None

    def check_free(self) -> None:
        """Raise RunError if another process holds the lock."""
        if self.is_held:
            return
        try:
            file = os.open(self.path, os.O_RDONLY)
        except OSError:
            return
        try:
            self._check_owner(file, is_free=is_lockable(file, shared=True))
        finally:
            os.close(file)

    def take(self) -> None:
        """Lock the file, and write this process's number into it.  Raises RunError if another process holds it."""
        while self.file is None:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._check_owner(file, is_free=is_lockable(file))
                if not os.path.exists(self.path) or not os.path.samestat(os.fstat(file), os.stat(self.path)):
                    os.close(file)  # its owner removed it after we had opened it
                    continue
            except BaseException:
                os.close(file)
                raise
            self.file = file
        os.ftruncate(self.file, 0)
        os.lseek(self.file, 0, os.SEEK_SET)
        os.write(self.file, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())

    def release(self) -> None:
        """Remove the file and release the lock, if this process holds it."""
        if self.file is None:
            return
        with suppress(PermissionError):  # Windows cannot remove a file that is open
            self.path.unlink(missing_ok=True)
        os.close(self.file)
        if sys.platform == "win32":
            self.path.unlink(missing_ok=True)
        self.file = None

    def _check_owner(self, file: int, *, is_free: bool) -> None:
        """is_free: no process of this machine has the lock.  A process of another machine may still have it."""
        owner = _owner_of(file)
        if owner is None and is_free:
            return
        pid, host = owner or (0, platform.node())  # 0: just locked, its owner has not written its number yet
        if host != platform.node() or not is_free:
            remedy = f"; if that run has ended, delete {self.path}" if is_free else ""
            raise RunError(f"{self.label} is in use by the run of process {pid} on {host}{remedy}")


def is_lockable(file: int, *, shared: bool = False) -> bool:
    """Lock an open file, for as long as it stays open; False if another process has it locked.

    Windows has no such locks.  There this is True if the process that the file names no longer exists.
    """
    if sys.platform == "win32":
        owner = _owner_of(file)
        return owner is None or not _is_running(owner[0])
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner_of(file: int) -> tuple[int, str] | None:
    """The process and the host that an open lock file names."""
    os.lseek(file, 0, os.SEEK_SET)
    try:
        owner = strict_json(os.read(file, 4096))
        return int(owner["pid"]), owner["host"]
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # a process of another user
    return True
