"""Models in files: safetensors, weights under GPT-2's names, everything else in the header.  No pickle.

A checkpoint holds the weights; the optimizer's moments as `optimizer.m.NAME` and `optimizer.v.NAME`; and as metadata

    file_sha256       of the whole file (safetensors_file says how)
    format            "tinygrad_gpt 2"; files of format 1 had no digest and no environment, and are still read
    config            the model's GPTConfig, as JSON
    step              training steps done
    environment       what wrote it: versions, backend, device, threads, as JSON
    optimizer_steps   the optimizer's step counts by parameter, as JSON, if its moments are there

and whatever strings the caller adds.  It appears under its name only when it is whole and on the disk.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tinygrad_gpt.backend import array_module, resolve_device, wide_dtype
from tinygrad_gpt.files import replacing
from tinygrad_gpt.kernels import num_threads
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.nn.config import parameter_shapes
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.training.safetensors_file import CheckpointError as CheckpointError
from tinygrad_gpt.training.safetensors_file import SafetensorsFile, opened, require_whole, strict_json, write

FORMAT, FORMAT_1 = "tinygrad_gpt 2", "tinygrad_gpt 1"
OURS = ("file_sha256", "format", "config", "step", "environment", "optimizer_steps")  # names in the metadata
MOMENTS = ("m", "v")
PER_LAYER = 11  # tensors, at least
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Checkpoint:
    """What a file held: a model, the steps it was trained for, the optimizer's state if it was saved, the caller's
    metadata, and the environment that wrote it.
    """

    model: GPT
    step: int
    optimizer_state: dict[str, dict[str, Any]] | None
    metadata: dict[str, str] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    def resume(self, optimizer: AdamW) -> None:
        """Give the optimizer the state it had.  Raises ValueError if there is none, or it does not fit."""
        if self.optimizer_state is None:
            raise ValueError("the file holds no optimizer state")
        optimizer.load_state(self.optimizer_state)

    def require_same(self, wanted: Mapping[str, object]) -> None:
        """Raise CheckpointError, naming each with both values, if settings of the run are not what is wanted.

        A setting is a field of the model's configuration or a string of the metadata, which are compared as text.
        """
        there = {**self.metadata, **self.model.config.as_dict()}
        differing = [
            f"{name} is {there.get(name, 'missing')} there, {value} here"
            for name, value in wanted.items()
            if name not in there or str(there[name]) != str(value)
        ]
        if differing:
            raise CheckpointError(f"the checkpoint is of another run: {'; '.join(differing)}")


def save_checkpoint(
    path: str | Path,
    model: GPT,
    optimizer: AdamW | None = None,
    *,
    step: int = 0,
    metadata: Mapping[str, str] = NOTHING,
    verify: bool = False,
) -> None:
    """Write model (and optimizer, the steps done, metadata) to path, replacing what was there, whole or not at all.

    With verify, what was written is read again before it gets the name.

    Raises OSError if it cannot be written, and ValueError or TypeError for what cannot be saved; the file that was
    there is left as it was, or, if only its folder cannot be synced, the new one is there.
    """
    tensors = {name: p.data for name, p in model.parameters().items()}
    ours = {
        "format": FORMAT,
        "config": json.dumps(model.config.as_dict()),
        "step": str(whole_number("step", step)),
        "environment": json.dumps(environment(model)),
    }
    if optimizer is not None:
        steps = optimizer.steps
        if strange := sorted(steps.keys() - tensors.keys()):
            raise ValueError(f"the optimizer has parameters that the model has not: {', '.join(strange)}")
        ours["optimizer_steps"] = json.dumps(steps)
        for moment in MOMENTS:
            tensors |= {f"optimizer.{moment}.{name}": array for name, array in getattr(optimizer, moment).items()}
    with replacing(path, check=require_whole if verify else None) as file:
        write(file, tensors, ours | checked(metadata))


def checked(metadata: Mapping[str, str]) -> dict[str, str]:
    """The caller's metadata, if they are strings under names of their own."""
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"metadata must be strings; got {name!r}: {value!r}")
        if name in OURS:
            raise ValueError(f"metadata may not be named {', '.join(OURS)}; got {name!r}")
    return dict(metadata)


