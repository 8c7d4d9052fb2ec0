"""Broken ops, and what each does to its user."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.mutants.broken_ops import (
    Remembering,
    averaging_add,
    batch_statistics,
    cancelling_variance,
    centring_vjp,
    counting_embedding,
    deaf_exp,
    deafened_relu,
    equal_shares,
    erf_gelu,
    first_row_shift,
    forgetful_tanh,
    greedy_max,
    half_layer_norm,
    half_softmax,
    half_summing_add,
    half_summing_embedding,
    masking_relu,
    memory_order,
    moody_dropout,
    multiplying_mask,
    narrow_matmul,
    overwriting_embedding,
    promoting_scale,
    rounding_by_batch,
    rowing_negative,
    rows_normalised,
    sharing_add,
    shifting_exp,
    softmax,
    tailless_tanh,
    tanh,
    tanh_gelu,
    transparent_dropout,
    twin_add,
    unclean_embedding,
    unshifted_softmax,
    unsummed_add,
    widening_tanh,
)
from tinygrad_gpt.laws.mutants.mutant import Mutant
from tinygrad_gpt.laws.ops.under_test import OpUnderTest, Strategy
from tinygrad_gpt.laws.strategies import arrays, dyadic, index_arrays, normal, seeds


def drawn(*shapes: tuple[int, ...], shift: float = 0.0) -> Strategy:
    """Arrays of these shapes, numbers within 3 of shift."""
    numbers = (arrays(shape, dyadic(3)).map(lambda x: x + shift) for shape in shapes)
    return st.tuples(st.tuples(*numbers), st.just({}))


TABLE_AND_IDS: Strategy = st.tuples(st.tuples(arrays((3, 2), dyadic(3)), index_arrays((4,), 3)), st.just({}))


def op(name: str, function: Any, story: str, *, cites: tuple[str, ...] = (), **claims: Any) -> Mutant:
    """A mutant op; a reference that is no function of the adapter's is one of NumPy's."""
    return Mutant(name, OpUnderTest(name=name, op=function, **claims), story, cites)


ROWS, PAIR = drawn((2, 3)), drawn((2, 3), (2, 3))
LONG: Strategy = seeds().map(lambda seed: ((normal(seed, (3, 9)),), {}))
HUGE: Strategy = st.tuples(st.tuples(arrays((2, 3), st.sampled_from([0.0, 1e4, -1e4]))), st.just({}))
INFINITE: Strategy = st.tuples(
    st.tuples(arrays((3,), st.sampled_from([1.0, -np.inf])), arrays((3,), st.booleans(), bool)), st.just({})
)
TIED: Strategy = st.tuples(st.tuples(arrays((2, 3), st.sampled_from([0.0, 1.0]))), st.just({}))
DX = frozenset({"dx"})

OP_MUTANTS: tuple[Mutant, ...] = (
    op(
        "gelu-of-the-other-form",
        erf_gelu,
        "GELU by erf where the tanh form is claimed: off by up to 4.7e-4, enough to fail parity with GPT-2.",
        reference=tanh_gelu,
    ),
    op(
        "matmul-in-float32",
        narrow_matmul,
        "float64 arrays are multiplied in float32.",
        reference=lambda a, b: (a[:, :, None] * b[None]).sum(1),
        domain=seeds().map(lambda seed: ((normal(seed, (2, 3)), normal(seed // 2, (3, 2))), {})),
    ),
    op(
        "softmax-without-its-second-term",
        half_softmax,
        "dx = p dy leaves out that the other probabilities fall.",
        reference=softmax,
        domain=ROWS,
    ),
    op(
        "layer-norm-without-its-last-term",
        half_layer_norm,
        "The way through the variance is left out.",
        reference=rows_normalised,
        domain=ROWS,
    ),
    op("vjp-of-zeros", lambda x: (np.exp(x), lambda dy: (0 * dy,)), "Nothing is ever learned.", reference=np.exp),
    op(
        "factors-swapped",
        lambda a, b: (a * b, lambda dy: (dy * a, dy * b)),
        "Each factor receives its own value instead of the other's.",
        arity=2,
    ),
    op(
        "last-entries-of-a-long-row-forgotten",
        forgetful_tanh,
        "Wrong only where an array does not fill the kernel's last block, so small tests pass.",
        reference=np.tanh,
        domain=LONG,
    ),
    op("vjp-ignores-dy", deaf_exp, "Differentiates the sum of y, whatever the loss is."),
    op(
        "gradient-left-broadcast",
        unsummed_add,
        "The gradient of a bias has the batch's shape.",
        cites=("pytorch/pytorch#1787", "raskr/rust-autograd#38"),
        arity=2,
        broadcast=True,
    ),
    op(
        "repeats-get-a-mean",
        averaging_add,
        "A bias learns more slowly the larger the batch is.",
        arity=2,
        broadcast=True,
    ),
    op(
        "repeats-summed-in-half",
        half_summing_add,
        "A kernel in float32 adds up a bias's gradient in float16: large batches stop counting.",
        arity=2,
        broadcast=True,
        dtypes=("float32",),
    ),
    op(
        "repeated-ids-summed-in-half",
        half_summing_embedding,
        "A kernel in float32 adds up a token's gradients in float16.",
        domain=TABLE_AND_IDS,
        gathers=True,
        dtypes=("float32",),
    ),
    op(
        "repeated-ids-overwrite",
        overwriting_embedding,
        "A token that occurs twice in a batch counts once.",
        cites=("HIPS/autograd#39", "karpathy/nn-zero-to-hero#57"),
        domain=TABLE_AND_IDS,
        gathers=True,
    ),
    op(
        "a-numpy-scalar-promotes",
        promoting_scale,
        "A constant made with np.sqrt turns float32 into float64: half the speed, twice the memory.",
    ),
    op("gradient-in-float64", widening_tanh, "float32 parameters get float64 gradients."),
    op(
        "variance-by-cancellation",
        cancelling_variance,
        "E[x²] - E[x]² loses its digits where the mean is large.",
        domain=drawn((2, 4), shift=64.0),
    ),
    op("shifts-its-input-in-place", shifting_exp, "The caller's array is another one afterwards."),
    op("masks-dy-in-place", masking_relu, "Writes into dy, which a second branch of the graph still needs."),
    op("hands-dy-on-undeclared", sharing_add, "Both gradients are dy itself, and nobody was told.", arity=2),
    op("identity-returns-its-input", transparent_dropout, "y is x, so writing into one changes the other."),
    op("one-array-for-two-gradients", twin_add, "Both gradients are one array, and nobody was told.", arity=2),
    op(
        "reads-memory-order-in-float32",
        memory_order,
        "A kernel for float32 alone that takes a transposed array to be in C order.",
        dtypes=("float32",),
    ),
    op("reads-memory-order", memory_order, "Right for C order only: a transposed array is read row by row."),
    op("a-number-becomes-a-row", rowing_negative, "A 0-d array gains an axis.", reference=lambda x: -x),
    op("draws-its-own-mask", moody_dropout, "No two runs agree, and forward cannot be repeated."),
    op("state-on-the-op", Remembering(), "The vjp reads what the op saw last, not what it saw then."),
    op("ids-get-zeros", counting_embedding, "Integers get a gradient.", domain=TABLE_AND_IDS),
    op(
        "softmax-without-its-shift",
        unshifted_softmax,
        "Logits above 709 give nan.",
        domain=ROWS,
        extremes=HUGE,
    ),
    op(
        "mask-by-multiplying",
        multiplying_mask,
        "Masks by multiplying with 0, which makes nan of the -inf it should hide.",
        cites=("huggingface/trl#7252",),
        domain=INFINITE,
        extremes=INFINITE,
    ),
    op("relu-hides-nan", deafened_relu, "A nan becomes 0.", reference=lambda x: np.maximum(x, 0)),
    op(
        "first-row-decides-for-all",
        first_row_shift,
        "Broadcasts a number of row 0, so it is right for a batch of one.",
        domain=ROWS,
        batched=(0,),
    ),
    op(
        "statistics-of-the-whole-batch",
        batch_statistics,
        "A row's result depends on what it was batched with.",
        domain=ROWS,
        batched=(0,),
    ),
    op(
        "one-scale-for-the-batch-in-float32",
        rounding_by_batch,
        "Rounds to steps that the largest number of the batch sets, so a prompt's answer depends on its neighbours.",
        domain=ROWS,
        batched=(0,),
        dtypes=("float32",),
    ),
    op(
        "gradient-centred-over-the-batch",
        centring_vjp,
        "Right forward; the gradient of a row is less the mean of all.",
        domain=ROWS,
        batched=(0,),
    ),
    op(
        "every-tie-gets-all-in-float32",
        greedy_max,
        "The same at a tie, in a kernel for float32 alone.",
        kinks=TIED,
        subgradient=equal_shares,
        dtypes=("float32",),
    ),
    op(
        "every-tie-gets-all",
        greedy_max,
        "The gradient of max is doubled at a tie of two.",
        cites=("microsoft/CNTK#3855",),
        kinks=TIED,
        subgradient=equal_shares,
    ),
    op(
        "accumulates-into-empty",
        unclean_embedding,
        "Sums into memory that was never cleared.",
        cites=("pytorch/pytorch#185495",),
        domain=TABLE_AND_IDS,
    ),
    op("kernel-forgets-the-tail", tailless_tanh, "Sizes that are no multiple of four end in zeros.", original=tanh),
)
