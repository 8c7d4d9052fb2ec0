"""Laws on how an engine behaves: switches, errors, second backward passes, and leaves that the loss does not use."""

import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.engine.graphs import VECTOR_SHAPE, require_grad, vectors
from tinygrad_gpt.laws.engine.under_test import ERRORS, EngineUnderTest
from tinygrad_gpt.laws.law import Array, LawBroken, cases, law
from tinygrad_gpt.laws.ops.assertions import require_close
from tinygrad_gpt.laws.strategies import cotangents


@law(
    "E04",
    "a second walk",
    area="engine",
    case=lambda sut: cases(x=vectors(), shared=st.booleans()),
    mutants=("a-second-walk-is-silent", "a-second-walk-doubles"),
)
def second_backward(sut: EngineUnderTest, x: Array, shared: bool) -> None:
    """A second backward pass through a graph, or through a part of it, raises an error or adds the same gradients
    again, as declared.
    """
    leaf = sut.leaf(x.copy())
    square = sut.multiply(leaf, leaf)
    loss, other = sut.sum(square), sut.sum(sut.multiply(square, sut.constant(np.ones(VECTOR_SHAPE))))
    sut.backward(loss)
    once = require_grad(sut, leaf).copy()
    try:
        sut.backward(other if shared else loss)
    except ERRORS as error:
        if sut.second_backward != "error":
            raise LawBroken(f"{type(error).__name__}: {error}", "the same gradient added again") from error
        require_close("the gradient after the error", require_grad(sut, leaf), once, 0.0)
        return
    if sut.second_backward == "error":
        raise LawBroken(f"no error, and a gradient of {sut.grad(leaf)!r} after {once!r}", "an error")
    require_close("the gradient after the second backward pass", require_grad(sut, leaf), 2 * once, 0.0)


@law(
    "E05",
    "constants build no graph",
    area="engine",
    case=lambda sut: cases(after_an_error=st.booleans()),
    mutants=("records-constants", "an-error-stops-recording"),
)
def constants_build_no_graph(sut: EngineUnderTest, after_an_error: bool) -> None:
    """A result of constants alone holds no reference to them, also after an operation has raised an error."""
    if after_an_error:
        try:
            sut.add(sut.leaf(np.ones(2)), sut.constant(np.ones(3)))
        except Exception:
            pass
        else:
            raise LawBroken("arrays of 2 and 3 entries were added", "an error")
    x = sut.constant(np.ones(VECTOR_SHAPE))
    y = sut.multiply(x, x)
    z = sut.tanh(y)
    watched = weakref.ref(y)
    del x, y
    if watched() is not None:
        raise LawBroken("tanh of a constant keeps that constant alive", "no reference to it")
    (slope,) = sut.slopes(lambda t: sut.multiply(t, z), np.ones(VECTOR_SHAPE))
    require_close("a gradient recorded afterwards", slope, np.tanh(np.ones(VECTOR_SHAPE)), 1e-12)


@law("E07", "a leaf outside the graph", area="engine", case=lambda sut: cases(x=vectors()), mutants=("zeros-for-all",))
def leaf_outside(sut: EngineUnderTest, x: Array) -> None:
    """A leaf that the loss does not depend on has no gradient at all, so that an optimizer can skip it."""
    inside, outside = sut.leaf(x.copy()), sut.leaf(x.copy())
    unused = sut.multiply(outside, inside)
    sut.backward(sut.sum(sut.multiply(inside, inside)))
    if sut.grad(outside) is not None:
        raise LawBroken(f"a gradient {sut.grad(outside)!r}", "None")
    require_close("the gradient of the leaf inside", require_grad(sut, inside), 2 * x, 1e-12)
    del unused


@law(
    "E08",
    "constants and integers",
    area="engine",
    case=lambda sut: cases(x=vectors(), w=cotangents(VECTOR_SHAPE)),
    mutants=("constants-get-gradients", "integers-may-ask"),
)
def constants_and_integers(sut: EngineUnderTest, x: Array, w: Array) -> None:
    """A constant gets no gradient, and an integer leaf that requires one is an error."""
    leaf, constant = sut.leaf(x.copy()), sut.constant(w.copy())
    sut.backward(sut.sum(sut.multiply(leaf, constant)))
    if sut.grad(constant) is not None:
        raise LawBroken(f"a constant's gradient is {sut.grad(constant)!r}", "None")
    require_close("the gradient", require_grad(sut, leaf), w, 1e-12)
    try:
        asking = sut.leaf(np.arange(3))
    except ERRORS:
        return
    raise LawBroken(f"a leaf of {sut.data(asking).dtype} that requires a gradient", "an error")


@law(
    "E09",
    "no_grad is for one thread, and is restored",
    area="engine",
    case=lambda sut: cases(x=vectors(), nested=st.booleans()),
    needs=("no_grad",),
    mutants=("one-switch-for-all-threads", "an-error-leaves-the-switch-off", "the-inner-block-switches-on"),
)
def switch_is_isolated(sut: EngineUnderTest, x: Array, nested: bool) -> None:
    """no_grad stops recording in its own thread only. After it, also after an error, recording continues."""
    assert sut.no_grad is not None
    recorded = 2 * x
    leaf = sut.leaf(x.copy())
    try:
        with sut.no_grad():
            if nested:
                with sut.no_grad():
                    pass
            silent = sut.sum(sut.multiply(leaf, leaf))
            elsewhere = _in_another_thread(lambda: sut.slopes(lambda t: sut.multiply(t, t), x)[0])
            raise KeyError
    except KeyError:
        pass
    with suppress(*ERRORS):
        sut.backward(silent)
    if sut.grad(leaf) is not None:
        raise LawBroken(f"a gradient {sut.grad(leaf)!r} through what was made under no_grad", "none")
    require_close("a gradient recorded by another thread at the same time", elsewhere, recorded, 1e-12)
    require_close("a gradient recorded afterwards", sut.slopes(lambda t: sut.multiply(t, t), x)[0], recorded, 1e-12)


def _in_another_thread(work: Callable[[], Array]) -> Array:
    """What work returns in a new thread; nan if it raises."""
    found = [np.full(VECTOR_SHAPE, np.nan)]

    def run() -> None:
        try:
            found[0] = work()
        except Exception:
            return

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


@law(
    "E10",
    "the nan guard names the operation",
    area="engine",
    case=lambda sut: cases(x=vectors()),
    needs=("nan_guard", "apply"),
    mutants=("a-guard-without-a-name",),
)
def nan_guard_names_the_op(sut: EngineUnderTest, x: Array) -> None:
    """Under the guard, the operation that produces the first nan raises an error with its name; others do not."""
    assert sut.nan_guard is not None
    assert sut.apply is not None

    def poison(values: Array) -> tuple[Array, Any]:
        return values * np.nan, lambda dy: (dy,)

    with sut.nan_guard():
        good = sut.tanh(sut.leaf(x.copy()))
        try:
            sut.apply(poison, good)
        except Exception as error:
            if "poison" not in str(error):
                raise LawBroken(f"{type(error).__name__}: {error}", "an error that names poison") from error
            return
    raise LawBroken("nan from poison, and no error", "an error that names poison")


RECORDING_AND_ERROR_LAWS = (
    second_backward,
    constants_build_no_graph,
    leaf_outside,
    constants_and_integers,
    switch_is_isolated,
    nan_guard_names_the_op,
)