def environment(model: GPT) -> dict[str, str | int]:
    """What bits depend on besides the data."""
    import tinygrad_gpt  # here: it imports this module

    backend = array_module(next(iter(model.parameters().values())).data)
    return {
        "tinygrad_gpt": tinygrad_gpt.__version__,
        "backend": backend.__name__,
        backend.__name__: backend.__version__,
        "device": model.device,
        "threads": num_threads(),
    }


def load_checkpoint(path: str | Path, *, device: str = "cpu") -> Checkpoint:
    """Read what `save_checkpoint` wrote.  Raises CheckpointError if the file is something else, or damaged."""
    device = resolve_device(device)
    with opened(path) as file:
        metadata = dict(file.metadata)
        check_format(metadata.get("format"), file.has_digest)
        config = GPTConfig(**strict_json(entry(metadata, "config")))
        step = whole_number("step", entry(metadata, "step"))
        written_in = strict_json(entry(metadata, "environment")) if metadata["format"] == FORMAT else {}
        steps = optimizer_steps(metadata)
        check_tensors(file, config, steps)
        model = read_model(file, config, device)
        state = None if steps is None else read_optimizer_state(file, steps)
    return Checkpoint(model, step, state, {k: v for k, v in metadata.items() if k not in OURS}, written_in)


def read_model(file: SafetensorsFile, config: GPTConfig, device: str) -> GPT:
    """The model of a file whose tensors were checked."""
    weights = {name: file.tensor(name) for name in file.tensors if not name.startswith("optimizer.")}
    return GPT(config, device=device, dtype=wide_dtype(weights["wte.weight"].dtype), weights=weights)


def read_optimizer_state(file: SafetensorsFile, steps: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """What `AdamW.load_state` takes, of a file whose tensors were checked."""
    return {
        name: {"step": count} | {moment: file.tensor(f"optimizer.{moment}.{name}") for moment in MOMENTS}
        for name, count in steps.items()
    }


def check_format(format: str | None, has_digest: bool) -> None:
    """Raise ValueError unless this is a format that can be read."""
    if format == FORMAT:
        if not has_digest:
            raise ValueError("its digest is missing")
    elif format != FORMAT_1:
        newer = re.fullmatch(r"tinygrad_gpt \d+", format or "")
        hint = ": a newer version of this program wrote it" if newer else ""
        raise ValueError(f"its format is {format!r}, not {FORMAT!r}{hint}")


def entry(metadata: Mapping[str, str], name: str) -> str:
    """A string of the metadata.  Raises ValueError if it is not there."""
    if name not in metadata:
        raise ValueError(f"{name!r} is missing")
    return metadata[name]


def whole_number(name: str, value: object) -> int:
    """A number of steps, from an int or its digits.  Raises ValueError for anything else."""
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,18}", str(value)):
        raise ValueError(f"{name} must be a whole number of at least 0; got {value!r}")
    return int(str(value))


def optimizer_steps(metadata: Mapping[str, str]) -> dict[str, int] | None:
    """The step counts by parameter, or None if no optimizer was saved."""
    if "optimizer_steps" not in metadata:
        return None
    counts = strict_json(metadata["optimizer_steps"])
    return {name: whole_number(f"optimizer_steps of {name}", count) for name, count in counts.items()}


