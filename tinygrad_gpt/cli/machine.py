"""What a command asks of the machine: threads, memory."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from tinygrad_gpt.cli.options import Range
from tinygrad_gpt.kernels import default_num_threads, keep_freed_memory, using_threads

THREADS_HELP = (
    "Threads that share the work on a CPU. Default: what OPENBLAS_NUM_THREADS or OMP_NUM_THREADS "
    "say, else one per core."
)
Threads = Annotated[int | None, Range(1, 1024), arg(help=THREADS_HELP, help_behavior_hint="")]


@contextmanager
def machine(threads: int | None) -> Iterator[None]:
    """Within this block the process has its threads; the memory that it frees it keeps from now on."""
    keep_freed_memory()
    with using_threads(default_num_threads() if threads is None else threads):
        yield


LIMITS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"  # of a container, on Linux


def memory_here() -> int | None:
    """Bytes of memory that this machine has, or this container may use; None where it does not say."""
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):
        return None
    for limit in LIMITS:
        with suppress(OSError, ValueError):  # ValueError: it says "max"
            found.append(int(Path(limit).read_text()))
    return min(found)


def peak_memory() -> int | None:
    """Bytes that this process has held at most; None where the system does not say (Windows)."""
    try:  # Linux: getrusage would count what the parent had held when it started this process
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index]
    except (OSError, TypeError):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
