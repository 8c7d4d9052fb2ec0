# %% [markdown]
"""
# Who looks at whom?

Causal attention over four tokens with one head of size two: scores, mask, weights, and the gradient.

Expect: a triangle of weights whose rows sum to 1, the same output from the op and from five lines of NumPy,
and a gradient that never reaches a later token.
"""

# %%
import numpy as np

from tinygrad_gpt import ops
from tinygrad_gpt.console import quiet_pipe

quiet_pipe()  # with `| head` it ends silently

T, D = 4, 2
rng = np.random.default_rng(7)
q, k, v = rng.normal(size=(3, T, D))

# %% [markdown]
# **Scores.** A score says how well token i's query fits token j's key. It is divided by √D, so that the
# spread of the scores does not grow with the head's size.

# %%
scores = q @ k.T / np.sqrt(D)
print("scores", scores.round(2), sep="\n")

# %% [markdown]
# **Mask and softmax.** A token may look at itself and at the tokens before it. The scores of later tokens are
# set to -∞, so their weight is e^-∞ = 0.

# %%
allowed = np.tri(T, dtype=bool)
masked = np.where(allowed, scores, -np.inf)
weights = np.exp(masked - masked.max(-1, keepdims=True))
weights /= weights.sum(-1, keepdims=True)
print("\nweights: row i says whom token i looks at", weights.round(2), sep="\n")

# %% [markdown]
# **Output.** Each token takes a weighted mean of the values. The op takes queries, keys and values side by
# side, as GPT-2's one matrix product delivers them: (B, T, 3C).

# %%
qkv = np.concatenate([q, k, v], axis=-1)[None]  # (1, 4, 6)
y, vjp = ops.causal_attention(qkv, n_heads=1)
print("\noutput, by hand and by the op", np.hstack([weights @ v, y[0]]).round(3), sep="\n")
assert np.allclose(weights @ v, y[0])

# %% [markdown]
# **Backward.** Compute the gradient of token 1's output alone. It must not reach tokens 2 and 3, because
# token 1 never uses their keys and values. In dq only row 1 is not 0: a query is used only by its own token.

# %%
dy = np.zeros_like(y)
dy[0, 1] = 1
(dqkv,) = vjp(dy)
dq, dk, dv = np.split(dqkv[0], 3, axis=-1)
for name, gradient in (("dq", dq), ("dk", dk), ("dv", dv)):
    print(f"\n{name}, token by token", gradient.round(3), sep="\n")
assert not dqkv[0, 2:].any(), "the future has leaked"

# %% [markdown]
# dv is weight times dy: the more token 1 looked at a token, the more of the gradient goes there. dk sums to 0
# over the tokens that were looked at: the weights do not change if every score grows by the same amount.

# %%
print(f"\nsum of dk over tokens: {abs(dk.sum(0)).max():.0e}")
