"""The same step in PyTorch on a GPU: its own layer norm, GELU, scaled_dot_product_attention and fused AdamW."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.ours import Contender, Weights
from benchmarks.rival_torch import attention, gelu, layer_norm, logits
from benchmarks.settings import BETAS, CLIP_NORM, EPS, LR, WEIGHT_DECAY
from tinygrad_gpt.nn import GPTConfig


def eager(config: GPTConfig, weights: Weights, precision: str) -> Contender:
    return contender(config, weights, precision)


def compiled(config: GPTConfig, weights: Weights, precision: str) -> Contender:
    """Through torch.compile."""
    return contender(config, weights, precision, compile=True)


def contender(
    config: GPTConfig, weights: Weights, precision: str, *, compile: bool = False, device: str = "cuda"
) -> Contender:
    """The loss of a batch; a step on it."""
    multiply_in(precision)
    p = {name: torch.tensor(value, device=device, requires_grad=True) for name, value in weights.items()}
    groups = [
        {"params": [x for x in p.values() if x.ndim >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [x for x in p.values() if x.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS, fused=True)

    def loss_of(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with autocast(precision, device):
            z = logits(p, ids, config, (layer_norm, gelu, attention), config.drop_rate)
            return F.cross_entropy(z.flatten(0, 1), targets.flatten())

    training_loss = torch.compile(loss_of) if compile else loss_of

    def loss(ids: Any, targets: Any) -> float:
        with torch.no_grad():
            return float(loss_of(*there(ids, targets)))

    def step(ids: Any, targets: Any) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        value = training_loss(*there(ids, targets))
        value.backward()
        torch.nn.utils.clip_grad_norm_(p.values(), CLIP_NORM)
        optimizer.step()
        return value.detach()

    def there(*arrays: Any) -> list[torch.Tensor]:
        return [torch.from_numpy(array).to(device, non_blocking=True) for array in arrays]

    return loss, step


def multiply_in(precision: str) -> None:
    """Whether products of float32 tensors may run in TF32, from now on."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")


def autocast(precision: str, device: str) -> AbstractContextManager[Any]:
    """PyTorch's mixed precision, for bfloat16."""
    return torch.autocast(device, torch.bfloat16) if precision == "bfloat16" else nullcontext()
