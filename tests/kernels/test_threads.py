"""Threads share the work: every part is done once, wherever it breaks."""

import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import KERNELS, cpu, threads, use_threads
from tinygrad_gpt.laws.strategies import normal, seeds


def blas_threads():
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture
def three_threads():
    with use_threads(3):
        yield


@given(st.integers(0, 40), st.booleans())
def test_every_place_is_covered_once(length, enabled):
    with use_threads(3):
        counts, callers = np.zeros(length, int), []

        def work(part):
            callers.append(threading.current_thread())
            counts[part] += 1

        threads.parallel_for(work, length, enabled=enabled)
    assert (counts == 1).all()
    assert threading.current_thread() in callers
    assert len(callers) == (max(1, min(3, length)) if enabled else 1)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 50))
def test_blocks_cover_a_slice_in_order(start, more, size):
    found = threads.blocks(slice(start, start + more), size)
    assert [i for block in found for i in range(block.start, block.stop)] == list(range(start, start + more))
    assert all(0 < block.stop - block.start <= size for block in found)


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_an_error_in_any_thread_reaches_the_caller_when_all_have_ended(three_threads, broken):
    done = []

    def work(part):
        if part.start == broken:
            raise ArithmeticError(f"part {broken}")
        done.append(part.start)

    with pytest.raises(ArithmeticError, match=f"part {broken}"):
        threads.parallel_for(work, 3)
    assert sorted([*done, broken]) == [0, 1, 2]


def test_numpys_error_handling_goes_along(three_threads):
    def work(part):
        np.float32(1e38) * np.full(1, 1e38, np.float32)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(over="ignore"):
            threads.parallel_for(work, 3)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        threads.parallel_for(work, 3)


def test_afterwards_all_is_as_it_was():
    before = blas_threads()
    with use_threads(3), use_threads(2):
        assert threads.num_threads() == 2
    assert threads.num_threads() == 1
    assert blas_threads() == before
    assert not [t for t in threading.enumerate() if t.name.startswith("kernels")]


def test_blas_computes_in_one_thread_beside_ours(three_threads):
    assert threads.num_threads() == 3
    assert blas_threads() == {1}


@pytest.mark.parametrize("bad", [0, -1])
def test_a_number_of_threads_is_at_least_one(bad):
    with pytest.raises(ValueError, match=f"threads must be a whole number of at least 1; got {bad}"):
        threads.set_num_threads(bad)
    assert threads.num_threads() == 1


