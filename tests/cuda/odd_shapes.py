"""Sizes that fill no block, warp or tile evenly: (arrays, settings) for each op, larger than the laws need.

An op without an entry here is tried on its laws' own cases.
"""

import numpy as np
from hypothesis import strategies as st

from tests.cuda.moving import claims
from tinygrad_gpt.laws.strategies import index_arrays, normal, seeds

ROWS, WIDTH = st.integers(1, 9), st.integers(1, 70)
WIDE = WIDTH | st.sampled_from([127, 129, 257, 1031])  # beyond one round of a block's threads


def numbers(shape):
    return seeds().map(lambda seed: normal(seed, shape))


def keeps(shape):
    return seeds().map(lambda seed: np.where(normal(seed, shape) < 1, 1.25, 0.0))


@st.composite
def elementwise(draw, *fills):
    shape = (draw(ROWS), draw(WIDE))
    return tuple(draw(fill(shape)) for fill in fills), {}


@st.composite
def normalised(draw):
    C = draw(WIDE)
    return (draw(numbers((draw(ROWS), C))), draw(numbers((C,))), draw(numbers((C,)))), {}


@st.composite
def layers(draw):
    N, I, O = draw(st.integers(1, 40)), draw(WIDTH), draw(WIDTH)  # noqa: E741
    arrays = [draw(numbers((N, I))), draw(numbers((I, O)))]
    return (*arrays, *([draw(numbers((O,)))] if draw(st.booleans()) else [])), {}


def counted(targets):
    """Settings of a cross-entropy; row 0 always counts."""
    ignored = st.sampled_from([None, int(targets[-1]) if targets[-1] != targets[0] else None])
    return st.fixed_dictionaries({"ignore_index": ignored, "reduction": st.sampled_from(["mean", "sum"])})


@st.composite
def predictions(draw):
    N, V = draw(ROWS), draw(WIDE)
    targets = draw(index_arrays((N,), V))
    return (draw(numbers((N, V))), targets), draw(counted(targets))


@st.composite
def heads(draw):
    N, C, V = draw(ROWS), draw(WIDTH), draw(WIDE)
    targets = draw(index_arrays((N,), V))
    return (draw(numbers((N, C))), draw(numbers((V, C))), targets), draw(counted(targets))


@st.composite
def tables(draw):
    V, C = draw(st.integers(1, 12)), draw(WIDTH)
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 20)) | st.just((3, 100)))
    ids = draw(index_arrays(shape, V))
    return (draw(numbers((V, C))), ids), {}


@st.composite
def attended(draw):
    B, T, H = draw(st.integers(1, 2)), draw(WIDTH), draw(st.integers(1, 2))
    D = draw(st.sampled_from([3, 16, 64]))
    arrays = [draw(numbers((B, T, 3 * H * D)))]
    if draw(st.booleans()):
        arrays.append(draw(keeps((B, H, T, T))))
    return tuple(arrays), {"n_heads": H}


@st.composite
def softened(draw):
    return (draw(numbers((draw(ROWS), draw(WIDE)))),), {}


ODD = {
    "add": elementwise(numbers, numbers),
    "gelu": elementwise(numbers),
    "dropout": elementwise(numbers, keeps),
    "layer_norm": normalised(),
    "linear": layers(),
    "softmax": softened(),
    "log_softmax": softened(),
    "cross_entropy": predictions(),
    "linear_cross_entropy": heads(),
    "embedding": tables(),
    "causal_attention": attended(),
}


def odd_cases(op):
    """A strategy of (arrays, settings)."""
    if op.__name__ in ODD:
        return ODD[op.__name__]
    return st.one_of([sut.domain for sut in claims(op, "float32")])
