"""Threads: how many share the work of a kernel, and how it is divided among them.

NumPy releases the interpreter's lock while it computes, so Python's threads run in parallel.  They are started once and
then sleep until there is work.  BLAS has its own threads, which wait for the next product in a busy loop: two such
groups slow each other down, and one busy process on the same machine makes a product many times slower.  So with
`set_num_threads(n)` BLAS computes in one thread, and n of our threads share all work, products too.

Until it is called, kernels run in the calling thread, and BLAS uses its own settings.
"""

import contextvars
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from tinygrad_gpt.checks import at_least_one
from tinygrad_gpt.kernels.limits import core_count

Body = Callable[[slice], None]

_pool: ThreadPoolExecutor | None = None
_num_threads = 1
_in_a_thread_of_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("in_a_thread_of_ours", default=False)


def set_num_threads(n: int) -> None:
    """Let n threads of this process share the kernels' work from now on, and BLAS use one.

    Results are the same bits for the same n; with another n, products may be rounded differently.
    Raises ValueError for n below 1.
    """
    import threadpoolctl  # here, because importing it writes to the environment

    global _num_threads, _pool
    _num_threads = at_least_one("threads", n)
    threadpoolctl.threadpool_limits(1, user_api="blas")
    if _pool is not None:
        _pool.shutdown()
    _pool = ThreadPoolExecutor(n - 1, thread_name_prefix="kernels") if n > 1 else None


@contextmanager
def use_threads(n: int) -> Iterator[None]:
    """Within this block n threads share the work; afterwards the old settings are restored, those of BLAS too."""
    import threadpoolctl

    before = _num_threads
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        set_num_threads(n)
        try:
            yield
        finally:
            set_num_threads(before)


@contextmanager
def use_blas_threads() -> Iterator[None]:
    """Within this block BLAS uses its own threads, and kernels run in the calling thread.

    For products of a few rows: they take less time than waking one of our threads, and BLAS's threads are awake.
    """
    global _num_threads
    n = _num_threads
    if n == 1:  # then BLAS already has its own setting
        yield
        return
    with blas_threads_controller().limit(limits=n, user_api="blas"):
        _num_threads = 1
        try:
            yield
        finally:
            _num_threads = n


@cache
def blas_threads_controller() -> Any:
    """The object that sets BLAS's threads; cached, because searching for BLAS takes longer than generating a token."""
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


def num_threads() -> int:
    """The number of threads that share the work of a kernel."""
    return _num_threads


def default_num_threads() -> int:
    """The number that OPENBLAS_NUM_THREADS or OMP_NUM_THREADS sets for BLAS, else one per core that we may use."""
    name = threads_variable()
    return core_count() if name is None else int(os.environ[name])


def threads_variable() -> str | None:
    """The environment variable that sets a number of threads, or None."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) >= 1:
            return name
    return None


def parallel_for(body: Body, n: int, *, enabled: bool = True) -> None:
    """Call body on slices that together cover range(n): one per thread, the first in the calling thread.

    The slices have nearly equal lengths; body must be able to run on them in parallel.  If waking a thread (about
    20 µs) takes longer than it saves, use enabled=False: then body gets one slice.
    """
    parts = min(_num_threads, n)
    if parts <= 1 or not enabled or _pool is None or _in_a_thread_of_ours.get():
        body(slice(0, n))
        return
    ends = [n * i // parts for i in range(parts + 1)]
    first, *rest = (slice(start, end) for start, end in itertools.pairwise(ends))
    # each in a copy of this context, which has NumPy's error handling
    futures = [_pool.submit(contextvars.copy_context().run, _run, body, part) for part in rest]
    try:
        body(first)
    finally:
        for future in futures:
            future.exception()  # waits: nobody may use an array that a thread still writes to
    for future in futures:
        future.result()


def _run(body: Body, part: slice) -> None:
    """Call body in one of our threads.  A parallel_for within it runs in this thread: sharing again could deadlock."""
    _in_a_thread_of_ours.set(True)
    body(part)


def blocks(part: slice, size: int) -> list[slice]:
    """part, divided into slices of at most `size` entries."""
    return [slice(start, min(start + size, part.stop)) for start in range(part.start, part.stop, size)]


def block_size() -> int:
    """The number of entries that an element-wise kernel works on at a time.

    With one thread, so few that several such arrays fit into the second-level cache.  With more threads, four times as
    many: between two NumPy functions a thread needs the interpreter's lock, and waiting for it costs more than the
    cache saves.
    """
    return 2**15 if _num_threads == 1 else 2**17


def _forget_pool() -> None:
    """After a fork the child process has none of our threads: continue with one."""
    global _pool, _num_threads
    _pool, _num_threads = None, 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
