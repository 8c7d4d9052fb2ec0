"""Laws on an engine's memory: what it frees, what it may share, and what may be overwritten before backward."""

import gc
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.engine.graphs import VECTOR_SHAPE, require_grad, vectors
from tinygrad_gpt.laws.engine.under_test import ERRORS, EngineUnderTest, Node
from tinygrad_gpt.laws.law import Array, LawBroken, cases, law
from tinygrad_gpt.laws.ops.assertions import require_close
from tinygrad_gpt.laws.strategies import cotangents

_LEAST_LEAK = 16  # bytes per step: a Python number takes 24


@law(
    "E03",
    "intermediates die with the last reference",
    area="engine",
    case=lambda sut: cases(steps=st.integers(1, 5), walked=st.booleans()),
    mutants=("remembers-everything", "points-at-its-children"),
)
def intermediates_die(sut: EngineUnderTest, steps: int, walked: bool) -> None:
    """Without the garbage collector, a graph's tensors are freed with the loss, with or without a backward pass."""
    leaf = sut.leaf(np.ones(VECTOR_SHAPE))
    enabled = gc.isenabled()
    gc.disable()
    try:
        watched = _graph(sut, leaf, steps, walked)
        left = sum(reference() is not None for reference in watched)
    finally:
        if enabled:
            gc.enable()
    if left:
        raise LawBroken(f"{left} of {len(watched)} tensors are still there", "none")


def _graph(sut: EngineUnderTest, leaf: Node, steps: int, walked: bool) -> list[Any]:
    """Weak references to all tensors of a graph to which no other references are left."""
    x, watched = leaf, []
    for _ in range(steps):
        x = sut.tanh(sut.multiply(x, x))
        watched.append(weakref.ref(x))
    loss = sut.sum(x)
    watched.append(weakref.ref(loss))
    if walked:
        sut.backward(loss)
    return watched


@law(
    "E15",
    "memory is flat",
    area="engine",
    case=lambda sut: cases(steps=st.just(500)),
    mutants=("keeps-every-gradient", "keeps-every-loss"),
    examples=1,
)
def memory_is_flat(sut: EngineUnderTest, steps: int) -> None:
    """Without the garbage collector, at least one of ten runs of 500 steps (forward and backward) leaves less than 16
    bytes per step.
    """
    leaf, grown = sut.leaf(np.ones(VECTOR_SHAPE)), []
    with _traced_memory() as in_use:
        for _ in range(10):  # Python keeps some freed objects for reuse, up to a limit
            before = in_use()
            _train(sut, leaf, steps)
            grown.append(in_use() - before)
            if grown[-1] < _LEAST_LEAK * steps:
                return
    raise LawBroken(f"{grown[-1]:,} bytes more after {steps} more steps", f"less than {_LEAST_LEAK * steps:,}")


def _train(sut: EngineUnderTest, leaf: Node, steps: int) -> None:
    """Run this many steps and keep none of their tensors."""
    for _ in range(steps):
        sut.backward(sut.sum(sut.tanh(sut.multiply(leaf, leaf))))


@contextmanager
def _traced_memory() -> Iterator[Callable[[], int]]:
    """The bytes that Python and NumPy have allocated, measured with the garbage collector off."""
    enabled, tracing = gc.isenabled(), tracemalloc.is_tracing()
    gc.collect()
    gc.disable()
    if not tracing:
        tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        if not tracing:
            tracemalloc.stop()
        if enabled:
            gc.enable()


@law(
    "E06",
    "writing into a saved array",
    area="engine",
    case=lambda sut: cases(x=vectors(), which=st.sampled_from(["a leaf", "an intermediate"])),
    needs=("safe writes",),
    mutants=("saves-by-reference",),
)
def saved_arrays_are_safe(sut: EngineUnderTest, x: Array, which: str) -> None:
    """Writing into an array between forward and backward raises an error, at once or in backward, or does not
    change the gradients.
    """
    leaf = sut.leaf(x.copy())
    y = sut.tanh(leaf)
    loss = sut.sum(sut.multiply(y, sut.multiply(leaf, leaf)))
    try:
        sut.data(leaf if which == "a leaf" else y)[...] = 7.0
        sut.backward(loss)
    except ERRORS:
        return
    want = (1 - np.tanh(x) ** 2) * x * x + 2 * x * np.tanh(x)
    require_close(f"the gradient after {which} was overwritten", require_grad(sut, leaf), want, 1e-12)


@law(
    "E14",
    "a gradient is the leaf's own array",
    area="engine",
    case=lambda sut: st.sampled_from([VECTOR_SHAPE, ()]).flatmap(
        lambda shape: cases(w=cotangents(shape), times=st.integers(1, 2))
    ),
    mutants=("one-gradient-for-two-leaves", "keeps-what-a-vjp-returned"),
)
def gradients_share_nothing(sut: EngineUnderTest, w: Array, times: int) -> None:
    """A gradient can be written to, and does not share memory with another gradient, with values, with dloss or with a
    saved array.
    """
    a, b, c = (sut.leaf(np.ones(w.shape)) for _ in range(3))
    others = [w, *(sut.data(leaf) for leaf in (a, b, c))]

    def weighted(x: Array) -> tuple[Array, Any]:
        saved = np.array(w)
        others.append(saved)
        return x * w, lambda dy: (saved,)  # for a dy of ones

    for _ in range(times):
        constant = sut.constant(np.ones(w.shape))
        others.append(sut.data(constant))
        y = sut.add(sut.add(sut.multiply(a, constant), b), c)
        sut.backward(y, w) if sut.seeded else sut.backward(sut.sum(y))
    if sut.apply is not None:
        d = sut.leaf(np.ones(w.shape))
        sut.backward(sut.sum(sut.apply(weighted, d)))
        own = sut.grad(d)
        if own is not None and any(np.shares_memory(own, other) for other in others):
            raise LawBroken("a gradient shares memory with what an operation saved", "its own")
    for leaf in (a, b, c):
        grad = sut.grad(leaf)
        if not (isinstance(grad, np.ndarray) and grad.flags.writeable):
            raise LawBroken(f"a gradient that is {grad!r}", "an array that can be written to")
        if any(np.shares_memory(grad, other) for other in others):
            raise LawBroken("a gradient shares memory with another gradient, with dloss or with values", "its own")
        others.append(grad)


MEMORY_LAWS = (
    intermediates_die,
    memory_is_flat,
    saved_arrays_are_safe,
    gradients_share_nothing,
)
