"""The cores and the memory that this process may use, as the system and its control groups allow.

On Linux a container, a batch job or a service is a control group: its processes see all cores and all memory of the
host, and are slowed down or killed when they use more than the group's limit.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

GROUPS, OURS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # the tree of groups, and this process's path in it


def core_count() -> int:
    """The smaller of two numbers: the cores that this process may run on, and its CPU quota, rounded up."""
    quota = cpu_quota()
    return cores_allowed() if quota is None else min(cores_allowed(), max(1, math.ceil(quota)))


def cores_allowed() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota() -> float | None:
    """The CPU time that the control groups allow, in cores, such as 1.5; None if there is no limit."""
    found = []
    for folder in _groups("cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):  # ValueError: version 2 says "max"
            quota, period = (folder / "cpu.max").read_text().split()
            found.append(int(quota) / int(period))
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = ((folder / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
            found.append(int(quota) / int(period))  # version 1 says -1
    return min((quota for quota in found if quota > 0), default=None)


def memory_limit_bytes() -> int | None:
    """The bytes of memory that this machine has, or that this container may use; None if unknown."""
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):
        return None
    for folder in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):  # of versions 2 and 1
            with suppress(OSError, ValueError):  # ValueError: the file says "max"
                found.append(int((folder / name).read_text()))
    return min(found)


def _groups(controller: str) -> Iterator[Path]:
    """The folders that may have limits of a controller ("cpu", "memory"): this process's group and its parents.

    Version 2 has one tree, in a line `0::/path`; version 1 has one per controller, in a line `4:cpu,cpuacct:/path`.
    In a container the path may be that of the host, which is not visible; then the container's group is the root.
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
