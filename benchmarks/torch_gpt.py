"""The same GPT-2 in idiomatic PyTorch: torch's own layer norm, GELU, attention, cross-entropy and fused AdamW."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tinygrad_gpt.nn import GPTConfig

Weights = dict[str, np.ndarray]


def logits(p: dict[str, torch.Tensor], ids: torch.Tensor, config: GPTConfig, training: bool) -> torch.Tensor:
    """ids (B, T) -> logits (B, T, V)."""
    B, T = ids.shape
    rate = config.drop_rate if training else 0.0
    C = config.emb_dim

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (C,), p[name + ".weight"], p[name + ".bias"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = p[name + ".weight"], p.get(name + ".bias")
        rows = x.reshape(B * T, -1)
        y = rows @ weight if bias is None else torch.addmm(bias, rows, weight)
        return y.view(B, T, -1)

    x = F.dropout(F.embedding(ids, p["wte.weight"]) + p["wpe.weight"][:T], rate)
    for i in range(config.n_layers):
        h = f"h.{i}."
        qkv = linear(norm(x, h + "ln_1"), h + "attn.c_attn")
        q, k, v = (part.view(B, T, config.n_heads, -1).transpose(1, 2) for part in qkv.split(C, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=rate)
        x = x + F.dropout(linear(y.transpose(1, 2).reshape(B, T, C), h + "attn.c_proj"), rate)
        y = F.gelu(linear(norm(x, h + "ln_2"), h + "mlp.c_fc"), approximate="tanh")
        x = x + F.dropout(linear(y, h + "mlp.c_proj"), rate)
    head = p["wte.weight" if config.tie_weights else "lm_head.weight"]
    return norm(x, "ln_f") @ head.T


def stepper(config: GPTConfig, weights: Weights, compiled: bool) -> Callable[[Any, Any], float]:
    """A function that takes one training step on a batch and returns its loss."""
    p = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    matrices = [x for x in p.values() if x.ndim >= 2]
    vectors = [x for x in p.values() if x.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=4e-4, betas=(0.9, 0.999), eps=1e-8, fused=True)

    def loss_of(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits(p, ids, config, training=True).flatten(0, 1), targets.flatten())

    loss_function = torch.compile(loss_of) if compiled else loss_of

    def step(ids: np.ndarray, targets: np.ndarray) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(torch.from_numpy(ids), torch.from_numpy(targets))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
        optimizer.step()
        return loss.item()

    return step
