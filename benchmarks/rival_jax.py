"""The same model in JAX: the whole step under one jit, buffers donated."""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.rival_arrays import adamw, loss_of
from benchmarks.settings import BETAS, CLIP_NORM, EPS, LR, WEIGHT_DECAY
from tinygrad_gpt.nn import GPTConfig


def contender(config: GPTConfig, weights: dict[str, Any]) -> Any:
    p = {name: jnp.asarray(value) for name, value in weights.items()}
    m, v = ({name: jnp.zeros_like(x) for name, x in p.items()} for _ in range(2))
    state, taken = (p, m, v), 0

    def training_loss(p: Any, ids: Any, targets: Any, key: Any) -> Any:
        keys = iter(jax.random.split(key, 1 + 3 * config.n_layers))

        def drop(x: Any) -> Any:
            keep = jax.random.bernoulli(next(keys), 1 - config.drop_rate, x.shape)
            return jnp.where(keep, x / (1 - config.drop_rate), 0)

        return loss_of(jnp, p, ids, targets, config, drop)

    @jax.jit
    def evaluated(p: Any, ids: Any, targets: Any) -> Any:
        return loss_of(jnp, p, ids, targets, config, lambda x: x)

    def one_step(state: Any, t: Any, ids: Any, targets: Any, key: Any) -> Any:
        p, m, v = state
        value, grads = jax.value_and_grad(training_loss)(p, ids, targets, key)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in grads.values()))
        scale = jnp.minimum(1.0, CLIP_NORM / norm)
        new: tuple[dict[str, Any], ...] = ({}, {}, {})
        for name, x in p.items():
            decay = WEIGHT_DECAY if x.ndim >= 2 else 0.0
            results = adamw(jnp, x, grads[name] * scale, m[name], v[name], t, LR, BETAS, EPS, decay)
            for part, result in zip(new, results, strict=True):
                part[name] = result
        return value, new

    jitted = jax.jit(one_step, donate_argnums=0)

    def loss(ids: Any, targets: Any) -> float:
        return float(evaluated(state[0], ids, targets))

    def step(ids: Any, targets: Any) -> float:
        nonlocal state, taken
        taken += 1
        value, state = jitted(state, float(taken), ids, targets, jax.random.key(taken))
        jax.block_until_ready(state)
        return float(value)

    return loss, step
