"""The files that the exercises start from: a correct forward pass, and a vjp to write."""

HEAD = '''"""Exercise: the gradient of {name}.  Write vjp, then check it:

    tinygrad-gpt pitfalls exercise {name}{file}

{task}
"""

import numpy as np

'''

TODO = '        raise NotImplementedError("write me")\n'

MULTIPLY = """
def multiply(a, b):
    y = a * b

    def vjp(dy):
        # dy has the shape of y.  Return (da, db).
{todo}
    return y, vjp
"""

ADD = """
def add(a, b):
    y = a + b

    def vjp(dy):
        # Return (da, db), of the shapes of a and b: both may be repeated.
{todo}
    return y, vjp
"""

MATMUL = """
def matmul(a, b):
    y = a @ b

    def vjp(dy):
        # dy is (M, N).  Return (da, db), of shapes (M, K) and (K, N).
{todo}
    return y, vjp
"""

EMBEDDING = """
def embedding(table, ids):
    y = table[ids]

    def vjp(dy):
        # dy is (..., C).  Return (dtable, None): ids have no gradient.
{todo}
    return y, vjp
"""

GELU = """
C = float(np.sqrt(2 / np.pi))
A = 0.044715


def gelu(x):
    t = np.tanh(C * (x + A * x**3))
    y = 0.5 * x * (1 + t)

    def vjp(dy):
        # Return (dx,), a tuple of one.
{todo}
    return y, vjp
"""

SOFTMAX = """
def softmax(x):
    weights = np.exp(x - x.max(-1, keepdims=True))
    p = weights / weights.sum(-1, keepdims=True)

    def vjp(dp):
        # Return (dx,), a tuple of one.
{todo}
    return p, vjp
"""

CROSS_ENTROPY = """
def cross_entropy(logits, targets):
    rows = np.arange(len(targets))
    shifted = logits - logits.max(-1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    loss = -logp[rows, targets].mean()

    def vjp(dloss):
        # dloss is one number, not always 1.  Return (dlogits, None).
{todo}
    return loss, vjp
"""

LAYER_NORM = """
def layer_norm(x, gain, bias):
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    xhat = centred * rstd
    y = xhat * gain + bias

    def vjp(dy):
        # Return (dx, dgain, dbias).  x is (N, C) or (B, T, C), the others (C,).
{todo}
    return y, vjp
"""

CAUSAL_ATTENTION = """
def causal_attention(q, k, v):
    T, D = q.shape
    scores = q @ k.T / D**0.5
    scores = np.where(np.tril(np.ones((T, T), bool)), scores, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    y = p @ v

    def vjp(dy):
        # Return (dq, dk, dv).  Back through p @ v, the softmax, the scores.
{todo}
    return y, vjp
"""
