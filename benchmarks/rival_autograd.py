"""The same model in HIPS autograd, float32."""

from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad

from benchmarks.rival_arrays import adamw, loss_of
from benchmarks.settings import BETAS, CLIP_NORM, EPS, LR, WEIGHT_DECAY
from tinygrad_gpt.nn import GPTConfig


def contender(config: GPTConfig, weights: dict[str, Any]) -> Any:
    p = {name: value.copy() for name, value in weights.items()}
    m, v = ({name: np.zeros_like(x) for name, x in p.items()} for _ in range(2))
    rng, taken = np.random.default_rng(0), 0

    def drop(x: Any) -> Any:
        keep = rng.random(x.shape, np.float32) >= config.drop_rate
        return x * (keep.astype(np.float32) / np.float32(1 - config.drop_rate))

    def loss(ids: Any, targets: Any) -> float:
        return float(loss_of(anp, p, ids, targets, config, lambda x: x))

    gradient = value_and_grad(lambda p, ids, targets: loss_of(anp, p, ids, targets, config, drop))

    def step(ids: Any, targets: Any) -> float:
        nonlocal taken
        taken += 1
        value, grads = gradient(p, ids, targets)
        norm = float(np.sqrt(sum(np.vdot(g, g) for g in grads.values())))
        scale = np.float32(min(1.0, CLIP_NORM / norm))
        for name, x in p.items():
            decay = WEIGHT_DECAY if x.ndim >= 2 else 0.0
            g = (grads[name] * scale).astype(np.float32)
            p[name], m[name], v[name] = adamw(np, x, g, m[name], v[name], taken, LR, BETAS, EPS, decay)
        return float(value)

    return loss, step
