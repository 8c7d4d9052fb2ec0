"""The threads that a command uses, and the memory that it has used."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from tinygrad_gpt.cli.options import Range
from tinygrad_gpt.kernels import default_num_threads, keep_freed_memory, use_threads

_THREADS_HELP = (
    "Number of threads on the CPU. Default: the value of OPENBLAS_NUM_THREADS or OMP_NUM_THREADS, else one per "
    "core, or as many as a container's CPU quota allows."
)
Threads = Annotated[int | None, Range(1, 1024), arg(help=_THREADS_HELP, help_behavior_hint="")]


@contextmanager
def process_limits(threads: int | None) -> Iterator[None]:
    """Use this many threads within the block.  From now on the process keeps the memory that it frees, to reuse it."""
    keep_freed_memory()
    with use_threads(default_num_threads() if threads is None else threads):
        yield


def peak_memory() -> int | None:
    """The largest number of bytes that this process has used; None where the system does not say (Windows)."""
    try:  # Linux: getrusage would also count memory of the parent process
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
