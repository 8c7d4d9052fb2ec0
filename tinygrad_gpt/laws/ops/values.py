"""Laws on what an op computes: its result, its vjp, and the gradients of arrays that are broadcast or gathered."""

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array, LawBroken, law
from tinygrad_gpt.laws.ops.assertions import distinct_dy, gaussian_dy, require_close
from tinygrad_gpt.laws.ops.derivatives import Directions, directional_derivative, jacobian, one_hot
from tinygrad_gpt.laws.ops.rounding import (
    dtype_tolerance,
    input_sensitivity,
    owner_sum_tolerance,
    reference_sensitivity,
    sum_tolerance,
    unit_roundoff,
)
from tinygrad_gpt.laws.ops.under_test import (
    SHAPE_EXAMPLES,
    Arrays,
    OpUnderTest,
    Settings,
    in_dtype,
    op_cases,
    plain_cases,
)
from tinygrad_gpt.laws.strategies import normal

_FULL_JACOBIAN = 24  # most entries of x, and of y, for which every derivative is compared
_PROJECTIONS = (
    8  # if 1 of 10,000 entries is wrong: one Gaussian projection misses 25 % of such errors, eight miss 2 % (rtol 1e-3)
)
_EXACT_RTOL, _DIFFERENCES_RTOL = 1e-11, 1e-6


@law(
    "G01",
    "the result is right",
    area="ops",
    case=plain_cases,
    needs=("reference",),
    mutants=("gelu-of-the-other-form", "matmul-in-float32"),
)
def result_is_right(sut: OpUnderTest, arrays: Arrays, settings: Settings) -> None:
    """y equals an independent reference, up to the rounding of its dtype."""
    y, _ = sut.run(arrays, settings)
    want = sut.oracle(in_dtype(arrays, "float64"), settings)
    slack = reference_sensitivity(lambda *x: sut.oracle(x, settings), arrays)
    require_close("y", y, want, max(sut.rtol, dtype_tolerance(arrays)), slack=slack)


