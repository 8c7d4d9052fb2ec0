"""Threads: how many share the work of a kernel, and how it is divided among them.

NumPy releases the interpreter's lock while it computes, so Python's threads run in parallel.  They are started once and
then sleep until there is work.  BLAS has its own threads, which wait for the next product in a busy loop: two such
groups slow each other down, and one busy process on the same machine makes a product many times slower.  So BLAS
computes in one thread while our threads share a kernel's work, products too.

By default there is one thread per core that the process may use, and BLAS is limited only while a kernel runs: the
program's own products have BLAS's threads.  After `set_num_threads(n)` there are n, and BLAS is limited until the end.
"""

import contextvars
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

from tinygrad_gpt.checks import at_least_one
from tinygrad_gpt.kernels.limits import core_count

Body = Callable[[slice], None]

_pool: ThreadPoolExecutor | None = None
_num_threads: int | None = None  # None as long as nobody has set it
_lock = threading.Lock()  # for what is below
_running = 0  # kernels that run now, in any thread of the program
_blas_before: list[tuple[Any, int]] = []  # BLAS libraries and their numbers of threads before the first of these
_in_a_thread_of_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("in_a_thread_of_ours", default=False)


def set_num_threads(n: int) -> None:
    """Let n threads of this process share the kernels' work from now on, and BLAS use one.

    Results are the same bits for the same n; with another n, products may be rounded differently.
    Raises ValueError for n below 1.
    """
    _start_anew(at_least_one("threads", n))
    _limit_blas(1)


@contextmanager
def use_threads(n: int) -> Iterator[None]:
    """Within this block n threads share the work; afterwards the old settings are restored, those of BLAS too."""
    before = _num_threads
    with _blas_threads(1):
        set_num_threads(n)
        try:
            yield
        finally:
            _start_anew(before)


def _start_anew(n: int | None) -> None:
    """Forget the threads; the next kernel starts as many as n says."""
    global _num_threads, _pool
    _num_threads = n
    if _pool is not None:
        _pool.shutdown()
    _pool = None


@contextmanager
def use_blas_threads() -> Iterator[None]:
    """Within this block BLAS uses its own threads, and kernels run in the calling thread.

    For products of a few rows: they take less time than waking one of our threads, and BLAS's threads are awake.
    """
    global _num_threads
    before = _num_threads
    if num_threads() == 1:  # then BLAS already has its own setting
        yield
        return
    with _blas_threads(num_threads()):
        _num_threads = 1
        try:
            yield
        finally:
            _num_threads = before


@cache
def blas_threads_controller() -> Any:
    """The object that knows this process's BLAS; cached, because searching takes longer than generating a token."""
    import threadpoolctl  # here, because importing it writes to the environment

    return threadpoolctl.ThreadpoolController()


def _blas_libraries() -> list[Any]:
    return [library for library in blas_threads_controller().lib_controllers if library.user_api == "blas"]


def num_threads() -> int:
    """The number of threads that share the work of a kernel."""
    return _default() if _num_threads is None else _num_threads


@cache
def _default() -> int:
    """`default_num_threads` as it is when the first kernel runs: it reads files."""
    return default_num_threads()


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
    threads = num_threads()
    if threads == 1 or _in_a_thread_of_ours.get():
        body(slice(0, n))
        return
    with nullcontext() if _num_threads is not None else _blas_in_one_thread():
        _share(body, n, min(threads, n) if enabled else 1)


def _share(body: Body, n: int, parts: int) -> None:
    if parts <= 1:
        body(slice(0, n))
        return
    pool = _threads()
    ends = [n * i // parts for i in range(parts + 1)]
    first, *rest = (slice(start, end) for start, end in itertools.pairwise(ends))
    # each in a copy of this context, which has NumPy's error handling
    futures = [pool.submit(contextvars.copy_context().run, _run, body, part) for part in rest]
    try:
        body(first)
    finally:
        for future in futures:
            future.exception()  # waits: nobody may use an array that a thread still writes to
    for future in futures:
        future.result()


def _threads() -> ThreadPoolExecutor:
    """Our threads but the calling one."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, num_threads() - 1), thread_name_prefix="kernels")
        return _pool


@contextmanager
def _blas_in_one_thread() -> Iterator[None]:
    """Within this block BLAS uses one thread.  Several threads of the program may be in it: the last one restores.

    It takes two microseconds.
    """
    global _running
    with _lock:
        if not _running:
            _blas_before[:] = _limit_blas(1)
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running:
                _restore_blas(_blas_before)


@contextmanager
def _blas_threads(n: int) -> Iterator[None]:
    """Within this block BLAS has n threads."""
    before = _limit_blas(n)
    try:
        yield
    finally:
        _restore_blas(before)


def _limit_blas(n: int) -> list[tuple[Any, int]]:
    """Give every BLAS library n threads.  Returns the libraries with the numbers that they had."""
    before = [(library, library.get_num_threads()) for library in _blas_libraries()]
    for library, _ in before:
        _set_blas_threads(library, n)
    return before


def _restore_blas(before: list[tuple[Any, int]]) -> None:
    for library, n in before:
        _set_blas_threads(library, n)


def _set_blas_threads(library: Any, n: int) -> None:
    """Set the threads of a BLAS, from any thread of the program.

    threadpoolctl 3.8 leaves OpenBLAS as it is, without a word, in all threads but the first one that has set it, so
    that two threads do not overwrite each other's settings.  Here a lock and a count see to that.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(n)


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
    return 2**15 if num_threads() == 1 else 2**17


def _forget_threads() -> None:
    """After a fork the child process has none of our threads: continue with one, and BLAS as it was."""
    global _pool, _num_threads, _lock, _running
    if _running:  # another thread was in a kernel
        _restore_blas(_blas_before)
    _pool, _num_threads, _lock, _running = None, 1, threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