def check_tensors(file: SafetensorsFile, config: GPTConfig, steps: dict[str, int] | None) -> None:
    """Raise ValueError, listing them, unless the tensors are the model's and the moments of those counted in steps."""
    shapes = shapes_of(config, file)
    for name in steps or {}:
        if name not in shapes:
            raise ValueError(f"optimizer_steps has {name}, which is no parameter")
    shapes |= {f"optimizer.{moment}.{name}": shapes[name] for moment in MOMENTS for name in steps or {}}
    check_shapes(file, shapes)
    dtypes = sorted({stored.dtype for stored in file.tensors.values()})
    if len(dtypes) > 1 or dtypes[0] not in ("F16", "F32", "F64"):
        raise ValueError(f"its tensors are of dtype {', '.join(dtypes)}; F16, F32 or F64 was expected, one for all")


def shapes_of(config: GPTConfig, file: SafetensorsFile) -> dict[str, tuple[int, ...]]:
    """The shapes of the configuration's parameters.

    Raises ValueError if there are too few tensors for so many layers: a file must not make us list a billion names.
    """
    if config.n_layers * PER_LAYER > len(file.tensors):
        raise ValueError(f"it has {len(file.tensors)} tensors, too few for a model of {config.n_layers} layers")
    return parameter_shapes(config)


def check_shapes(file: SafetensorsFile, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError listing the tensors that are missing or unexpected, or have another shape."""
    problems = [f"{name} is missing" for name in shapes.keys() - file.tensors.keys()]
    problems += [f"{name} is unexpected" for name in file.tensors.keys() - shapes.keys()]
    problems += [
        f"{name} has shape {file.tensors[name].shape}, not {shape}"
        for name, shape in shapes.items()
        if name in file.tensors and file.tensors[name].shape != shape
    ]
    if problems:
        raise ValueError(f"its tensors do not fit the model: {'; '.join(sorted(problems))}")


def load_gpt2(path: str | Path, *, n_heads: int | None = None, drop_rate: float = 0.1, device: str = "cpu") -> GPT:
    """A model from a published GPT-2 file (Hugging Face's model.safetensors), float32.

    The shape follows from the tensors; heads are 64 wide in every published size, unless n_heads says otherwise.  The
    output head is tied, unless the file holds one of its own.

    Raises CheckpointError if the file is no such file.
    """
    device = resolve_device(device)
    with opened(path, " as GPT-2") as file:
        weights = {
            name.removeprefix("transformer."): file.tensor(name) for name in file.tensors if not is_mask(file, name)
        }
        head = weights.get("lm_head.weight")
        for name in ("wte.weight", "wpe.weight"):
            if name not in weights:
                raise ValueError(f"{name!r} is missing")
            if weights[name].ndim != 2:
                raise ValueError(f"{name} has shape {weights[name].shape}, not two axes")
        tied = head is None or np.array_equal(head, weights["wte.weight"])
        if tied:
            weights.pop("lm_head.weight", None)
        vocab_size, emb_dim = weights["wte.weight"].shape
        config = GPTConfig(
            vocab_size=vocab_size,
            context_length=weights["wpe.weight"].shape[0],
            emb_dim=emb_dim,
            n_heads=heads_of_width(emb_dim) if n_heads is None else n_heads,
            n_layers=len({name.split(".")[1] for name in weights if re.match(r"h\.\d+\.", name)}),
            drop_rate=drop_rate,
            qkv_bias=True,
            tie_weights=tied,
        )
        shapes_of(config, file)
        return GPT(config, device=device, weights=weights)


def is_mask(file: SafetensorsFile, name: str) -> bool:
    """Whether this is one of the causal masks that published files carry beside the weights."""
    return name.endswith((".attn.bias", ".attn.masked_bias")) and len(file.tensors[name].shape) != 1


def heads_of_width(emb_dim: int) -> int:
    """How many heads a published GPT-2 of this width has: each is 64 wide.  Raises ValueError if that leaves a rest."""
    if emb_dim % 64 or not emb_dim:
        raise ValueError(f"its width {emb_dim} is no multiple of 64, as wide as GPT-2's heads are; give n_heads")
    return emb_dim // 64
