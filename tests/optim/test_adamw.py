"""What the laws of optimizers do not cover: our numbers, our defaults, our messages."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW, adamw_step
from tinygrad_gpt.tape import Tensor

NUMBERS = st.floats(-4, 4, allow_subnormal=False)


def parameter(*values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def spelled_out(p, grads, lr, beta1, beta2, eps, decay):
    """One number through its gradients, in Python's floats."""
    m = v = 0.0
    for t, g in enumerate(grads, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        p = p - lr * decay * p - lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps)
    return p


@given(
    NUMBERS,
    st.lists(NUMBERS, min_size=1, max_size=20),
    st.sampled_from([0.1, 1e-3]),
    st.sampled_from([0.0, 0.5, 0.9]),
    st.sampled_from([0.5, 0.95, 0.999]),
    st.sampled_from([0.1, 1e-8]),
    st.sampled_from([0.0, 0.5]),
)
def test_every_entry_follows_the_spelled_out_recurrence(p, grads, lr, beta1, beta2, eps, decay):
    w = parameter([p, -p], [p, 1.0])
    optimizer = AdamW({"w": w}, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    for g in grads:
        w.grad = np.array([[g, -g], [0.0, 1.0]])
        optimizer.step()
    ones, zeros = [1.0] * len(grads), [0.0] * len(grads)
    paths = [[(p, grads), (-p, [-g for g in grads])], [(p, zeros), (1.0, ones)]]
    want = [[spelled_out(*path, lr, beta1, beta2, eps, decay) for path in row] for row in paths]
    np.testing.assert_allclose(w.data, want, rtol=1e-12, atol=1e-12)


def test_three_steps_by_hand():
    # lr 0.1, betas (0.5, 0.75), eps 0.1, decay 0.5; gradients 0.5, -1, 0
    # step 1: m 1/4, v 1/16; mhat 1/2, vhat 1/4; 1 - 0.1 (0.5/0.6 + 0.5)
    # step 2: m -3/8, v 19/64; mhat -1/2, vhat 19/28; 0.866667 - 0.1 (-0.5/0.923754 + 0.433333)
    # step 3: m -3/16, v 57/256; mhat -3/14, vhat 57/148; 0.877460 - 0.1 (-0.214286/0.720593 + 0.438730)
    w = parameter([1.0])
    optimizer = AdamW({"w": w}, lr=0.1, betas=(0.5, 0.75), eps=0.1, weight_decay=0.5)
    for g, want in [(0.5, 0.8666666666666667), (-1.0, 0.8774602702706773), (0.0, 0.8633246872940054)]:
        w.grad = np.array([[g]])
        optimizer.step()
        assert w.data.item() == pytest.approx(want, rel=1e-14)


def test_the_step_is_arithmetic_on_arrays():
    p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 0.1, "weight_decay": 0.5}
    adamw_step(p, np.array([0.5]), m, v, step=1, **settings)
    assert p.item() == pytest.approx(0.8666666666666667, rel=1e-14)


def test_matrices_decay_and_vectors_do_not_by_name():
    model = GPT(GPTConfig(vocab_size=5, context_length=3, emb_dim=4, n_heads=2, n_layers=1, tie_weights=True))
    parameters = model.parameters()
    before = {name: p.data.copy() for name, p in parameters.items()}
    optimizer = AdamW(parameters, lr=0.1, weight_decay=0.5)
    for p in parameters.values():
        p.grad = np.zeros_like(p.data)
    optimizer.step()
    decayed = {name for name, p in parameters.items() if not np.array_equal(p.data, before[name])}
    assert decayed == {name for name, p in parameters.items() if p.ndim == 2 and before[name].any()}
    assert {"wte.weight", "h.0.attn.c_attn.weight"} <= decayed
    assert not any(name.endswith("bias") or ".ln_" in name for name in decayed)


def test_what_decays_can_be_chosen_by_name():
    a, b = parameter([1.0]), parameter(1.0)
    optimizer = AdamW({"a": a, "b": b}, lr=0.1, weight_decay=0.5, decays=lambda name, p: name == "b")
    a.grad, b.grad = np.zeros((1, 1)), np.zeros(1)
    optimizer.step()
    assert (a.data.item(), b.data.item()) == (1.0, 0.95)


def test_a_step_may_have_a_learning_rate_of_its_own():
    a, b = parameter([1.0, 2.0]), parameter([1.0, 2.0])
    with_own, with_given = AdamW({"w": a}, lr=0.5), AdamW({"w": b}, lr=99.0)
    a.grad = b.grad = np.array([[1.0, -1.0]])
    with_own.step()
    with_given.step(0.5)
    assert a.data.tobytes() == b.data.tobytes()
    with pytest.raises(ValueError, match="lr must be a finite number of at least 0; got -1"):
        with_own.step(-1)
    assert a.data.tobytes() == b.data.tobytes()


