"""The same model as a function of arrays, for libraries that look like NumPy: JAX, HIPS autograd."""

import math
from collections.abc import Callable
from typing import Any

from tinygrad_gpt.nn import GPTConfig


def loss_of(xp: Any, p: dict[str, Any], ids: Any, targets: Any, config: GPTConfig, drop: Callable[[Any], Any]) -> Any:
    """Mean nats per token; drop is dropout."""
    B, T = ids.shape
    C, H = config.emb_dim, config.n_heads

    def norm(x: Any, name: str) -> Any:
        centred = x - xp.mean(x, axis=-1, keepdims=True)
        deviation = xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)
        return p[name + ".weight"] * centred / deviation + p[name + ".bias"]

    def linear(x: Any, name: str) -> Any:
        y = xp.dot(x, p[name + ".weight"])
        return y + p[name + ".bias"] if name + ".bias" in p else y

    def heads(x: Any) -> Any:
        return xp.transpose(xp.reshape(x, (B, T, H, C // H)), (0, 2, 1, 3))

    hidden = xp.arange(T)[:, None] < xp.arange(T)[None, :]
    x = drop(p["wte.weight"][ids] + p["wpe.weight"][:T])
    x = xp.reshape(x, (B * T, C))
    for i in range(config.n_layers):
        h = f"h.{i}."
        qkv = linear(norm(x, h + "ln_1"), h + "attn.c_attn")
        q, k, v = (heads(qkv[:, j * C : (j + 1) * C]) for j in range(3))
        scores = xp.matmul(q, xp.transpose(k, (0, 1, 3, 2))) * (1 / math.sqrt(C // H))
        scores = xp.where(hidden, -math.inf, scores)
        powers = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
        weights = drop(powers / xp.sum(powers, axis=-1, keepdims=True))
        y = xp.reshape(xp.transpose(xp.matmul(weights, v), (0, 2, 1, 3)), (B * T, C))
        x = x + drop(linear(y, h + "attn.c_proj"))
        y = linear(norm(x, h + "ln_2"), h + "mlp.c_fc")
        y = 0.5 * y * (1 + xp.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y * y * y)))
        x = x + drop(linear(y, h + "mlp.c_proj"))
    head = p["wte.weight" if config.tie_weights else "lm_head.weight"]
    z = xp.dot(norm(x, "ln_f"), head.T)
    z = z - xp.max(z, axis=-1, keepdims=True)
    nll = xp.log(xp.sum(xp.exp(z), axis=-1)) - z[xp.arange(B * T), xp.reshape(targets, (-1,))]
    return xp.mean(nll)


def adamw(xp: Any, p: Any, g: Any, m: Any, v: Any, step: Any, lr: float, betas: Any, eps: float, decay: float) -> Any:
    """New p, m, v."""
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g * g
    mhat, vhat = m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)
    return p - lr * (mhat / (xp.sqrt(vhat) + eps) + decay * p), m, v
