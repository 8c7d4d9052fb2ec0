"""What the law of clipping (A15) does not say: long gradients, our messages."""

import math

import numpy as np
import pytest

from tinygrad_gpt.kernels import reference_only, use_threads
from tinygrad_gpt.ops.norms import BLOCK_ENTRIES
from tinygrad_gpt.optim import clip_grad_norm, grad_norm
from tinygrad_gpt.tape import Tensor


def with_gradient(*grads):
    tensors = {f"p{i}": Tensor(np.zeros_like(grad), requires_grad=True) for i, grad in enumerate(grads)}
    for tensor, grad in zip(tensors.values(), grads, strict=True):
        tensor.grad = grad
    return tensors


def test_three_and_four_make_five():
    parameters = with_gradient(np.array([3.0]), np.array([[0.0, -4.0]]))
    assert clip_grad_norm(parameters, 1.0) == 5.0
    np.testing.assert_allclose(parameters["p0"].grad, [0.6], rtol=1e-15)
    np.testing.assert_allclose(parameters["p1"].grad, [[0, -0.8]], rtol=1e-15)
    assert grad_norm(parameters) == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize("n", [BLOCK_ENTRIES - 1, BLOCK_ENTRIES, BLOCK_ENTRIES + 1, 3 * BLOCK_ENTRIES + 5])
def test_every_entry_of_a_long_gradient_counts_once(n):
    grad = np.full(n, 1e-3, np.float32)
    grad[-1] = 1e3  # a float32 sum would forget the small ones
    exact = math.sqrt(math.fsum(float(g) ** 2 for g in grad))
    found = set()
    for threads in (1, 3):
        with use_threads(threads):
            found.add(grad_norm(with_gradient(grad.reshape(1, -1))))
    with reference_only():
        found.add(grad_norm(with_gradient(grad.reshape(1, -1))))
    assert len(found) == 1  # the same bits
    assert found.pop() == pytest.approx(exact, rel=1e-13)


def test_no_bound_changes_nothing_and_still_looks():
    parameters = with_gradient(np.array([3.0, 4.0]))
    assert clip_grad_norm(parameters, math.inf) == 5.0
    assert parameters["p0"].grad.tolist() == [3.0, 4.0]


def test_a_parameter_without_a_gradient_has_none_afterwards():
    parameters = with_gradient(np.array([3.0, 4.0])) | {"idle": Tensor(np.ones(2), requires_grad=True)}
    assert clip_grad_norm(parameters, 1.0) == 5.0
    assert parameters["idle"].grad is None
    assert clip_grad_norm({"idle": parameters["idle"]}, 1.0) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_named_and_left_alone(bad):
    parameters = with_gradient(np.array([3.0]), np.array([bad]))
    with pytest.raises(FloatingPointError, match="gradient of p1 is not finite"):
        clip_grad_norm(parameters, 1.0)
    assert parameters["p0"].grad.tolist() == [3.0]


def test_a_norm_beyond_float64_is_an_error_and_not_a_gradient_of_0():
    parameters = with_gradient(np.array([1e200]))
    with np.errstate(over="ignore"), pytest.raises(FloatingPointError, match="squared norm of all gradients is inf"):
        clip_grad_norm(parameters, 1.0)


@pytest.mark.parametrize("max_norm", [0, -1.0, math.nan])
def test_a_bound_is_positive(max_norm):
    with pytest.raises(ValueError, match=f"max_norm must be positive; got {max_norm}"):
        clip_grad_norm(with_gradient(np.array([1.0])), max_norm)


def test_the_norm_of_float16_gradients_is_as_exact_as_of_float32s():
    """Their squares overflow at 256; a factor below 6e-8 would be 0."""
    grads = [np.full(5000, 300, np.float16), np.array([6e4], np.float16)]
    parameters = with_gradient(*grads)
    exact = math.sqrt(math.fsum(float(g) ** 2 for grad in grads for g in grad))
    assert grad_norm(parameters) == pytest.approx(exact, rel=1e-13)
    clip_grad_norm(parameters, exact * 2e-8)
    assert parameters["p1"].grad.dtype == np.float16
    np.testing.assert_allclose(parameters["p1"].grad, 6e4 * 2e-8, rtol=1e-3, atol=6e-8)


def test_a_bfloat16_gradient_is_refused_by_name():
    bfloat16 = pytest.importorskip("ml_dtypes", reason="bfloat16 is a dtype of ml_dtypes").bfloat16
    with pytest.raises(TypeError, match="gradient of p0 must be float32, float64 or float16; got bfloat16"):
        grad_norm(with_gradient(np.ones(2, bfloat16)))
