"""A training step that was not finite, saved to a folder so that it can run again anywhere."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from tinygrad_gpt.checks import check_ids, mapping, whole_number
from tinygrad_gpt.debug.nonfinite import NonFinite, find_nonfinite
from tinygrad_gpt.files import atomic_write, strict_json
from tinygrad_gpt.kernels.cuda import current_precision, precision
from tinygrad_gpt.kernels.cuda.precision import PRECISIONS
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.rng import Dropout, check_seed
from tinygrad_gpt.runs.names import CRASH_FILES

_MODEL, _STEP, _REPORT = CRASH_FILES
_FINITE = "when the step ran again, everything was finite"


@dataclass(frozen=True)
class Crash:
    """The step with everything that determines it: the model before it, ids and targets (B, T), its dropout masks."""

    model: GPT
    ids: Array
    targets: Array
    step: int
    seed: int
    accumulation: int = 1
    message: str = ""  # of the error that stopped the training

    @cached_property
    def found(self) -> NonFinite | None:
        """What made the first number that is not finite; None if all of the step is finite when it runs again."""
        dropout = Dropout(self.seed, self.step)
        return find_nonfinite(self.model, self.ids, self.targets, dropout=dropout, accumulation=self.accumulation)

    @property
    def cause(self) -> str:
        """What was found, in one line."""
        return _FINITE if self.found is None else str(self.found)

    def save(self, folder: str | Path) -> None:
        """Write the step, its precision, and a report in words."""
        folder = Path(folder)
        folder.mkdir(exist_ok=True)
        save_checkpoint(folder / _MODEL, self.model, step=self.step - 1)
        batch = {"ids": np.asarray(self.ids).tolist(), "targets": np.asarray(self.targets).tolist()}
        settings = {"step": self.step, "seed": self.seed, "accumulation": self.accumulation}
        with atomic_write(folder / _STEP) as file:
            file.write(json.dumps(settings | {"precision": current_precision()} | batch).encode())
        name = json.dumps(str(folder))
        hint = f"To look again:\n\n    from tinygrad_gpt.debug import replay\n    print(replay({name}))"
        found = _FINITE if self.found is None else self.found.report()
        with atomic_write(folder / _REPORT) as file:
            report = "\n\n".join(filter(None, [self.message, found, hint]))
            file.write(f"{report}\n".encode("utf-8", "backslashreplace"))


def replay(folder: str | Path, *, device: str = "cpu") -> NonFinite | None:
    """Run the step that `Crash.save` wrote again; None if all of it is finite here.

    Raises CheckpointError or OSError if the folder does not hold one, ValueError if it was changed.
    """
    folder = Path(folder)
    model = load_checkpoint(folder / _MODEL, device=device).model
    crash, name = _read_step(folder / _STEP, model)
    with precision(name):
        return crash.found


def _read_step(file: Path, model: GPT) -> tuple[Crash, str]:
    """The step, and its precision.  Raises ValueError that names the file, and the field if one is wrong."""
    try:
        saved = mapping("the step", strict_json(file.read_bytes().decode("utf-8")), "fields")
        ids, targets = (check_ids(saved[name], model.config.vocab_size, name) for name in ("ids", "targets"))
        if ids.ndim != 2 or ids.shape != targets.shape:
            raise ValueError(f"ids and targets must have one shape (B, T); got {ids.shape} and {targets.shape}")
        step, accumulation = (whole_number(name, saved[name], 1) for name in ("step", "accumulation"))
        seed, name = check_seed(saved["seed"]), saved.get("precision", "float32")  # version 0.1 did not write it
        if name not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {name!r}")
    except KeyError as error:
        raise ValueError(f"{str(file)!r} has no field {error}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot use {str(file)!r}: {error}") from None
    return Crash(model, ids.astype(np.int64), targets.astype(np.int64), step, seed, accumulation), name