def test_zero_grad_forgets():
    w = parameter([1.0])
    w.grad = np.ones((1, 1))
    AdamW({"w": w}).zero_grad()
    assert w.grad is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1}, "lr must be a finite number of at least 0; got -1"),
        ({"eps": math.inf}, "eps must be a finite number of at least 0; got inf"),
        ({"weight_decay": math.nan}, "weight_decay must be a finite number of at least 0; got nan"),
        ({"betas": (1, 0.9)}, "beta1 must be at least 0 and below 1; got 1"),
        ({"betas": (0.9, -0.1)}, "beta2 must be at least 0 and below 1; got -0.1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        AdamW({"w": parameter([1.0])}, **settings)


def test_a_gradient_of_another_shape_is_named():
    w = parameter([1.0, 2.0])
    w.grad = np.ones(2)
    with pytest.raises(ValueError, match=r"gradient of w has shape \(2,\), not \(1, 2\)"):
        AdamW({"w": w}).step()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state["b"].update(m=np.zeros(2)),
        lambda state: state["b"].update(v=np.zeros((1, 1))),
        lambda state: state["b"].update(step="three"),
        lambda state: state["b"].update(step=1.5),
        lambda state: state["b"].update(step=-1),
        lambda state: state["b"].update(step=2**63),
        lambda state: state["b"].update(m=np.array([np.nan])),
        lambda state: state["b"].update(v=np.array([-1.0])),
        lambda state: state["b"].update(v=np.array(["one"])),
        lambda state: state["b"].pop("step"),
        lambda state: state["b"].pop("v"),
        lambda state: state.pop("b"),
        lambda state: state.update(c=state["b"]),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(spoil):
    def fresh():
        return AdamW({"a": parameter([1.0]), "b": parameter(1.0)})

    trained = fresh()
    for p in trained.parameters.values():
        p.grad = np.ones_like(p.data)
    trained.step()
    state, optimizer = trained.state(), fresh()
    spoil(state)
    with pytest.raises((ValueError, TypeError), match=r"^optimizer state") as caught:
        optimizer.load_state(state)
    assert "\n" not in str(caught.value)
    assert optimizer.steps == {"a": 0, "b": 0}
    assert not any(moment.any() for moments in (optimizer.m, optimizer.v) for moment in moments.values())


def test_float32_has_float32_moments():
    w = parameter([1.0], dtype=np.float32)
    optimizer = AdamW({"w": w}, lr=np.float64(0.1), betas=(np.float64(0.9), np.float64(0.999)))
    w.grad = np.ones((1, 1), np.float32)
    optimizer.step()
    assert {w.dtype, optimizer.m["w"].dtype, optimizer.v["w"].dtype} == {np.dtype(np.float32)}


def test_without_an_epsilon_a_gradient_that_was_always_0_moves_nothing():
    p = parameter(1.0, 2.0)
    optimizer = AdamW({"p": p}, lr=0.5, eps=0.0, weight_decay=0.0)
    p.grad = np.array([0.0, 3.0])
    optimizer.step()
    assert p.data.tolist() == [1.0, 1.5]


def test_a_float16_parameter_steps_as_in_float32():
    """Its moments would be 0 in float16, as would eps: 0/0."""
    found = []
    for dtype in (np.float16, np.float32):
        p = parameter(1.0, 1.0, dtype=dtype)
        optimizer = AdamW({"p": p}, lr=0.01)
        for gradient in ([1e-3, 0.0], [-6e-8, 3e4]):
            p.grad = np.array(gradient, dtype)
            optimizer.step()
        assert p.dtype == dtype
        assert {optimizer.m["p"].dtype, optimizer.v["p"].dtype} == {np.dtype(np.float32)}
        found.append(p.data)
    np.testing.assert_allclose(found[0], found[1], rtol=2e-3)


def test_a_bfloat16_parameter_is_refused_by_name():
    bfloat16 = pytest.importorskip("ml_dtypes", reason="bfloat16 is a dtype of ml_dtypes").bfloat16
    with pytest.raises(TypeError, match="parameter w must be float32, float64 or float16; got bfloat16"):
        AdamW({"b": parameter(1.0), "w": Tensor(np.ones(2, bfloat16), requires_grad=True)})


def test_a_gradient_of_fewer_digits_than_its_parameter_counts_in_full():
    p, q = parameter(1.0, dtype=np.float32), parameter(1.0, dtype=np.float32)
    for tensor, dtype in ((p, np.float16), (q, np.float32)):
        tensor.grad = np.full(1, 6e-5, np.float16).astype(dtype)  # times 1 - beta1 it has no digits left in float16
        AdamW({"w": tensor}, lr=0.5, eps=1e-4).step()
    assert p.data == q.data


def test_a_loss_that_is_not_finite_is_said_in_full_and_changes_nothing():
    p = parameter(1.0)
    optimizer = AdamW({"p": p})
    p.grad = np.ones(1)
    with pytest.raises(FloatingPointError, match=r"^loss nan, which is not finite$"):
        optimizer.step(loss=np.array(math.nan))
    p.grad = np.array([math.inf])
    with pytest.raises(FloatingPointError, match=r"^loss 2, gradient of p is not finite$"):
        optimizer.step(loss=np.array(2.0))
    with pytest.raises(FloatingPointError, match=r"^gradient of p is not finite$"):
        optimizer.step()
    assert (p.data.item(), optimizer.steps) == (1.0, {"p": 0})