@pytest.mark.parametrize(
    ("environment", "n"),
    [({"OPENBLAS_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3), ({"OMP_NUM_THREADS": "5"}, 5)],
)
def test_the_environment_names_a_default(monkeypatch, environment, n):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert threads.default_num_threads() == n


@pytest.mark.parametrize("nonsense", ["", "0", "-2", "many"])
def test_without_a_sensible_environment_every_core_counts(monkeypatch, nonsense):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", nonsense)
    monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
    assert 1 <= threads.default_num_threads() <= os.cpu_count()


FORKING = """
import multiprocessing
from tinygrad_gpt.kernels import threads, use_threads

with use_threads(3):
    threads.parallel_for(lambda part: None, 3)  # the threads are up
    forking = multiprocessing.get_context("fork")
    queue = forking.SimpleQueue()
    child = forking.Process(target=lambda: threads.parallel_for(queue.put, 3))
    child.start()
    child.join(20)
    print(child.exitcode, None if child.exitcode else queue.get())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_goes_on_without():
    """In a process of its own: what other tests have loaded may have threads as well, and warn of a fork."""
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=False)
    assert done.stdout == "0 slice(0, 3, None)\n", done.stderr


CALLS = {
    "linear": (lambda f: (f(5, 7), f(7, 6), f(6)), {}),
    "gelu": (lambda f: (f(9, 5),), {}),
    "layer_norm": (lambda f: (f(9, 5), f(5), f(5)), {}),
    "causal_attention": (lambda f: (f(2, 9, 24),), {"n_heads": 4}),
    "linear_cross_entropy": (lambda f: (f(7, 5), f(6, 5), np.arange(7) % 6), {"reduction": "sum"}),
}


def test_every_kernel_is_tried_in_threads_and_blocks():
    elsewhere = {"adamw_update", "total_of_squares"}  # tests/optim
    assert set(CALLS) | elsewhere == {op.__name__ for op, module, _ in KERNELS if module == "numpy"}


SMALL_SIZES = {"_BLOCK": 12, "_ROWS": 2, "block_size": lambda: 4}


@pytest.mark.parametrize("size", SMALL_SIZES)
def test_every_size_of_a_block_is_one_that_some_kernel_has(size):
    assert any(hasattr(module, size) for name, module in sys.modules.items() if ".kernels.cpu." in name)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", CALLS)
@given(seed=seeds())
def test_a_kernel_in_several_threads_is_the_same_function(name, n, seed):
    """However small its arrays: nothing is too little to share or to cut into blocks here."""
    make, settings = CALLS[name]
    arrays = make(lambda *shape: normal(seed, shape).astype(np.float32))
    y, vjp = getattr(ops, name)(*arrays, **settings)
    with pytest.MonkeyPatch.context() as patch:
        for module in [m for m in sys.modules if m.startswith("tinygrad_gpt.kernels.cpu.")]:
            patch.setattr(sys.modules[module], "parallel_for", always, raising=False)
            for name_of_size, size in SMALL_SIZES.items():
                if hasattr(sys.modules[module], name_of_size):
                    patch.setattr(sys.modules[module], name_of_size, size)
        with use_threads(n):
            fast_y, fast_vjp = getattr(cpu, name)(*arrays, **settings)
            dy = normal(seed % 2**63 + 1, y.shape).astype(np.float32)
            fast = fast_vjp(dy)
    np.testing.assert_allclose(fast_y, y, rtol=1e-4, atol=1e-5)
    for got, want in zip(fast, vjp(dy), strict=True):
        if want is not None:
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def always(work, length, *, enabled=True):
    threads.parallel_for(work, length)


def test_a_few_rows_are_left_to_blas(three_threads):
    with threads.use_blas_threads():
        assert threads.num_threads() == 1
        assert blas_threads() == {3}
    assert threads.num_threads() == 3
    assert blas_threads() == {1}


def test_without_threads_of_ours_blas_is_left_alone():
    before = blas_threads()
    with threads.use_blas_threads():
        assert blas_threads() == before
    assert blas_threads() == before


def test_a_parallel_loop_within_a_parallel_loop_does_not_deadlock(three_threads):
    inner = []
    threads.parallel_for(lambda part: threads.parallel_for(lambda p: inner.append((part.start, p.start, p.stop)), 3), 3)
    assert {(1, 0, 3), (2, 0, 3)} <= set(inner)  # in one piece there
    assert {start for start, *_ in inner} == {0, 1, 2}


@pytest.fixture
def nobody_has_set_them(monkeypatch):
    """As in a program that never calls set_num_threads, on a machine with three cores."""
    monkeypatch.setattr(threads, "_num_threads", None)
    monkeypatch.setattr(threads, "_default", lambda: 3)
    yield
    threads._start_anew(1)


def test_by_default_there_is_one_thread_per_core_and_blas_is_limited_while_a_kernel_runs(nobody_has_set_them):
    before, seen, parts = blas_threads(), [], []

    def work(part):
        seen.append(blas_threads())
        parts.append((part.start, part.stop))

    threads.parallel_for(work, 6)
    assert (threads.num_threads(), sorted(parts)) == (3, [(0, 2), (2, 4), (4, 6)])
    threads.parallel_for(work, 6, enabled=False)
    assert parts[3:] == [(0, 6)]
    assert seen == [{1}] * 4
    assert blas_threads() == before


def test_a_kernel_that_fails_leaves_blas_as_it_was(nobody_has_set_them):
    before = blas_threads()
    with pytest.raises(ArithmeticError):
        threads.parallel_for(lambda part: (_ for _ in ()).throw(ArithmeticError()), 6)
    assert blas_threads() == before


def test_kernels_of_several_threads_of_a_program_limit_blas_until_the_last_has_ended(nobody_has_set_them):
    before, inside, go = blas_threads(), threading.Barrier(3), threading.Event()

    def first(part):
        inside.wait(20)
        go.wait(20)

    def second(part):
        inside.wait(20)

    programs = [threading.Thread(target=threads.parallel_for, args=(f, 1)) for f in (first, second)]
    for program in programs:
        program.start()
    inside.wait(20)
    programs[1].join(20)
    assert blas_threads() == {1}  # the first is still running
    go.set()
    programs[0].join(20)
    assert blas_threads() == before


def test_any_thread_of_a_program_may_set_them():
    """threadpoolctl 3.8 obeys only the first thread that has set BLAS's, without a word."""
    with use_threads(2):
        seen = []
        other = threading.Thread(target=use, args=(seen,))
        other.start()
        other.join(20)
    assert seen == [{1}, {3}, {1}]


def use(seen):
    with use_threads(3):
        seen.append(blas_threads())
        with threads.use_blas_threads():
            seen.append(blas_threads())
        seen.append(blas_threads())


def test_few_rows_are_left_to_blas_then_too(nobody_has_set_them):
    with threads.use_blas_threads():
        assert (threads.num_threads(), blas_threads()) == (1, {3})
    assert (threads._num_threads, threads.num_threads()) == (None, 3)


def test_use_threads_goes_back_to_the_default(nobody_has_set_them):
    before = blas_threads()
    with use_threads(2):
        assert threads.num_threads() == 2
        threads.parallel_for(lambda part: None, 4)
    assert (threads.num_threads(), blas_threads()) == (3, before)


DEFAULT = """
import multiprocessing, os, threadpoolctl
import numpy as np
import tinygrad_gpt as tg
from tinygrad_gpt.kernels import num_threads, threads

def blas():
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

def in_a_child(queue):
    queue.put((num_threads(), blas()))

before = blas()
model = tg.GPT(tg.GPTConfig(vocab_size=9, context_length=8, emb_dim=8, n_heads=2, n_layers=1))
ids = np.zeros((2, 8), int)
model.loss(ids, ids).backward()
queue = multiprocessing.get_context("fork").SimpleQueue()
child = multiprocessing.get_context("fork").Process(target=in_a_child, args=(queue,))
child.start(); child.join(20)
print(num_threads() == tg.kernels.default_num_threads(), blas() == before, queue.get() == (1, before))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_program_that_sets_nothing_uses_the_cores_and_its_forks_one_thread():
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", DEFAULT], capture_output=True, text=True, check=False
    )
    assert done.stdout == "True True True\n", done.stderr
