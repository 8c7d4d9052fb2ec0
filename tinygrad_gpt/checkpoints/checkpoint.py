"""Models in files: safetensors, with the weights under GPT-2's names and everything else in the header.  No pickle.

A checkpoint holds the weights, and the optimizer's state as `optimizer.STATE.NAME` for each of the optimizer's
state_names: `optimizer.m.NAME` and `optimizer.v.NAME` are AdamW's moments of the parameter NAME.  Its metadata are

    file_sha256       digest of the whole file (see safetensors_file)
    format            "tinygrad_gpt 2"; files of format 1 had no digest and no environment, and can still be read
    config            the model's GPTConfig, as JSON
    step              training steps done
    environment       versions, backend, device, threads, BLAS and its kernel, vector units, as JSON
    optimizer_steps   the optimizer's step counts by parameter, as JSON, if its state was saved

and the strings that the caller adds.  The file gets its name only when it is whole and on the disk.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tinygrad_gpt.backend import accumulation_dtype, resolve_device, to_device
from tinygrad_gpt.checkpoints.environment import environment
from tinygrad_gpt.checkpoints.safetensors_file import CheckpointError as CheckpointError
from tinygrad_gpt.checkpoints.safetensors_file import (
    SafetensorsFile,
    StoredTensor,
    json_object,
    open_safetensors,
    require_complete,
    write,
)
from tinygrad_gpt.checks import check_has, mapping
from tinygrad_gpt.files import atomic_write
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.nn.config import parameter_shapes
from tinygrad_gpt.optim import Optimizer

FORMAT, FORMAT_1 = "tinygrad_gpt 2", "tinygrad_gpt 1"
RESERVED_KEYS = ("file_sha256", "format", "config", "step", "environment", "optimizer_steps")  # of the metadata
_MIN_TENSORS_PER_LAYER = 11
NO_METADATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file: a model, its training steps, the optimizer's state if it was saved, the caller's metadata,
    and the environment in which it was written.
    """

    model: GPT
    step: int
    # By parameter: "step", and an array for each state.
    optimizer_state: dict[str, dict[str, Any]] | None = field(repr=False)
    metadata: dict[str, str] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    def resume(self, optimizer: Optimizer) -> None:
        """Give the optimizer the saved state.  Raises ValueError if there is none, or it does not fit."""
        if self.optimizer_state is None:
            raise ValueError(
                "the file holds no optimizer state; a run's checkpoints do (load_run(RUN, checkpoint='newest'))"
            )
        optimizer.load_state(self.optimizer_state)

    def require_same(self, wanted: Mapping[str, object], defaults: Mapping[str, object] = NO_METADATA) -> None:
        """Raise CheckpointError, listing the differences, unless the checkpoint has the wanted settings.

        A setting is a field of the model's configuration or a string of the metadata; both are compared as text.  If
        the checkpoint lacks a setting, its default counts: an older version could not train with another value.
        """
        there = {**defaults, **self.metadata, **self.model.config.as_dict()}
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
    optimizer: Optimizer | None = None,
    *,
    step: int = 0,
    metadata: Mapping[str, str] = NO_METADATA,
    verify: bool = False,
) -> None:
    """Write the model (and the optimizer, the steps done, metadata) to path, whole or not at all.

    An existing file is replaced.  With verify the new file is read again before it takes its name.

    Raises OSError if it cannot be written, ValueError or TypeError if something cannot be saved.  Then the existing
    file stays.  There is one exception: if only the sync of the folder failed, path already has the new file.
    """
    check_has("model", model, "parameters", "config")
    if optimizer is not None:
        check_has("optimizer", optimizer, "steps", "state_names")
    mapping("metadata", metadata, "strings to strings")
    tensors = {name: p.data for name, p in model.parameters().items()}
    ours = {
        "format": FORMAT,
        "config": json.dumps(model.config.as_dict()),
        "step": str(_step_count("step", step)),
        "environment": json.dumps(environment(model)),
    }
    if optimizer is not None:
        steps = optimizer.steps
        if strange := sorted(steps.keys() - tensors.keys()):
            raise ValueError(f"the optimizer has parameters that the model does not have: {', '.join(strange)}")
        ours["optimizer_steps"] = json.dumps(steps)
        for state in optimizer.state_names:
            if not state.isidentifier():
                raise ValueError(f"state_names of the optimizer must be identifiers; got {state!r}")
            tensors |= {f"optimizer.{state}.{name}": array for name, array in getattr(optimizer, state).items()}
    with atomic_write(path, check=require_complete if verify else None) as file:
        write(file, tensors, ours | _check_metadata(metadata))


def _check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The caller's metadata.  Raises TypeError unless they are strings, ValueError for a reserved name."""
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"metadata must be strings; got {name!r}: {value!r}")
        if name in RESERVED_KEYS:
            raise ValueError(f"metadata may not be named {', '.join(RESERVED_KEYS)}; got {name!r}")
    return dict(metadata)


def load_checkpoint(path: str | Path, *, device: str = "cpu", with_optimizer: bool = True) -> Checkpoint:
    """Read what `save_checkpoint` has written.  with_optimizer=False does not read the optimizer's state.

    Raises CheckpointError if the file is damaged, or is not a checkpoint.
    """
    device = resolve_device(device)
    with open_safetensors(path) as file:
        metadata = dict(file.metadata)
        config, steps = layout_of(file)
        step = _step_count("step", _metadata_entry(metadata, "step"))
        written_in = json_object(_metadata_entry(metadata, "environment")) if metadata["format"] == FORMAT else {}
        model = read_model(file, config, device)
        state = _read_optimizer_state(file, steps) if with_optimizer and steps is not None else None
    return Checkpoint(model, step, state, {k: v for k, v in metadata.items() if k not in RESERVED_KEYS}, written_in)


