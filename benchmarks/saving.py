"""A checkpoint of GPT-2 124M with AdamW's moments: seconds to save it safely and to load it.

Ours is written with a SHA-256 of the whole file, synced to the disk and put in its place in one step; loading compares
the digest.  torch.save and the safetensors library get an fsync of the file, and have no digest.
"""

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_gpt import GPT, PRESETS, AdamW, load_checkpoint, save_checkpoint
from tinygrad_gpt.kernels import keep_freed_memory

ROUNDS = 5


def run() -> str:
    """The table."""
    keep_freed_memory()
    model = GPT(PRESETS["gpt2-124M"])
    optimizer = AdamW(model.parameters())
    for p in model.parameters().values():
        p.grad = np.full_like(p.data, 1e-3)
    optimizer.step()
    arrays = {name: p.data for name, p in model.parameters().items()}
    for state in ("m", "v"):
        arrays |= {f"{state}.{name}": array for name, array in getattr(optimizer, state).items()}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "file"
        contenders: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "ours": (lambda: save_checkpoint(path, model, optimizer), lambda: load_checkpoint(path)),
            **(by_torch(path, arrays) if importlib.util.find_spec("torch") is not None else {}),
            **(by_safetensors(path, arrays) if importlib.util.find_spec("safetensors") is not None else {}),
        }
        times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in contenders}
        for _ in range(ROUNDS):
            for name, both in contenders.items():
                for action, own in zip(both, times[name], strict=True):
                    started = time.perf_counter()
                    action()
                    own.append(time.perf_counter() - started)
                path.unlink()
    medians = {name: [statistics.median(own) for own in both] for name, both in times.items()}
    size = sum(array.nbytes for array in arrays.values()) / 1e9
    lines = [f"{size:.2f} GB.\n", "| | save, s | ours / this | load, s | ours / this |", "|---|---|---|---|---|"]
    for name, (save, load) in medians.items():
        ratios = [f"{ours / other:.2f}" for ours, other in zip(medians["ours"], (save, load), strict=True)]
        lines.append(f"| {name} | {save:.2f} | {ratios[0]} | {load:.2f} | {ratios[1]} |")
    return "\n".join(lines)


def synced(path: Path) -> None:
    """Sync a file to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def by_torch(path: Path, arrays: dict[str, Any]) -> dict[str, Any]:
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def save() -> None:
        torch.save(tensors, path)
        synced(path)

    return {"torch.save, fsync; torch.load": (save, lambda: torch.load(path))}


def by_safetensors(path: Path, arrays: dict[str, Any]) -> dict[str, Any]:
    from safetensors.numpy import load_file, save_file

    def save() -> None:
        save_file(arrays, path)
        synced(path)

    return {"safetensors library, fsync": (save, lambda: load_file(path))}
