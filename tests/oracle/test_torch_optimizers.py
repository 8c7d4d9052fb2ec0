"""torch.optim.AdamW and torch's clipping under the laws of optimizers, and next to ours.

docs/deviations.md says what fails and why.
"""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.steady import check
from tinygrad_gpt import laws
from tinygrad_gpt.laws.adapters import torch_optimizer
from tinygrad_gpt.optim import AdamW, clip_grad_norm
from tinygrad_gpt.tape import Tensor

torch = pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to check")

WHY = {
    "A14": "an infinite learning rate is taken",
    "A18": "states are matched by position: other names are taken, other shapes noticed at the next step",
    "A19": "gradients are not looked at: a nan goes into the parameter and its moments",
}
ADAMW = [
    torch_optimizer(),
    torch_optimizer(partial(torch.optim.AdamW, foreach=True), name="torch-AdamW-foreach"),
    torch_optimizer(partial(torch.optim.AdamW, fused=True), name="torch-AdamW-fused"),
]


def expected(sut):
    fused = {"A07": "the last bit depends on an entry's place in its tensor"}
    return WHY | (fused if sut.name.endswith("fused") else {})


@laws.parametrize_with_laws(ADAMW, expected_failures=expected)
def test_adamw(sut, law):
    check(sut, law)


CLIPPING = torch_optimizer(
    name="torch-clip_grad_norm_", clip=partial(torch.nn.utils.clip_grad_norm_, error_if_nonfinite=True)
)


@laws.parametrize_with_laws(
    [CLIPPING], only=["A15"], expected_failures=lambda sut: {"A15": "divides by norm + 1e-6, so small gradients shrink"}
)
def test_clipping(sut, law):
    check(sut, law)


SHAPES = ((3,), (2, 3), (1, 1))


def trajectory(seed, steps):
    """Parameters, and gradients per step, of float64."""
    random = np.random.Generator(np.random.Philox(key=seed))
    return [random.normal(size=s) for s in SHAPES], [[random.normal(size=s) for s in SHAPES] for _ in range(steps)]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-3, 0.1]),
    st.sampled_from([(0.9, 0.999), (0.5, 0.9), (0.0, 0.95)]),
    st.sampled_from([1e-8, 0.1]),
    st.sampled_from([0.0, 0.5]),
)
def test_ours_takes_torch_s_path_for_50_steps(seed, lr, betas, eps, weight_decay):
    start, gradients = trajectory(seed, 50)
    settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
    theirs = [torch.nn.Parameter(torch.tensor(p)) for p in start]
    ours = {str(i): Tensor(p.copy(), requires_grad=True) for i, p in enumerate(start)}
    their_steps = torch.optim.AdamW(theirs, **settings)
    our_steps = AdamW(ours, **settings, decays=lambda name, p: True)  # torch decays biases too
    for step in gradients:
        for q, p, g in zip(theirs, ours.values(), step, strict=True):
            q.grad, p.grad = torch.tensor(g), g.copy()
        their_steps.step()
        our_steps.step()
        for q, p in zip(theirs, ours.values(), strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=0, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 1e3]))
def test_ours_clips_as_torch_does_but_for_its_1e_6(seed, max_norm):
    _, (gradients,) = trajectory(seed, 1)
    theirs, ours = [torch.nn.Parameter(torch.zeros(s, dtype=torch.float64)) for s in SHAPES], {}
    for i, (q, g) in enumerate(zip(theirs, gradients, strict=True)):
        q.grad = torch.tensor(g)
        ours[str(i)] = Tensor(np.zeros(g.shape), requires_grad=True)
        ours[str(i)].grad = g.copy()
    want = float(torch.nn.utils.clip_grad_norm_(theirs, max_norm))
    assert clip_grad_norm(ours, max_norm) == pytest.approx(want, rel=1e-12)
    for q, p in zip(theirs, ours.values(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-5 / want)