def is_ours(file: SafetensorsFile) -> bool:
    """Whether this program wrote the file, in any of its formats."""
    return file.metadata.get("format", "").startswith("tinygrad_gpt ")


def layout_of(file: SafetensorsFile) -> tuple[GPTConfig, dict[str, int] | None]:
    """The configuration and the optimizer's step counts.  Raises ValueError if the tensors do not fit them."""
    _check_format(file.metadata.get("format"), file.has_digest)
    config = GPTConfig(**json_object(_metadata_entry(file.metadata, "config")))
    steps = _optimizer_steps(file.metadata)
    _check_tensors(file, config, steps)
    return config, steps


def read_model(
    file: SafetensorsFile,
    config: GPTConfig,
    device: str,
    dtype: str | None = None,
    names: Mapping[str, str] = NO_METADATA,
) -> GPT:
    """The model of a file whose tensors were checked.  By default it has their dtype, and float32 for float16.

    names maps a parameter's name to its name in the file.  Parameters are read one by one, so memory holds at most one
    tensor besides the model.
    """
    stored = file.dtype_of(names.get("wte.weight", "wte.weight"))
    nothing = np.zeros((), accumulation_dtype(stored) if dtype is None else dtype)
    blank = {name: np.broadcast_to(nothing, shape) for name, shape in parameter_shapes(config).items()}
    model = GPT(config, device=device, dtype=nothing.dtype, weights=blank)
    for name, parameter in model.parameters().items():
        parameter.data = to_device(file.tensor(names.get(name, name), nothing.dtype), device)
    return model


def _read_optimizer_state(file: SafetensorsFile, steps: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """The argument for an optimizer's `load_state`, from a file whose tensors were checked."""
    states = _state_names(file.tensors, steps)
    return {
        name: {"step": count} | {state: file.tensor(f"optimizer.{state}.{name}") for state in states}
        for name, count in steps.items()
    }


def _state_names(tensors: Mapping[str, StoredTensor], steps: Mapping[str, int]) -> list[str]:
    """The names of the optimizer's state: STATE of every tensor `optimizer.STATE.NAME` whose NAME has a step count.

    Raises ValueError if the file has too few tensors: its header alone must not make us build a billion names.
    """
    split = (tensor.removeprefix("optimizer.").partition(".") for tensor in tensors if tensor.startswith("optimizer."))
    states = sorted({state for state, _, name in split if name in steps})
    if len(states) * len(steps) > len(tensors):
        raise ValueError(f"it has {len(tensors)} tensors, too few for an optimizer of {len(states)} arrays a parameter")
    return states


def _check_format(format: str | None, has_digest: bool) -> None:
    """Raise ValueError unless this version can read the format."""
    if format == FORMAT:
        if not has_digest:
            raise ValueError("its digest is missing")
    elif format != FORMAT_1:
        newer = re.fullmatch(r"tinygrad_gpt \d+", format or "")
        hint = ": a newer version of this program wrote it" if newer else ""
        raise ValueError(f"its format is {format!r}, not {FORMAT!r}{hint}")


def _metadata_entry(metadata: Mapping[str, str], name: str) -> str:
    """A string of the metadata.  Raises ValueError if it is missing."""
    if name not in metadata:
        raise ValueError(f"{name!r} is missing")
    return metadata[name]


def _step_count(name: str, value: object) -> int:
    """A number of steps, from an int or its digits.  Raises ValueError for anything else."""
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,18}", str(value)):
        raise ValueError(f"{name} must be a whole number of at least 0; got {value!r}")
    return int(str(value))


def _optimizer_steps(metadata: Mapping[str, str]) -> dict[str, int] | None:
    """The step counts by parameter, or None if no optimizer was saved."""
    if "optimizer_steps" not in metadata:
        return None
    counts = json_object(metadata["optimizer_steps"])
    return {name: _step_count(f"optimizer_steps of {name}", count) for name, count in counts.items()}


def _check_tensors(file: SafetensorsFile, config: GPTConfig, steps: dict[str, int] | None) -> None:
    """Raise ValueError, listing the differences, unless the tensors are those of the model and its optimizer."""
    shapes = shapes_of(config, len(file.tensors))
    for name in steps or {}:
        if name not in shapes:
            raise ValueError(f"optimizer_steps has {name}, which is not a parameter")
    states = _state_names(file.tensors, steps or {})
    shapes |= {f"optimizer.{state}.{name}": shapes[name] for state in states for name in steps or {}}
    check_shapes(file.tensors, shapes)
    dtypes = sorted({stored.dtype for stored in file.tensors.values()})
    if len(dtypes) > 1 or dtypes[0] not in ("F16", "F32", "F64"):
        raise ValueError(f"its tensors are of dtype {', '.join(dtypes)}; F16, F32 or F64 was expected, one for all")


def shapes_of(config: GPTConfig, n_tensors: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the configuration's parameters.

    Raises ValueError if the file has too few tensors: its header alone must not make us build a billion names.
    """
    if config.n_layers * _MIN_TENSORS_PER_LAYER > n_tensors:
        raise ValueError(f"it has {n_tensors} tensors, too few for a model of {config.n_layers} layers")
    return parameter_shapes(config)


def check_shapes(tensors: Mapping[str, StoredTensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError listing the tensors that are missing or unexpected, or have another shape."""
    problems = [f"{name} is missing" for name in shapes.keys() - tensors.keys()]
    problems += [f"{name} is unexpected" for name in tensors.keys() - shapes.keys()]
    problems += [
        f"{name} has shape {tensors[name].shape}, not {shape}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != shape
    ]
    if problems:
        raise ValueError(f"its tensors do not fit the model: {'; '.join(sorted(problems))}")
