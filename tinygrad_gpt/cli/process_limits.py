"""What a command asks of the machine: threads, and how much memory it has taken."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from tinygrad_gpt.cli.options import Range
from tinygrad_gpt.kernels import default_num_threads, keep_freed_memory, using_threads
from tinygrad_gpt.kernels.limits import memory_here as memory_here

_THREADS_HELP = (
    "Threads that share the work on a CPU. Default: what OPENBLAS_NUM_THREADS or OMP_NUM_THREADS "
    "say, else one per core, or as many as a container's CPU quota."
)
Threads = Annotated[int | None, Range(1, 1024), arg(help=_THREADS_HELP, help_behavior_hint="")]


@contextmanager
def process_limits(threads: int | None) -> Iterator[None]:
    """Within this block the process has its threads; the memory that it frees it keeps from now on."""
    keep_freed_memory()
    with using_threads(default_num_threads() if threads is None else threads):
        yield


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
