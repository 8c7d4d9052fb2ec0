# %% [markdown]
"""
# What does the optimizer do with a gradient?

One AdamW step worked out by hand, then a narrow valley where plain gradient descent and AdamW behave
differently.

Expect: a first step of exactly the learning rate, whatever the gradient's size; plain descent that is slow
along the valley's floor, and AdamW that is at the minimum after a hundred steps; and what weight decay does
to a parameter without a gradient.
"""

# %%
import numpy as np

from tinygrad_gpt import AdamW, Tensor
from tinygrad_gpt.console import quiet_pipe

quiet_pipe()  # with `| head` it ends silently

# %% [markdown]
# **By hand.** m is a running mean of gradients, v of their squares. Both start at 0 and are too small at
# first. Dividing by 1 - βᵗ corrects this: after one step m̂ = g and v̂ = g². The step is lr · g/|g|: the sign
# of the gradient, not its size.

# %%
lr, beta1, beta2, eps = 0.1, 0.9, 0.999, 1e-8
for g in (0.001, 1.0, 1000.0):
    m, v = (1 - beta1) * g, (1 - beta2) * g * g
    mhat, vhat = m / (1 - beta1), v / (1 - beta2)
    by_hand = lr * mhat / (np.sqrt(vhat) + eps)
    p = Tensor(np.array([5.0]), requires_grad=True)
    p.grad = np.array([g])
    AdamW({"p": p}, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=0.0).step()
    print(f"gradient {g:8}: the step is {by_hand:.6f} by hand, {5 - p.data[0]:.6f} by AdamW")
    assert np.isclose(by_hand, 5 - p.data[0])

# %% [markdown]
# **A narrow valley.** loss = x² / 2 + 50 y²: a hundred times steeper along y. Plain descent must keep its
# rate below 2/100 because of y, and then x hardly moves. AdamW divides each coordinate's step by the typical
# size of its gradient.


# %%
def descend(update, steps=100):
    """The losses on the way from (1, 1)."""
    p = Tensor(np.array([1.0, 1.0]), requires_grad=True)
    step, losses = update(p), []
    for _ in range(steps):
        loss = (p * p * np.array([0.5, 50.0])).sum()
        loss.backward()
        step()
        p.grad = None
        losses.append(loss.item())
    return losses


def plain(p):
    def step():
        p.data -= 0.015 * p.grad

    return step


ours = descend(lambda p: AdamW({"p": p}, lr=0.1, weight_decay=0.0).step)
theirs = descend(plain)
for t in (0, 9, 29, 99):
    print(f"step {t + 1:3d}: plain descent {theirs[t]:9.5f}, AdamW {ours[t]:9.5f}")

# %% [markdown]
# **Weight decay.** It is "decoupled": it pulls the parameter itself towards 0, by the share lr · decay. It is
# not a part of the gradient, so it does not change m and v. By default only matrices decay.

# %%
p = Tensor(np.ones((1, 1)), requires_grad=True)
p.grad = np.zeros((1, 1))
AdamW({"p": p}, lr=0.1, weight_decay=0.5).step()
print(f"\nno gradient, decay 0.5, rate 0.1: 1 becomes {p.data.item():.2f}")
assert np.isclose(p.data.item(), 0.95)