@law(
    "G02",
    "the vjp is the transposed Jacobian",
    area="ops",
    case=op_cases,
    needs=("derivative",),
    mutants=("softmax-without-its-second-term", "layer-norm-without-its-last-term", "vjp-of-zeros", "factors-swapped"),
)
def vjp_is_the_transposed_jacobian(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """The vjp of each one-hot dy is a row of the Jacobian, and equals the numerical derivatives of that entry of y."""
    y, vjp = sut.run(arrays, settings)
    if np.size(y) > _FULL_JACOBIAN or any(x.size > _FULL_JACOBIAN for x in arrays):
        return  # G03 covers larger arrays
    tolerance = max(_EXACT_RTOL if sut.exact else _DIFFERENCES_RTOL, dtype_tolerance(arrays))
    wide = in_dtype(arrays, "float64")
    rows = [vjp(np.asarray(one_hot(y.shape, k), y.dtype)) for k in np.ndindex(y.shape)]
    for i in sut.differentiable(arrays):

        def of_x(*arrays: Array, i: int = i) -> Array:
            return jacobian(lambda *x: sut.oracle(x, settings), arrays, i, sut.exact)

        want = of_x(*wide)
        got = np.array([row[i] for row in rows]).reshape(want.shape)
        require_close(f"dy/dx{i}", got, want, tolerance, slack=reference_sensitivity(of_x, arrays))


@law(
    "G03",
    "the vjp agrees with random projections of the Jacobian",
    area="ops",
    case=op_cases,
    needs=("derivative",),
    mutants=("last-entries-of-a-long-row-forgotten",),
)
def projections_agree(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """<dy, J v> = <vjp(dy), v> for eight random pairs of v and dy, over all arrays at once, at any size."""
    y, vjp = sut.run(arrays, settings)
    random = np.random.Generator(np.random.Philox(key=seed))
    where = sut.differentiable(arrays)
    tolerance = max(_EXACT_RTOL if sut.exact else _DIFFERENCES_RTOL, dtype_tolerance(arrays))
    wide = in_dtype(arrays, "float64")
    for _ in range(_PROJECTIONS):
        v = {i: random.standard_normal(arrays[i].shape) for i in where}
        dy = np.asarray(random.standard_normal(y.shape), y.dtype)

        def along_v(*arrays: Array, dy: Array = dy, v: Directions = v) -> Array:
            return dy * directional_derivative(lambda *x: sut.oracle(x, settings), arrays, v, sut.exact)

        products = along_v(*wide)
        grads = vjp(dy)
        got = sum(float(np.sum(np.asarray(grads[i]) * v[i])) for i in where)
        scale = 1 + float(np.sum(np.abs(products)))
        slack = products.size * reference_sensitivity(along_v, arrays)
        require_close("<vjp(dy), v>", np.array(got), np.sum(products), tolerance, scale, slack)


@law(
    "G04",
    "the vjp is linear",
    area="ops",
    case=lambda sut: op_cases(sut, a=st.integers(-3, 3), b=st.integers(-3, 3)),
    mutants=("vjp-ignores-dy",),
)
def vjp_is_linear(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int, a: int, b: int) -> None:
    """vjp(a dy + b dz) = a vjp(dy) + b vjp(dz), and vjp(0) = 0."""
    y, vjp = sut.run(arrays, settings)
    dy, dz = distinct_dy(seed, y), np.asarray(normal(seed, y.shape), y.dtype)
    together, first, second, none = (vjp(d) for d in (a * dy + b * dz, dy, dz, 0 * dy))
    for i in sut.differentiable(arrays):
        parts = a * np.asarray(first[i]), b * np.asarray(second[i])
        scale = max(1.0, *(float(np.max(np.abs(part), initial=0)) for part in parts))
        what = f"gradient {i} of {a} dy + {b} dz"
        require_close(what, np.asarray(together[i]), parts[0] + parts[1], max(1e-10, dtype_tolerance(arrays)), scale)
        if np.any(none[i]):
            raise LawBroken(f"gradient {i} = {none[i]!r} for dy = 0", "0")


@law(
    "G05",
    "a gradient has its array's shape",
    area="ops",
    case=op_cases,
    mutants=("gradient-left-broadcast",),
    cites=(
        "pytorch/pytorch#1787",
        "deeplearning4j/nd4j#2424",
        "raskr/rust-autograd#38",
        "Theano/Theano#1585",
    ),
    examples=SHAPE_EXAMPLES,
)
def gradients_have_their_arrays_shapes(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """dx.shape = x.shape, also where x was broadcast."""
    y, vjp = sut.run(arrays, settings)
    grads = vjp(distinct_dy(seed, y))
    for i in sut.differentiable(arrays):
        if np.shape(grads[i]) != arrays[i].shape:
            raise LawBroken(f"gradient {i} of shape {np.shape(grads[i])}", f"{arrays[i].shape}, that of array {i}")


@law(
    "G06",
    "broadcasting is repeating",
    area="ops",
    case=op_cases,
    needs=("broadcast",),
    mutants=("repeats-get-a-mean", "repeats-summed-in-half"),
    cites=("HIPS/autograd#376", "HIPS/autograd#384"),
)
def broadcasting_is_repeating(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """Arrays that are broadcast give the same y as full copies of them. The gradient of an entry is the sum of the
    gradients of its n copies, within n u Σ|copies|, where u is the unit roundoff of y's dtype.
    """
    whole = tuple(np.array(x) for x in np.broadcast_arrays(*arrays))
    (y, vjp), (z, whole_vjp) = sut.run(arrays, settings), sut.run(whole, settings)
    rtol = max(sut.rtol, sum_tolerance((), y))  # a broadcast op computes entry by entry: only the copies are summed
    dy = gaussian_dy(seed, y)
    grads, copies, free = vjp(dy), whole_vjp(dy), input_sensitivity(sut, whole, settings, dy)
    require_close("y", y, z, rtol, slack=free.y)
    for i in sut.differentiable(arrays):
        shape, terms = arrays[i].shape, np.asarray(copies[i], np.float64)
        owners = np.broadcast_to(np.arange(arrays[i].size).reshape(shape), z.shape)
        sums = np.bincount(owners.ravel(), terms.ravel(), minlength=arrays[i].size).reshape(shape)
        slack = owner_sum_tolerance(terms, owners, arrays[i].size, y).reshape(shape) + free.gradients[i]
        require_close(f"gradient {i}", np.asarray(grads[i]), sums, rtol, slack=slack)


@law(
    "G09",
    "what is read twice is counted twice",
    area="ops",
    case=op_cases,
    needs=("gathers",),
    mutants=("repeated-ids-overwrite", "repeated-ids-summed-in-half"),
    cites=(
        "HIPS/autograd#39",
        "HIPS/autograd#136",
        "pytorch/pytorch#1528",
        "pytorch/pytorch#828",
        "pymc-devs/pytensor#2242",
        "karpathy/nn-zero-to-hero#57",
    ),
)
def repeated_ids_accumulate(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """For y = table[ids], row v of the gradient is the sum of dy over all n positions where ids is v, within n u Σ|dy|,
    where u is the unit roundoff of y's dtype.
    """
    table, ids = arrays
    y, vjp = sut.run(arrays, settings)
    dy = gaussian_dy(seed, y)
    want, slack = np.zeros(table.shape), np.zeros(table.shape)
    for place in np.ndindex(ids.shape):
        want[ids[place]] += dy[place]
        slack[ids[place]] += ids.size * unit_roundoff(y) * np.abs(dy[place])
    rtol = sut.rtol if y.dtype == np.float64 else 0.0
    require_close("the table's gradient", np.asarray(vjp(dy)[0]), want, rtol, slack=slack)


@law(
    "G23",
    "ties and kinks follow the declaration",
    area="ops",
    case=lambda sut: op_cases(sut, sut.kinks),
    needs=("kinks",),
    mutants=("every-tie-gets-all", "every-tie-gets-all-in-float32"),
    cites=("Theano/Theano#4568", "microsoft/CNTK#3855", "pytorch/pytorch#184572"),
)
def kinks_follow_the_declaration(sut: OpUnderTest, arrays: Arrays, settings: Settings, seed: int) -> None:
    """Where there is no derivative, the vjp returns the declared subgradient (equal shares among ties, for example),
    computed from the same numbers in float64.
    """
    y, vjp = sut.run(arrays, settings)
    dy = distinct_dy(seed, y)
    rtol = max(sut.rtol, sum_tolerance(arrays, y))
    assert sut.subgradient is not None
    declared = sut.subgradient(dy.astype(np.float64), *in_dtype(arrays, "float64"), **settings)
    for i, want in enumerate(declared):
        if want is not None:
            require_close(f"gradient {i}", np.asarray(vjp(dy)[i]), want, rtol)


VALUE_LAWS = (
    result_is_right,
    vjp_is_the_transposed_jacobian,
    projections_agree,
    vjp_is_linear,
    gradients_have_their_arrays_shapes,
    broadcasting_is_repeating,
    repeated_ids_accumulate,
    kinks_follow_the_declaration,
)
