"""What this process may use of the machine: cores and memory, as the system and its control groups allow.

A container, a batch system or a service is a control group on Linux: its processes see every core and all memory of the
host, and are stopped when they use more than their share.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

GROUPS, OURS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # the tree of groups, and this process's place there


def cores() -> int:
    """Cores' worth of time that this process may use: those it may run on, or its CPU quota, rounded up, if less."""
    quota = cpu_quota()
    return cores_allowed() if quota is None else min(cores_allowed(), max(1, math.ceil(quota)))


def cores_allowed() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota() -> float | None:
    """Cores' worth of time that the control groups grant, such as 1.5; None where there is no limit."""
    found = []
    for folder in _groups("cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):  # ValueError: version 2 says "max"
            quota, period = (folder / "cpu.max").read_text().split()
            found.append(int(quota) / int(period))
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = ((folder / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
            found.append(int(quota) / int(period))  # version 1 says -1
    return min((quota for quota in found if quota > 0), default=None)


def memory_here() -> int | None:
    """Bytes of memory that this machine has, or this container may use; None where it does not say."""
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):
        return None
    for folder in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):  # of versions 2 and 1
            with suppress(OSError, ValueError):  # ValueError: it says "max"
                found.append(int((folder / name).read_text()))
    return min(found)


def _groups(controller: str) -> Iterator[Path]:
    """Folders that may hold limits of a controller ("cpu", "memory"): this process's group and those around it.

    Version 2 has one tree, in a line `0::/path`; version 1 has one per controller, in a line `4:cpu,cpuacct:/path`.
    Within a container the path may be the host's, of which nothing is to be seen but what is at the tree's root.
    Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/cgroups.rst.
    """
    trees = {tree: {PurePosixPath("/")} for tree in (GROUPS, GROUPS / controller)}
    with suppress(OSError, ValueError):  # ValueError: a line of another form
        for line in OURS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            tree = GROUPS / controller if controller in controllers.split(",") else GROUPS
            if tree != GROUPS or not controllers:
                trees[tree] |= {PurePosixPath(path), *PurePosixPath(path).parents}
    for tree, paths in trees.items():
        for group in sorted(paths):
            yield tree / str(group).lstrip("/")
