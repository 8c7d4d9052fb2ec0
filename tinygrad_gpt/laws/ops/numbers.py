"""Laws on what an op does with dtypes, empty arrays, huge numbers, nan and the rows of a batch."""

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array, LawBroken, law
from tinygrad_gpt.laws.ops.assertions import DTYPE_RTOL, distinct_dy, require_close
from tinygrad_gpt.laws.ops.rounding import input_sensitivity, reference_sensitivity, sum_tolerance
from tinygrad_gpt.laws.ops.under_test import (
    SHAPE_EXAMPLES,
    Arrays,
    OpUnderTest,
    Settings,
    in_dtype,
    op_cases,
    plain_cases,
)

_NAMED_ERRORS = (ValueError, TypeError, IndexError)


@law(
    "G10",
    "dtypes are kept",
    area="ops",
    case=lambda sut: op_cases(sut, dtypes=st.lists(st.sampled_from(sut.dtypes), min_size=1, max_size=3)),
    mutants=("a-numpy-scalar-promotes", "gradient-in-float64"),
    cites=("HIPS/autograd#163", "HIPS/autograd#199", "HIPS/autograd#671", "chainer/chainer#684"),
)
def dtypes_are_kept(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int, dtypes: list[str]) -> None:
    """y has the dtype that the float arrays promote to. Each dx has the dtype of its x. Settings never promote."""
    chosen = dtypes if sut.mixes else dtypes[:1]
    arrays = tuple(in_dtype((x,), chosen[i % len(chosen)])[0] for i, x in enumerate(arrays))
    y, vjp = sut.run(arrays, settings)
    want = np.result_type(*(x.dtype for x in arrays if x.dtype.kind == "f"))
    if y.dtype != want:
        raise LawBroken(f"y of {y.dtype} from {', '.join(str(x.dtype) for x in arrays)}", str(want))
    grads = vjp(distinct_dy(seed, y))
    for i in sut.differentiable(arrays):
        if grads[i].dtype != arrays[i].dtype:
            raise LawBroken(f"gradient {i} of {grads[i].dtype}", f"{arrays[i].dtype}, that of array {i}")


