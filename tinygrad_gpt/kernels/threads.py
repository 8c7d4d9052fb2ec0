"""Threads: how many share the work of a kernel, and how it is shared.

NumPy lets go of the interpreter's lock while it computes, so Python's threads do run side by side.  They are started
once and then wait asleep.  BLAS has threads of its own, which wait busily for the next product: two such groups are in
each other's way, and one busy neighbour on the machine slows a product down many times.  So with `set_num_threads(n)`
BLAS computes in one thread, and n threads of ours share everything, the products too.

Until it is called, kernels run in the calling thread and BLAS does as it is set up to do.
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
from tinygrad_gpt.kernels.limits import cores

Body = Callable[[slice], None]

_pool: ThreadPoolExecutor | None = None
_num_threads = 1
_in_a_thread_of_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("in_a_thread_of_ours", default=False)


def set_num_threads(n: int) -> None:
    """From now on n threads of this process share the kernels' work, and BLAS uses one.  Raises ValueError below 1.

    Results are the same bits for the same n; for another n products may be rounded differently.
    """
    import threadpoolctl  # here, because importing it writes to the environment

    global _num_threads, _pool
    _num_threads = at_least_one("threads", n)
    threadpoolctl.threadpool_limits(1, user_api="blas")
    if _pool is not None:
        _pool.shutdown()
    _pool = ThreadPoolExecutor(n - 1, thread_name_prefix="kernels") if n > 1 else None


@contextmanager
def using_threads(n: int) -> Iterator[None]:
    """Within this block n threads share the work; then it is as it was, BLAS included."""
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
    """Within this block the threads are BLAS's and not ours.

    For products of a few rows: they take less time than it takes to wake a thread, and BLAS's are awake.
    """
    global _num_threads
    n = _num_threads
    if n == 1:  # then BLAS has what it has
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
    """The hold on BLAS's threads, looked for once: a generated token cannot wait for that."""
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


def num_threads() -> int:
    """How many threads share the work of a kernel."""
    return _num_threads


def default_num_threads() -> int:
    """What the environment asks of BLAS (OPENBLAS_NUM_THREADS, OMP_NUM_THREADS), else one per core we may use."""
    name = variable_naming_threads()
    return cores() if name is None else int(os.environ[name])


def variable_naming_threads() -> str | None:
    """The variable of the environment that names a number of threads, if one does."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) >= 1:
            return name
    return None


def parallel_for(body: Body, n: int, *, enabled: bool = True) -> None:
    """Call body on slices that together cover range(n): one per thread, the first in the calling thread.

    The slices are about equally long and must not depend on each other.  Where waking a thread (some 20 µs) does not
    pay, the caller says enabled=False, and all is done in one piece.
    """
    parts = min(_num_threads, n)
    if parts <= 1 or not enabled or _pool is None or _in_a_thread_of_ours.get():
        body(slice(0, n))
        return
    ends = [n * i // parts for i in range(parts + 1)]
    first, *rest = (slice(start, end) for start, end in itertools.pairwise(ends))
    # each in a copy of this context: NumPy's error handling goes along
    futures = [_pool.submit(contextvars.copy_context().run, _run, body, part) for part in rest]
    try:
        body(first)
    finally:
        for future in futures:
            future.exception()  # waits: nobody may use an array that a thread still writes to
    for future in futures:
        future.result()


def _run(body: Body, part: slice) -> None:
    """Call body in a thread of ours, which shares none of it again: it would wait for itself."""
    _in_a_thread_of_ours.set(True)
    body(part)


def blocks(part: slice, size: int) -> list[slice]:
    """A slice in pieces of at most `size`."""
    return [slice(start, min(start + size, part.stop)) for start in range(part.start, part.stop, size)]


def block_size() -> int:
    """Entries that an element-wise kernel works on at a time.

    Alone, so few that a handful of such arrays fits a second-level cache.  With several threads, four times as many:
    between two functions of NumPy a thread needs the interpreter's lock, and to wait for it costs more than the cache
    saves.
    """
    return 2**15 if _num_threads == 1 else 2**17


def _forget_pool() -> None:
    """In a forked process there are no threads yet: go on without."""
    global _pool, _num_threads
    _pool, _num_threads = None, 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
