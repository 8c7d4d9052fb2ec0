"""Models in files: safetensors, weights under GPT-2's names, everything else in the header.  No pickle.

A file holds the weights, and for a checkpoint the optimizer's moments as `optimizer.m.NAME` and `optimizer.v.NAME`.
It appears under its name only when it is complete.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tinygrad_gpt.backend import Array, to_host
from tinygrad_gpt.files import replacing
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW

FORMAT = "tinygrad_gpt 1"
MOMENTS = ("m", "v")
ODD_CONTENT = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)  # what it leads to


class CheckpointError(ValueError):
    """A file cannot be read as a model.  The text names the file and the reason."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file held: a model, the training step it had reached, and the optimizer's state if it was saved."""

    model: GPT
    step: int
    optimizer_state: dict[str, dict[str, Any]] | None

    def resume(self, optimizer: AdamW) -> None:
        """Give the optimizer the state it had.  Raises ValueError if there is none, or it does not fit."""
        if self.optimizer_state is None:
            raise ValueError("the file holds no optimizer state")
        optimizer.load_state(self.optimizer_state)


def save_checkpoint(path: str | Path, model: GPT, optimizer: AdamW | None = None, *, step: int = 0) -> None:
    """Write model (and optimizer, and the step reached) to path, replacing what was there, whole or not at all.

    Raises OSError if it cannot be written; the file that was there is left as it was.
    """
    tensors = {name: to_host(p.data) for name, p in model.parameters().items()}
    metadata = {"format": FORMAT, "config": json.dumps(model.config.as_dict()), "step": str(step)}
    if optimizer is not None:
        state = optimizer.state()
        metadata["optimizer_steps"] = json.dumps({name: entry["step"] for name, entry in state.items()})
        for name, entry in state.items():
            tensors |= {f"optimizer.{moment}.{name}": to_host(entry[moment]) for moment in MOMENTS}
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with replacing(path) as file:
        file.write(save(tensors, metadata))


def load_checkpoint(path: str | Path, *, device: str = "cpu") -> Checkpoint:
    """Read what `save_checkpoint` wrote.  Raises CheckpointError if the file is something else."""
    tensors, metadata = read(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"cannot read {str(path)!r}: its format is {metadata.get('format')!r}, not {FORMAT!r}")
    try:
        config = GPTConfig(**json.loads(metadata["config"]))
        step = int(metadata["step"])
        state = None
        if "optimizer_steps" in metadata:
            state = {
                name: {"step": count} | {moment: tensors.pop(f"optimizer.{moment}.{name}") for moment in MOMENTS}
                for name, count in json.loads(metadata["optimizer_steps"]).items()
            }
        model = GPT(config, device=device, dtype=tensors["wte.weight"].dtype, weights=tensors)
    except ODD_CONTENT as error:
        raise unreadable(path, error) from error
    return Checkpoint(model, step, state)


def load_gpt2(path: str | Path, *, n_heads: int | None = None, drop_rate: float = 0.1, device: str = "cpu") -> GPT:
    """A model from a published GPT-2 file (Hugging Face's model.safetensors), float32.

    The shape follows from the tensors; heads are 64 wide in every published size, unless n_heads says otherwise.  The
    output head is tied, unless the file holds one of its own.

    Raises CheckpointError if the file is no such file.
    """
    tensors, _ = read(path)
    weights = {name.removeprefix("transformer."): array for name, array in tensors.items()}
    weights = {name: array for name, array in weights.items() if not is_mask(name, array)}
    try:
        head = weights.get("lm_head.weight")
        tied = head is None or np.array_equal(head, weights["wte.weight"])
        if tied:
            weights.pop("lm_head.weight", None)
        vocab_size, emb_dim = weights["wte.weight"].shape
        config = GPTConfig(
            vocab_size=vocab_size,
            context_length=weights["wpe.weight"].shape[0],
            emb_dim=emb_dim,
            n_heads=n_heads or emb_dim // 64,
            n_layers=len({name.split(".")[1] for name in weights if name.startswith("h.")}),
            drop_rate=drop_rate,
            qkv_bias=True,
            tie_weights=tied,
        )
        return GPT(config, device=device, weights=weights)
    except ODD_CONTENT as error:
        raise unreadable(path, error, " as GPT-2") from error


def is_mask(name: str, array: Array) -> bool:
    """Whether this is one of the causal masks that published files carry beside the weights."""
    return name.endswith((".attn.bias", ".attn.masked_bias")) and array.ndim != 1


def read(path: str | Path) -> tuple[dict[str, Array], Mapping[str, str]]:
    """All tensors of a safetensors file, and its metadata."""
    if not os.path.isfile(path):
        raise CheckpointError(f"cannot read {str(path)!r}: there is no such file")
    try:
        with safe_open(str(path), framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, *ODD_CONTENT) as error:
        raise unreadable(path, error) from error


def unreadable(path: str | Path, error: Exception, what: str = "") -> CheckpointError:
    """The error, in one line, for a file that cannot be read (as what it should be)."""
    reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
    return CheckpointError(f"cannot read {str(path)!r}{what}: {reason or type(error).__name__}")
