"""Adam's bias correction, a step ahead."""

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall
from tinygrad_gpt.study.pitfalls.small_adamw import AdamW, Settings, State, under_test


def update(p: Array, g: Array, state: State, s: Settings) -> None:
    """p, m, v change in place."""
    m, v, t = state
    beta1, beta2 = s.betas
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    m_hat = m / (1 - beta1 ** (t + 1))
    v_hat = v / (1 - beta2 ** (t + 1))
    p *= 1 - s.lr * s.weight_decay
    p -= s.lr * m_hat / (np.sqrt(v_hat) + s.eps)


def update_fixed(p: Array, g: Array, state: State, s: Settings) -> None:
    """p, m, v change in place."""
    m, v, t = state
    beta1, beta2 = s.betas
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    p *= 1 - s.lr * s.weight_decay
    p -= s.lr * m_hat / (np.sqrt(v_hat) + s.eps)


def symptom(update: Code) -> None:
    """Under a constant gradient, and without decay, every step of Adam is as long as the learning rate."""
    p, g = np.zeros(1), np.full(1, 3.0)
    optimizer = AdamW(update, {"p": p}, lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    for step in range(1, 1001):
        before = p.copy()
        optimizer.step({"p": g})
        if step in (1, 2, 3, 10, 1000):
            print(f"step {step:>4}: p moves by {(p - before)[0]:.5f}, should by -0.10000")


sut = under_test(update)

PITFALL = Pitfall(
    name="bias-correction",
    title="a first step that is too short",
    area="optimizer",
    task="One AdamW update; t is the number of this step, 1 at the first.",
    wrong=update,
    fixed=update_fixed,
    symptom=symptom,
    broken=sut,
    whole=under_test(update_fixed),
    laws=("A01", "A06", "A11", "A12"),
    why="m and v start at 0, and 1 - betaᵗ corrects for that exactly if t is the number of gradients so far. Code "
    "that counts from 0 needs t + 1; if the count starts at 1, that is one too many. After a few thousand steps both "
    "are the same, so only the beginning is wrong.",
)
