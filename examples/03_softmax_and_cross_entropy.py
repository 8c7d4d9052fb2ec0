# %% [markdown]
"""
# Why is the gradient of the loss just "probabilities minus one-hot"?

Three logits, one right answer, every number worked out.

Expect: the loss 0.4076 and its gradient (-0.3348, 0.2447, 0.0900), computed three times: through log and
softmax, as "probabilities minus one-hot", and by the fused op. Then you see what happens at logits of 1000.
"""

# %%
import numpy as np

from tinygrad_gpt import Tensor, cross_entropy, ops
from tinygrad_gpt.console import quiet_pipe

quiet_pipe()  # with `| head` it ends silently

x = np.array([[3.0, 2.0, 1.0]])  # logits
target = np.array([0])

# %% [markdown]
# **Forward.** p = eˣ / Σ eˣ, and the loss is -ln p of the target, in nats.

# %%
p = np.exp(x) / np.exp(x).sum()
loss = -np.log(p[0, target[0]])
print(f"p = {p[0].round(4)}, loss = -ln {p[0, 0]:.4f} = {loss:.4f} nats")

# %% [markdown]
# **Backward, in two steps.** First -ln p of the target: only that entry of p gets a gradient, -1/p. Then the
# softmax's vjp, dx = p ∘ (dp - Σ p dp), multiplies a large 1/p by a small p, twice.

# %%
dp = np.zeros_like(p)
dp[0, target] = -1 / p[0, target]
_, softmax_vjp = ops.softmax(x)
(dx,) = softmax_vjp(dp)
print(f"dp = {dp[0].round(4)}, then dx = {dx[0].round(4)}")

# %% [markdown]
# **Backward, in one step.** In the product of both steps, p cancels: dx = p - one-hot(target). There is no
# division that could go wrong.

# %%
one_hot = np.eye(3)[target]
print(f"p - one-hot = {(p - one_hot)[0].round(4)}")
_, vjp = ops.cross_entropy(x, target)
print(f"the fused op:  {vjp(np.array(1.0))[0][0].round(4)}")
assert np.allclose(vjp(np.array(1.0))[0], p - one_hot)

# %% [markdown]
# The entries sum to 0: only the differences between logits matter. To raise the right logit is the same as to
# lower all others.
#
# **Why fused.** At logits of 1000, e¹⁰⁰⁰ overflows. The op subtracts the largest logit first and never
# divides.

# %%
huge = np.array([[1000.0, 0.0, -1000.0]])
with np.errstate(all="ignore"):
    print(f"\nnaive loss at logits {huge[0]}: {-np.log(np.exp(huge[0, 1]) / np.exp(huge).sum())}")
logits = Tensor(huge, requires_grad=True)
loss = cross_entropy(logits, np.array([1]))
loss.backward()
print(f"fused loss: {loss.item()}, gradient {logits.grad[0]}")
assert loss.item() == 1000
