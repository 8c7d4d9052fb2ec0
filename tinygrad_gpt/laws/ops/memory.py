"""Laws on an op and memory: it does not change its inputs, and depends on nothing but its inputs."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.assertions import require_same
from tinygrad_gpt.laws.law import Array, LawBroken, law
from tinygrad_gpt.laws.ops.assertions import distinct_dy, require_close
from tinygrad_gpt.laws.ops.rounding import input_sensitivity, sum_tolerance
from tinygrad_gpt.laws.ops.under_test import SHAPE_EXAMPLES, Arrays, OpUnderTest, Settings, in_dtype, op_cases
from tinygrad_gpt.laws.source import literal
from tinygrad_gpt.laws.strategies import laid_out, layouts


@law(
    "G12",
    "inputs are not changed",
    area="ops",
    case=op_cases,
    mutants=("shifts-its-input-in-place",),
    examples=SHAPE_EXAMPLES,
)
def inputs_are_left_alone(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """Neither the op nor its vjp changes its arrays or its settings."""
    before = [x.copy() for x in arrays]
    settings_before = literal(settings)
    y, vjp = sut.run(arrays, settings)
    vjp(distinct_dy(seed, y))
    for i, (x, was) in enumerate(zip(arrays, before, strict=True)):
        require_same(f"array {i} afterwards", x, was)
    if literal(settings) != settings_before:
        raise LawBroken(f"settings {literal(settings)} after the call", settings_before)


@law(
    "G13",
    "dy is not changed",
    area="ops",
    case=op_cases,
    mutants=("masks-dy-in-place", "hands-dy-on-undeclared", "one-array-for-two-gradients"),
    examples=SHAPE_EXAMPLES,
)
def dy_is_left_alone(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """The vjp does not change dy. A gradient shares memory with dy or another gradient only if that is declared."""
    y, vjp = sut.run(arrays, settings)
    dy = distinct_dy(seed, y)
    before = dy.copy()
    grads = vjp(dy)
    require_same("dy afterwards", dy, before)
    for i in sut.differentiable(arrays):
        if "dx" not in sut.aliasing and np.shares_memory(grads[i], dy):
            raise LawBroken(
                f"gradient {i} shares memory with dy", 'memory that is not shared, or "dx" declared in aliasing'
            )
    for i, j in itertools.combinations(sut.differentiable(arrays), 2):
        if "dx" not in sut.aliasing and np.shares_memory(grads[i], grads[j]):
            raise LawBroken(
                f"gradients {i} and {j} share memory", 'memory that is not shared, or "dx" declared in aliasing'
            )


@law(
    "G14",
    "the result is a new array",
    area="ops",
    case=op_cases,
    mutants=("identity-returns-its-input",),
    examples=SHAPE_EXAMPLES,
)
def result_is_new(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """y does not share memory with an input, unless that is declared."""
    y, _ = sut.run(arrays, settings)
    for i, x in enumerate(arrays):
        if "y" not in sut.aliasing and np.shares_memory(y, x):
            raise LawBroken(f"y shares memory with array {i}", 'memory that is not shared, or "y" declared in aliasing')


@law(
    "G15",
    "memory layout does not matter",
    area="ops",
    case=lambda sut: op_cases(sut, layout=layouts() | st.just("stride 0")),
    mutants=("reads-memory-order", "reads-memory-order-in-float32"),
)
def layout_does_not_matter(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int, layout: str) -> None:
    """Strided, reversed, transposed, read-only and broadcast arrays (and such a dy) give the same results as contiguous
    copies, up to rounding.
    """
    odd = tuple(_with_layout(x, layout) for x in arrays)
    plain = tuple(np.array(x, order="C") for x in odd)
    (y, vjp), (z, plain_vjp) = sut.run(odd, settings), sut.run(plain, settings)
    dy = _with_layout(distinct_dy(seed, z), layout)
    plain_dy = np.array(dy, order="C")
    got, want, free = vjp(dy), plain_vjp(plain_dy), input_sensitivity(sut, plain, settings, plain_dy)
    rtol = max(sut.rtol, sum_tolerance(arrays, z))
    require_close("y", y, z, rtol, slack=free.y)
    for i in sut.differentiable(arrays):
        require_close(f"gradient {i}", got[i], want[i], rtol, slack=free.gradients[i])


def _with_layout(x: Array, layout: str) -> Array:
    """x in another layout; "stride 0" repeats its first entries along the last axis."""
    if not x.ndim:
        return x
    return np.broadcast_to(x[..., :1], x.shape) if layout == "stride 0" else laid_out(x, layout)


@law(
    "G17",
    "the same call gives the same bits",
    area="ops",
    case=op_cases,
    needs=("deterministic",),
    mutants=("draws-its-own-mask",),
    examples=SHAPE_EXAMPLES,
)
def same_bits_again(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """Two runs on the same arrays give the same bits of y and of all gradients, unless atomics are declared."""
    (y, vjp), (z, again) = sut.run(arrays, settings), sut.run(arrays, settings)
    require_same("y of the second run", z, y)
    dy = distinct_dy(seed, y)
    for i, (got, want) in enumerate(zip(again(dy), vjp(dy), strict=True)):
        require_same(f"gradient {i} of the second run", got, want)


@law(
    "G18",
    "a vjp belongs to its own forward pass",
    area="ops",
    case=lambda sut: op_cases(sut, between=sut.cases),
    needs=("deterministic",),
    mutants=("state-on-the-op",),
    examples=SHAPE_EXAMPLES,
)
def vjp_belongs_to_its_forward(
    sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int, between: tuple[Arrays, Settings]
) -> None:
    """The gradients do not change if the op runs on other arrays in between, or if the vjp is called twice."""
    y, vjp = sut.run(arrays, settings)
    dy = distinct_dy(seed, y)
    want = sut.run(arrays, settings)[1](dy)
    dtype = "float64" if "float64" in sut.dtypes else sut.dtypes[0]
    z, other_vjp = sut.run(in_dtype(between[0], dtype), between[1])
    other_vjp(distinct_dy(seed, z))
    for turn in ("after another forward pass", "when called again"):
        for i, (got, alone) in enumerate(zip(vjp(dy), want, strict=True)):
            require_same(f"gradient {i} {turn}", got, alone)


@law(
    "G26",
    "nothing depends on uninitialised memory",
    area="ops",
    case=op_cases,
    needs=("deterministic",),
    mutants=("accumulates-into-empty",),
    cites=("pytorch/pytorch#185495",),
    examples=SHAPE_EXAMPLES,
)
def uninitialised_memory_is_not_read(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """y and all gradients have the same bits when np.empty and np.empty_like are filled with nan."""
    y, vjp = sut.run(arrays, settings)
    dy = distinct_dy(seed, y)
    want = vjp(dy)
    with empty_is_garbage():
        z, poisoned_vjp = sut.run(arrays, settings)
        got = poisoned_vjp(dy)
    require_same("y (np.empty filled with nan)", z, y)
    for i in sut.differentiable(arrays):
        require_same(f"gradient {i} (np.empty filled with nan)", got[i], want[i])


@contextmanager
def empty_is_garbage() -> Iterator[None]:
    """Within the block np.empty and np.empty_like are filled with nan, the largest integer, or True."""
    empty, empty_like = np.empty, np.empty_like
    with (
        mock.patch.object(np, "empty", lambda *args, **settings: _fill_with_garbage(empty(*args, **settings))),
        mock.patch.object(
            np, "empty_like", lambda *args, **settings: _fill_with_garbage(empty_like(*args, **settings))
        ),
    ):
        yield


def _fill_with_garbage(x: Any) -> Any:
    if x.dtype.kind in "fc":
        x.fill(np.nan)
    elif x.dtype.kind in "iu":
        x.fill(np.iinfo(x.dtype).max)
    elif x.dtype.kind == "b":
        x.fill(True)
    return x


MEMORY_LAWS = (
    inputs_are_left_alone,
    dy_is_left_alone,
    result_is_new,
    layout_does_not_matter,
    same_bits_again,
    vjp_belongs_to_its_forward,
    uninitialised_memory_is_not_read,
)
