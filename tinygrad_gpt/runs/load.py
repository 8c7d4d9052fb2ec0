"""Load a run: the trained model, or one of its checkpoints, with the tokenizer."""

import os
from dataclasses import dataclass
from pathlib import Path

from tinygrad_gpt.checkpoints.checkpoint import Checkpoint, load_checkpoint
from tinygrad_gpt.checkpoints.folder import Checkpoints, load_step, step_of
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.runs.names import CHECKPOINTS, MODEL, TOKENIZER, RunError
from tinygrad_gpt.text import Tokenizer, load_tokenizer


@dataclass(frozen=True, repr=False)
class Run:
    """A model of a run: run.model, run.tokenizer, run.config, run.step.

    run.path is the file that was read, run.checkpoint everything in it (metadata, and the optimizer's state if it has
    one), run.skipped a line for each newer checkpoint that could not be read.
    """

    checkpoint: Checkpoint
    tokenizer: Tokenizer
    path: Path
    skipped: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Run {str(self.path)!r}, step {self.step:,}: {self.model!r}, tokenizer {self.tokenizer.name}>"

    @property
    def model(self) -> GPT:
        """The model after run.step."""
        return self.checkpoint.model

    @property
    def config(self) -> GPTConfig:
        """The model's configuration."""
        return self.model.config

    @property
    def step(self) -> int:
        """Training steps done."""
        return self.checkpoint.step


def load_run(
    path: str | os.PathLike[str],
    *,
    checkpoint: str | int | None = None,
    device: str = "cpu",
    with_optimizer: bool = True,
) -> Run:
    """The model and the tokenizer of a run.  path is the folder that `tinygrad-gpt train` has written.

    checkpoint chooses one of the run's checkpoints: "best" has the lowest validation loss of those that still exist,
    "newest" is the last one, a number is a step.  By default the model comes from model.safetensors, which a run writes
    after an epoch if there is time, and when it stops or ends; until that file exists, from the newest checkpoint.

    Only checkpoints hold the optimizer's state; `run.checkpoint.resume(optimizer)` continues with it.
    with_optimizer=False does not read it.

    Raises RunError if the folder is not a run folder or lacks the checkpoint, CheckpointError if a file cannot be read,
    ValueError or OSError if the tokenizer cannot, ValueError for any other value of checkpoint.
    """
    folder, step = Path(path), requested_step(checkpoint)
    if not folder.is_dir():
        raise RunError(f"{str(path)!r} is not a folder: give the one that train has made")
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    there = checkpoints.paths() if checkpoints.folder.is_dir() else []
    for name, is_there in ((MODEL, (folder / MODEL).is_file() or there), (TOKENIZER, (folder / TOKENIZER).is_file())):
        if not is_there:
            raise RunError(f"{str(path)!r} is not a run folder: it has no {name}")
    file = folder / MODEL if step is None else checkpoints.path_of(step)
    if step is not None and file not in there:
        steps = ", ".join(str(step_of(path)) for path in reversed(there))
        others = f"those of steps {steps}" if steps else "none"
        raise RunError(f"{str(path)!r} has no checkpoint of step {step}; it has {others}")
    tokenizer, skipped = load_tokenizer(folder / TOKENIZER), list[str]()
    if step is not None or (checkpoint is None and file.is_file()):
        load = load_checkpoint if step is None else load_step
        found = load(file, device=device, with_optimizer=with_optimizer)
    else:
        choose = checkpoints.best if checkpoint == "best" else checkpoints.newest
        found, skipped = choose(device=device, with_optimizer=with_optimizer)
        file = checkpoints.path_of(found.step)
    n_tokens = found.model.config.vocab_size
    if n_tokens != tokenizer.vocab_size:
        raise RunError(
            f"{str(path)!r}: its model knows {n_tokens} tokens, its tokenizer {tokenizer.vocab_size}: "
            "they are not of one run"
        )
    return Run(found, tokenizer, file, tuple(skipped))


def requested_step(checkpoint: str | int | None) -> int | None:
    """The step that `checkpoint` names; None if it is a word or missing.  Raises ValueError for any other value."""
    if checkpoint in (None, "best", "newest"):
        return None
    if isinstance(checkpoint, bool) or not str(checkpoint).isdecimal() or len(str(checkpoint)) > 18:
        raise ValueError(f"checkpoint must be best, newest or a step; got {checkpoint!r}")
    return int(str(checkpoint))
