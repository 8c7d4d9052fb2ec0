"""Weight decay added to the gradient: Adam with an L2 penalty, called AdamW."""

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall
from tinygrad_gpt.study.pitfalls.small_adamw import AdamW, Settings, State, under_test


def update(p: Array, g: Array, state: State, s: Settings) -> None:
    """p, m, v change in place."""
    m, v, t = state
    beta1, beta2 = s.betas
    g = g + s.weight_decay * p
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    p -= s.lr * m_hat / (np.sqrt(v_hat) + s.eps)


def update_fixed(p: Array, g: Array, state: State, s: Settings) -> None:
    """p, m, v change in place."""
    m, v, t = state
    beta1, beta2 = s.betas
    p *= 1 - s.lr * s.weight_decay
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    p -= s.lr * m_hat / (np.sqrt(v_hat) + s.eps)


def symptom(update: Code) -> None:
    """Two weights of 1, gradients with mean 0: only the decay remains, 0.01 · 0.1 per step."""
    p = np.ones(2)
    optimizer = AdamW(update, {"p": p}, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    for step in range(1000):
        optimizer.step({"p": np.array([0.1, 100.0]) * (-1) ** step})
    print(f"decay alone leaves {(1 - 0.01 * 0.1) ** 1000:.3f} of a weight after 1,000 steps")
    for size, left in zip(("0.1", "100"), p, strict=True):
        print(f"weight with gradients of ±{size:<4} {left:.3f} left")


sut = under_test(update)

PITFALL = Pitfall(
    name="decay-in-the-gradient",
    title="large gradients do not decay",
    area="optimizer",
    task="One AdamW update: a step by the gradient, and a decay of the weights.",
    wrong=update,
    fixed=update_fixed,
    symptom=symptom,
    broken=sut,
    whole=under_test(update_fixed),
    laws=("A04", "A03", "A08", "A11", "A12"),
    why="In the gradient, the decay is divided by √v like the rest: weights with large gradients hardly decay, "
    "those with small ones decay at nearly the full learning rate. In AdamW the decay is not part of the moments.",
    sources=("nntrainer/nntrainer#3565", "bitsandbytes-foundation/bitsandbytes#2010"),
)
