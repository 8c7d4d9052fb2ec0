"""The same model in PyTorch: idiomatic, written out as in a textbook, and compiled."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.settings import BETAS, CLIP_NORM, EPS, LR, WEIGHT_DECAY
from tinygrad_gpt.kernels import default_num_threads
from tinygrad_gpt.nn import GPTConfig

Tensors = dict[str, torch.Tensor]
Layers = tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor], Callable[..., torch.Tensor]]


def eager(config: GPTConfig, weights: dict[str, Any]) -> Any:
    """torch's own layer norm, GELU and scaled_dot_product_attention."""
    return contender(config, weights, (layer_norm, gelu, attention), compile=False)


def written_out(config: GPTConfig, weights: dict[str, Any]) -> Any:
    """Layer norm, GELU and attention from their formulas, as a book's own model code has them."""
    return contender(config, weights, (own_layer_norm, own_gelu, own_attention), compile=False)


def compiled(config: GPTConfig, weights: dict[str, Any]) -> Any:
    """The idiomatic model through torch.compile."""
    return contender(config, weights, (layer_norm, gelu, attention), compile=True)


def layer_norm(x: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, gain.shape, gain, bias)


def gelu(x: torch.Tensor) -> torch.Tensor:
    return F.gelu(x, approximate="tanh")


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rate: float) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=rate)


def own_layer_norm(x: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = x.var(-1, keepdim=True, unbiased=False)
    return gain * ((x - mean) / torch.sqrt(variance + 1e-5)) + bias


def own_gelu(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def own_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rate: float) -> torch.Tensor:
    T = q.shape[-2]
    hidden = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores = (q @ k.transpose(-1, -2)).masked_fill(hidden, -math.inf)
    return F.dropout(torch.softmax(scores / math.sqrt(q.shape[-1]), dim=-1), rate) @ v


def logits(p: Tensors, ids: torch.Tensor, config: GPTConfig, layers: Layers, rate: float) -> torch.Tensor:
    norm, activation, attend = layers
    B, T = ids.shape
    C = config.emb_dim

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        return norm(x, p[name + ".weight"], p[name + ".bias"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        rows, bias = x.reshape(B * T, -1), p.get(name + ".bias")
        y = rows @ p[name + ".weight"] if bias is None else torch.addmm(bias, rows, p[name + ".weight"])
        return y.view(B, T, -1)

    x = F.dropout(F.embedding(ids, p["wte.weight"]) + p["wpe.weight"][:T], rate)
    for i in range(config.n_layers):
        h = f"h.{i}."
        qkv = linear(normed(x, h + "ln_1"), h + "attn.c_attn")
        q, k, v = (part.view(B, T, config.n_heads, -1).transpose(1, 2) for part in qkv.split(C, dim=-1))
        y = attend(q, k, v, rate).transpose(1, 2).reshape(B, T, C)
        x = x + F.dropout(linear(y, h + "attn.c_proj"), rate)
        y = activation(linear(normed(x, h + "ln_2"), h + "mlp.c_fc"))
        x = x + F.dropout(linear(y, h + "mlp.c_proj"), rate)
    return normed(x, "ln_f") @ p["wte.weight" if config.tie_weights else "lm_head.weight"].T


def contender(config: GPTConfig, weights: dict[str, Any], layers: Layers, *, compile: bool) -> Any:
    torch.set_num_threads(default_num_threads())
    p = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    groups = [
        {"params": [x for x in p.values() if x.ndim >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [x for x in p.values() if x.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS, fused=True)

    def loss_of(ids: torch.Tensor, targets: torch.Tensor, rate: float) -> torch.Tensor:
        return F.cross_entropy(logits(p, ids, config, layers, rate).flatten(0, 1), targets.flatten())

    training_loss = torch.compile(loss_of) if compile else loss_of

    def loss(ids: Any, targets: Any) -> float:
        with torch.no_grad():
            return loss_of(torch.from_numpy(ids), torch.from_numpy(targets), 0.0).item()

    def step(ids: Any, targets: Any) -> float:
        optimizer.zero_grad(set_to_none=True)
        value = training_loss(torch.from_numpy(ids), torch.from_numpy(targets), config.drop_rate)
        value.backward()
        torch.nn.utils.clip_grad_norm_(p.values(), CLIP_NORM)
        optimizer.step()
        return value.item()

    return loss, step
