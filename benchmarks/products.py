"""The matrix products of a training step and nothing else, by np.matmul as NumPy comes: the floor."""

from typing import Any

import numpy as np

from tinygrad_gpt.nn import GPTConfig


def contender(config: GPTConfig, weights: dict[str, Any]) -> Any:
    C, V, H = config.emb_dim, config.vocab_size, config.n_heads
    shapes = {(C, 3 * C): 1, (C, C): 1, (C, 4 * C): 1, (4 * C, C): 1}  # weights of a block
    arrays: dict[tuple[int, ...], Any] = {}

    def numbers(*shape: int) -> Any:
        if shape not in arrays:
            arrays[shape] = np.random.default_rng(0).standard_normal(shape, np.float32)
        return arrays[shape]

    def step(ids: Any, targets: Any) -> float:
        B, T = ids.shape
        N, D = B * T, C // H
        for _ in range(config.n_layers):
            for rows, columns in shapes:
                x, w, dy = numbers(N, rows), numbers(rows, columns), numbers(N, columns)
                np.matmul(x, w), np.matmul(dy, w.T), np.matmul(x.T, dy)
            q, scores = numbers(B, H, T, D), numbers(B, H, T, T)
            for _ in range(2):  # q kT and P v, each with two products on the way back
                np.matmul(q, q.swapaxes(-1, -2)), np.matmul(scores, q), np.matmul(scores.swapaxes(-1, -2), q)
        x, w, dlogits = numbers(N, C), numbers(V, C), numbers(N, V)
        np.matmul(x, w.T), np.matmul(dlogits, w), np.matmul(dlogits.T, x)
        return float("nan")

    return None, step
