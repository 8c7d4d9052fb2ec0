"""A file that one process at a time can lock, and that says which.

The lock itself is the kernel's: it ends with the process that holds it, however that ends.  So a process number that
another process has meanwhile (in a container it often has) deceives nobody.
"""

import json
import os
import sys

if sys.platform != "win32":
    import fcntl


def owner_of(file: int) -> tuple[int, str] | None:
    """The process and the host that an open lock file names."""
    os.lseek(file, 0, os.SEEK_SET)
    try:
        owner = json.loads(os.read(file, 4096))
        return int(owner["pid"]), owner["host"]
    except (ValueError, KeyError, TypeError):
        return None


def is_lockable(file: int, *, shared: bool = False) -> bool:
    """Lock an open file, as long as it stays open; False if another has it locked.

    Where the system has no such locks (Windows), whether the process that it names is there no longer.
    """
    if sys.platform == "win32":
        owner = owner_of(file)
        return owner is None or not _is_running(owner[0])
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_running(pid: int) -> bool:
    """Whether a process of this number exists on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # another user's
    return True