@law(
    "G11",
    "float32 agrees with float64",
    area="ops",
    case=op_cases,
    needs=("float32", "float64"),
    mutants=("variance-by-cancellation",),
)
def float32_agrees_with_float64(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """For n entries in all, y and gradients in float32 are within 1e-5 √n of those in float64, plus what they move in
    float64 when the inputs change in their last digit.
    """
    narrow = in_dtype(arrays, "float32")
    wide = in_dtype(narrow, "float64")
    (y, vjp), (z, wide_vjp) = sut.run(narrow, settings), sut.run(wide, settings)
    rtol = DTYPE_RTOL["float32"] * max(1, sum(x.size for x in arrays)) ** 0.5
    require_close("y in float32", y, z, rtol, slack=reference_sensitivity(lambda *x: sut.run(x, settings)[0], narrow))
    dy = distinct_dy(seed, y)
    got, want = vjp(dy), wide_vjp(dy.astype(np.float64))
    for i in sut.differentiable(arrays):

        def gradient(*x: Array, i: int = i) -> Array:
            return np.asarray(sut.run(x, settings)[1](dy.astype(np.float64))[i])

        require_close(f"gradient {i} in float32", got[i], want[i], rtol, slack=reference_sensitivity(gradient, narrow))


@law(
    "G16",
    "arrays without axes or entries",
    area="ops",
    case=lambda sut: op_cases(sut, sut.edge_cases),
    needs=("edges",),
    mutants=("a-number-becomes-a-row",),
    cites=("rsokl/MyGrad#373", "HIPS/autograd#695"),
    examples=SHAPE_EXAMPLES,
)
def edges_work(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """Arrays without axes or entries work and keep their shapes, forward and backward, or raise a ValueError, TypeError
    or IndexError.
    """
    try:
        y, vjp = sut.run(arrays, settings)
        grads = vjp(distinct_dy(seed, y))
    except _NAMED_ERRORS:
        return
    if sut.reference is not None and y.shape != np.shape(sut.oracle(arrays, settings)):
        raise LawBroken(f"y of shape {y.shape}", f"{np.shape(sut.oracle(arrays, settings))}")
    for i in sut.differentiable(arrays):
        if np.shape(grads[i]) != arrays[i].shape:
            raise LawBroken(f"gradient {i} of shape {np.shape(grads[i])}", f"{arrays[i].shape}")


@law("G19", "integers have no gradient", area="ops", case=op_cases, mutants=("ids-get-zeros",), examples=SHAPE_EXAMPLES)
def integers_have_no_gradient(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """The gradient of an array of integers or bools, or of a declared constant, is None."""
    y, vjp = sut.run(arrays, settings)
    grads = vjp(distinct_dy(seed, y))
    for i, x in enumerate(arrays):
        if i not in sut.differentiable(arrays) and grads[i] is not None:
            raise LawBroken(f"gradient {i} = {grads[i]!r}, array {i} being {x.dtype}", "None")


@law(
    "G20",
    "finite in, finite out",
    area="ops",
    case=lambda sut: op_cases(sut, sut.extremes, dtype=st.sampled_from([d for d in sut.dtypes if d != "float16"])),
    needs=("extremes",),
    mutants=("softmax-without-its-shift", "mask-by-multiplying"),
    cites=("huggingface/trl#7252", "pytorch/pytorch#41508"),
)
def finite_in_finite_out(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int, dtype: str) -> None:
    """Huge and tiny numbers give a finite y and finite gradients. With an input of -inf, y is not nan and gradients are
    finite.
    """
    arrays = in_dtype(arrays, dtype)
    y, vjp = sut.run(arrays, settings)
    if all(np.isfinite(x).all() for x in arrays) and not np.isfinite(y).all():
        raise LawBroken(f"y = {y!r}", "finite, as all arrays are")
    if np.isnan(y).any():
        raise LawBroken(f"y = {y!r}", "no nan")
    grads = vjp(distinct_dy(seed, y))
    for i in sut.differentiable(arrays):
        if not np.isfinite(grads[i]).all():
            raise LawBroken(f"gradient {i} = {grads[i]!r}", "finite")


@law(
    "G21",
    "nan is not hidden",
    area="ops",
    case=lambda sut: plain_cases(sut, array=st.integers(0, 3), place=st.integers(0, 23)),
    needs=("reference",),
    mutants=("relu-hides-nan",),
    cites=("JustVugg/colibri#369", "pytorch/pytorch#141128"),
)
def nan_is_not_hidden(sut: OpUnderTest, arrays: Arrays, settings: Settings, array: int, place: int) -> None:
    """A nan in the input makes y nan wherever the reference is nan, or raises an error."""
    floats = [i for i, x in enumerate(arrays) if x.dtype.kind == "f" and x.size]
    if not floats:
        return
    chosen = arrays[floats[array % len(floats)]]
    spoilt = chosen.copy()
    spoilt.flat[place % chosen.size] = np.nan
    arrays = tuple(spoilt if x is chosen else x for x in arrays)
    try:
        y, _ = sut.run(arrays, settings)
    except _NAMED_ERRORS:
        return
    want = np.isnan(np.real(sut.oracle(arrays, settings)))
    if (want & ~np.isnan(y)).any():
        places = f"nan at {np.argwhere(want).tolist()}" if want.ndim else "nan"
        raise LawBroken(f"y = {y!r}", f"{places}, or an error")


@law(
    "G22",
    "rows of a batch are independent",
    area="ops",
    case=op_cases,
    needs=("batched",),
    mutants=(
        "first-row-decides-for-all",
        "statistics-of-the-whole-batch",
        "one-scale-for-the-batch-in-float32",
        "gradient-centred-over-the-batch",
    ),
)
def rows_are_independent(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """Permuting the batch permutes y and its gradients. Row 0 and its gradient do not depend on the other rows."""
    rows = arrays[sut.batched[0]].shape[0]
    order, copies = np.random.Generator(np.random.Philox(key=seed)).permutation(rows), np.zeros(rows, int)
    y, vjp = sut.run(arrays, settings)
    dy = distinct_dy(seed, y)
    z, permuted_vjp = sut.run(_reorder_rows(sut, arrays, order), settings)
    alone, alone_vjp = sut.run(_reorder_rows(sut, arrays, copies), settings)
    free, rtol = input_sensitivity(sut, arrays, settings, dy), max(1e-9, sum_tolerance(arrays, y))
    require_close("y of the permuted batch", z, y[order], rtol, slack=free.y)
    require_close("row 0 beside copies of itself", alone[0], y[0], rtol, slack=free.y)
    want, permuted, single = vjp(dy), permuted_vjp(dy[order]), alone_vjp(dy[copies])
    for i in set(sut.batched) & set(sut.differentiable(arrays)):
        slack = free.gradients[i]
        require_close(f"gradient {i} of the permuted batch", permuted[i], want[i][order], rtol, slack=slack)
        require_close(f"gradient {i} of row 0 beside copies of itself", single[i][0], want[i][0], rtol, slack=slack)


def _reorder_rows(sut: OpUnderTest, arrays: Arrays, order: Array) -> Arrays:
    """The arrays with these rows of the batch, in this order."""
    return tuple(x[order] if i in sut.batched else x for i, x in enumerate(arrays))


@law(
    "E11",
    "a kernel is its op, faster",
    area="ops",
    case=lambda sut: op_cases(sut, dtype=st.sampled_from(sut.dtypes)),
    needs=("original",),
    mutants=("kernel-forgets-the-tail",),
)
def kernel_is_its_op(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int, dtype: str) -> None:
    """y and gradients have the shapes and dtypes of the original op's, and its values up to rounding."""
    assert sut.original is not None
    arrays = in_dtype(arrays, dtype)
    (y, vjp), (z, original_vjp) = sut.run(arrays, settings), sut.original(*arrays, **settings)
    if y.dtype != z.dtype:
        raise LawBroken(f"y of {y.dtype}", str(z.dtype))
    require_close("y", y, z, DTYPE_RTOL[dtype])
    dy = distinct_dy(seed, z)
    for i, (got, want) in enumerate(zip(vjp(dy), original_vjp(dy), strict=True)):
        if (got is None) != (want is None) or (got is not None and got.dtype != want.dtype):
            raise LawBroken(f"gradient {i} is {got!r}", f"{want!r}")
        if want is not None:
            require_close(f"gradient {i}", got, want, DTYPE_RTOL[dtype])


NUMBER_LAWS = (
    dtypes_are_kept,
    float32_agrees_with_float64,
    edges_work,
    integers_have_no_gradient,
    finite_in_finite_out,
    nan_is_not_hidden,
    rows_are_independent,
    kernel_is_its_op,
)
