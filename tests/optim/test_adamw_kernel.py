"""The kernel of AdamW's step is the same function, in place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.kernels import cpu, reference_only, use_threads
from tinygrad_gpt.kernels.threads import block_size
from tinygrad_gpt.laws.strategies import normal, seeds
from tinygrad_gpt.ops.adamw import adamw_step
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.tape import Tensor

settings = st.fixed_dictionaries(
    {
        "step": st.integers(1, 1000),
        "lr": st.sampled_from([0.0, 1e-3, 0.1]),
        "beta1": st.sampled_from([0.0, 0.9]),
        "beta2": st.sampled_from([0.0, 0.999]),
        "eps": st.sampled_from([0.0, 1e-8, 0.1]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "scale": st.sampled_from([1.0, 0.25, 1e-3]),
    }
)
SHAPES = (), (1,), (5,), (3, 4), (2, 3, 2), (0,), (1, 7)


@given(shape=st.sampled_from(SHAPES), seed=seeds(), settings=settings, strided=st.booleans(), idle=st.booleans())
def test_the_kernel_is_the_same_function(shape, seed, settings, strided, idle):
    """As float64 has it, up to what float32 must lose: some units of the last place of each sum's terms."""
    p, dp, m, v = (normal((seed + i) % 2**64, shape).astype(np.float32) for i in range(4))
    v *= v
    if idle:  # never a gradient: with eps = 0 this is 0/0
        dp, m, v = (np.zeros_like(x) for x in (dp, m, v))
    if strided:
        p, dp, m, v = (np.asfortranarray(x) for x in (p, dp, m, v))
    exact, fast = [x.astype(float) for x in (p, dp, m, v)], [x.copy("K") for x in (p, dp, m, v)]
    adamw_step(*exact, **settings)
    cpu.adamw_step(*fast, **settings)

    last = 4 * np.finfo(np.float32).eps
    terms = abs(m) + abs(settings["scale"] * dp)
    typical = np.sqrt(exact[3] / (1 - settings["beta2"] ** settings["step"])) + settings["eps"]
    typical = np.where(typical == 0, 1, typical)
    moved = settings["lr"] / (1 - settings["beta1"] ** settings["step"]) * terms / typical
    allowed = {"p": abs(p) + moved, "dp": 0 * p, "m": terms, "v": exact[3]}
    for (name, scale), got, want in zip(allowed.items(), fast, exact, strict=True):
        assert (abs(got - want) <= last * scale).all(), name


def test_a_gradient_that_clipping_makes_small_does_not_overflow_on_the_way():
    results = []
    for step in (adamw_step, cpu.adamw_step):
        p, m, v = np.ones(2, np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)
        settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "scale": 1e-20}
        step(p, np.full(2, 1e20, np.float32), m, v, step=1, **settings)
        results.append((p, m, v))
    for slow, fast in zip(*results, strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-5)
    np.testing.assert_allclose(results[1][0], 0.9, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 3])
def test_every_entry_of_a_large_parameter_moves_once(n):
    with use_threads(n):
        size = 2 * block_size() + 5
        for shape in ((size,), (size // 100, 100), (1, size)):
            p = Tensor(np.ones(shape, np.float32), requires_grad=True)
            p.grad = np.ones(shape, np.float32)
            AdamW({"p": p}, lr=0.5, weight_decay=0.0).step()
            np.testing.assert_allclose(p.data, 0.5, rtol=1e-6)


def test_the_optimizer_takes_it_and_can_be_told_not_to():
    def stepped():
        p = Tensor(normal(0, (50,)).astype(np.float32), requires_grad=True)
        p.grad = normal(1, (50,)).astype(np.float32)
        AdamW({"p": p}, lr=0.1).step()
        return p.data

    with reference_only():
        slow = stepped()
    fast = stepped()
    assert (fast != slow).any()  # rounded in another order: it is another function
    np.testing.assert_allclose(fast, slow, rtol=1e-6)


def test_a_mean_of_squares_without_memory_is_the_square_itself():
    """With beta2 = 0, v is dp**2 however large it was before; a difference of the two would lose it."""
    for step in (adamw_step, cpu.adamw_step):
        p, m, v = np.zeros(1), np.zeros(1), np.ones(1)
        step(p, np.full(1, 1e-9), m, v, step=1, lr=0.1, beta1=0.0, beta2=0.0, eps=0.0, weight_decay=0.0)
        np.testing.assert_allclose([p[0], m[0], v[0]], [-0.1, 1e-9, 1e-18], rtol=1e-12)
