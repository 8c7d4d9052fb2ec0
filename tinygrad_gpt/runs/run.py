"""A run folder as its readers see it: the model that was trained, or one of its checkpoints, with its tokenizer."""

import os
from dataclasses import dataclass
from pathlib import Path

from tinygrad_gpt.checkpoints.checkpoint import Checkpoint, load_checkpoint
from tinygrad_gpt.checkpoints.folder import Checkpoints, load_step, step_of
from tinygrad_gpt.checkpoints.safetensors_file import CheckpointError
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.text import Tokenizer, load_tokenizer

MODEL, TOKENIZER, CHECKPOINTS = "model.safetensors", "tokenizer.json", "checkpoints"


class NotARun(CheckpointError):  # noqa: N818 (it is an error by its base)
    """A folder holds no run, or lacks what was asked for.  The text begins with the folder's name."""


@dataclass(frozen=True, repr=False)
class Run:
    """A model of a run: run.model, run.tokenizer, run.config, run.step.

    run.checkpoint has what the file held besides, run.path is the file, run.skipped says what could not be read.
    """

    checkpoint: Checkpoint
    tokenizer: Tokenizer
    path: Path
    skipped: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Run {str(self.path)!r}, step {self.step:,}: {self.model!r}, tokenizer {self.tokenizer.name}>"

    @property
    def model(self) -> GPT:
        """The model, as it was after run.step."""
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
    """The model and the tokenizer of the run in a folder that train has made.

    checkpoint chooses one of its checkpoints: "best" has the lowest validation loss of those that are kept, "newest"
    is the last, a number is a step.  Without it the model is the one that the run has written at an epoch's end, at a
    stop or at its own end, and before that its newest checkpoint.  A checkpoint has the optimizer's state, unless it
    is not wanted: `run.checkpoint.resume(optimizer)` goes on with it.

    Raises CheckpointError if the folder is no run's or what is asked for cannot be read, ValueError or OSError for
    its tokenizer, ValueError for another word as checkpoint.
    """
    folder, step = Path(path), step_asked_for(checkpoint)
    if not folder.is_dir():
        raise NotARun(f"{str(path)!r} is not a folder: give the one that train has made")
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    there = checkpoints.paths() if checkpoints.folder.is_dir() else []
    for name, is_there in ((MODEL, (folder / MODEL).is_file() or there), (TOKENIZER, (folder / TOKENIZER).is_file())):
        if not is_there:
            raise NotARun(f"{str(path)!r} is not a run folder: it has no {name}")
    file = folder / MODEL if step is None else checkpoints.path_of(step)
    if step is not None and file not in there:
        steps = ", ".join(str(step_of(path)) for path in reversed(there)) or "none"
        raise NotARun(f"{str(path)!r} has no checkpoint of step {step}; it has those of steps {steps}")
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
        raise NotARun(
            f"{str(path)!r}: its model knows {n_tokens} tokens, its tokenizer {tokenizer.vocab_size}: "
            "they are not of one run"
        )
    return Run(found, tokenizer, file, tuple(skipped))


def step_asked_for(checkpoint: str | int | None) -> int | None:
    """The step, if one is asked for.  Raises ValueError for what is neither a step nor a word for a checkpoint."""
    if checkpoint in (None, "best", "newest"):
        return None
    if isinstance(checkpoint, bool) or not str(checkpoint).isdecimal() or len(str(checkpoint)) > 18:
        raise ValueError(f"checkpoint must be best, newest or a step; got {checkpoint!r}")
    return int(str(checkpoint))
