"""Whether a resumed run is the same training: the settings that determine it, which every checkpoint stores."""

import hashlib
from collections.abc import Iterator
from functools import partial

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checkpoints import Checkpoint, CheckpointError
from tinygrad_gpt.cli.errors import UserError
from tinygrad_gpt.cli.options import OnResume, Option, options_of, value_of
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.nn import GPTConfig
from tinygrad_gpt.text import Batches, Tokenizer

_TOKENS_AT_A_TIME = 2**20


def check_same(options: Train, config: GPTConfig, settings: dict[str, str], checkpoint: Checkpoint) -> None:
    """Raise UserError, listing the differences, unless options, model and text are those of the checkpoint's run."""
    here = config.as_dict() | {name: value for name, value in settings.items() if name != "steps"}
    try:
        checkpoint.require_same(here, _default_values())
    except CheckpointError as error:
        raise UserError(f"--resume {options.run.resume!r}: {error}") from error


def _default_values() -> dict[str, object]:
    """Values for the options that a checkpoint of an older version does not have."""
    values = {option.name: value_of(Train(), option) for option in _compared_options()}
    return {name: value for name, value in values.items() if value is not None}  # None: the run computes it


def _compared_options() -> Iterator[Option]:
    """The options that every checkpoint stores: those marked SAME, or not marked."""
    return (option for option in options_of(Train) if option.on_resume in (OnResume.SAME, None))


def check_steps(options: Train, steps: int, before: int) -> None:
    """Raise UserError if a run that is resumed would have fewer steps than before."""
    if steps < before:
        raise UserError(
            f"--resume {options.run.resume!r}: --epochs and --steps may only grow; got {steps:,} steps, the run has "
            f"{before:,}"
        )


def settings_of(
    options: Train, tokenizer: Tokenizer, tokens: Array, batches: Batches, steps: int, schedule: "partial[float]"
) -> dict[str, str]:
    """Everything that determines the training except the model's configuration: with equal settings, runs are equal."""
    rates = schedule.keywords
    effective = {  # the values of options that were not given
        "min_lr": rates["min_lr"],
        "warmup_steps": rates["warmup_steps"],
        "decay_steps": rates["total_steps"],
        "stride": batches.stride,
    }
    settings = {option.name: effective.get(option.name, value_of(options, option)) for option in _compared_options()}
    settings["steps"] = steps
    settings["tokenizer"] = f"{tokenizer.name} {tokenizer.fingerprint[:12]}"
    settings["text"] = text_in_words(tokens)
    return {name: str(value) for name, value in settings.items()}


def text_in_words(tokens: Array) -> str:
    """A description of a text: the number of its tokens, and the beginning of their digest."""
    return f"{len(tokens):,} tokens {_digest(tokens)[:16]}"


def _digest(tokens: Array) -> str:
    """SHA-256 (hex) of ids, independent of their integer type."""
    sha256 = hashlib.sha256()
    for start in range(0, len(tokens), _TOKENS_AT_A_TIME):
        sha256.update(np.asarray(tokens[start : start + _TOKENS_AT_A_TIME]).astype("<u4").tobytes())
    return sha256.hexdigest()
