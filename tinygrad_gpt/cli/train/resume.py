"""tinygrad-gpt train --resume RUN: restore a run from its folder alone.

The options are those of RUN/config.toml.  Other flags may change what does not affect the training: what is shown and
saved, and how often.  They may change the number of threads, the device and --accumulation, which affect only the last
bits.  They may add steps.  Everything else is refused: it would be another run.  Each option in options.py says which
of these it is.

Added steps do not change the learning rate of the planned steps; during the added steps it stays at its lowest.  The
result is, bit for bit, the run with the larger --steps and with --decay-steps at the number that was planned first.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinygrad_gpt.checkpoints import Checkpoint, Checkpoints
from tinygrad_gpt.checkpoints.environment import environment
from tinygrad_gpt.cli.config_file import read_config
from tinygrad_gpt.cli.errors import UserError, note, user_input
from tinygrad_gpt.cli.options import OnResume, Option, options_of, value_of, with_values
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.train.options import Train, with_epochs
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.runs.log import Record, eval_tokens_of, has_ended, read_log, records_up_to
from tinygrad_gpt.runs.names import CHECKPOINTS, CONFIG, LOG, TOKENS
from tinygrad_gpt.text import STDIN

# Changing these does not continue a complete run.
_IRRELEVANT_WHEN_COMPLETE = (OnResume.FREE, OnResume.MACHINE, OnResume.ROUNDS)


@dataclass(frozen=True)
class ResumedRun:
    """The state of a run, read from its folder."""

    options: Train
    checkpoint: Checkpoint
    records: list[Record]  # the log up to the checkpoint's step
    eval_tokens: int | None  # the most that an evaluation has scored, according to the log
    notes: list[str]
    has_ended: bool  # it is complete, and no more steps are requested


def options_to_resume(argv: Sequence[str], prog: str, folder: RunFolder) -> tuple[Train, Train]:
    """The run's stored options, and the same with the flags that --resume came with."""
    stored = with_values(Train(), read_config(str(folder.file(CONFIG)), Train))
    wanted = parse(Train, argv, prog, default=stored)
    for option in _changed_options(stored, wanted):
        if option.on_resume is OnResume.PLACE:
            raise UserError(
                f"{option.flag} cannot be combined with --resume: the run continues in its folder, with its options"
            )
        if option.on_resume is OnResume.TEXT and folder.file(TOKENS[0]).exists():
            raise UserError(
                f"{folder.label}: leave out {option.flag}: the text of the run is in {folder.file(TOKENS[0])}"
            )
    if STDIN in wanted.texts and not folder.file(TOKENS[0]).exists():
        if sys.stdin is not None and sys.stdin.isatty():
            raise UserError(
                f"{folder.label}: the run read its text from standard input: give the same text there again (< FILE), "
                "or as TEXTS"
            )
        note(f"{folder.label}: the text is read from standard input again, as it was when the run began")
    return stored, with_epochs(wanted, argv, prog)


def _changed_options(stored: Train, wanted: Train) -> list[Option]:
    """The options whose value differs from the stored one."""
    return [option for option in options_of(Train) if value_of(wanted, option) != value_of(stored, option)]


def resume_run(stored: Train, wanted: Train, folder: RunFolder) -> ResumedRun:
    """The newest state of a run that can be read.  Raises UserError if there is none."""
    checkpoints = Checkpoints(folder.file(CHECKPOINTS))
    if not folder.file(CHECKPOINTS).is_dir() or not checkpoints.paths():
        raise UserError(
            f"{folder.label} has no checkpoint to resume from: "
            f"--config {folder.file(CONFIG)} --out {folder.path} --overwrite starts it again"
        )
    try:
        with user_input():
            checkpoint, skipped = checkpoints.newest(device=wanted.run.device)
    except UserError as error:
        raise UserError(f"{folder.label}: {error}") from error
    missing = [name for name in ("steps", "decay_steps") if not checkpoint.metadata.get(name, "").isdecimal()]
    if missing or checkpoint.optimizer_state is None:
        raise UserError(f"{folder.label}: its checkpoint lacks what is needed to resume: train did not write it")
    records = read_log(folder.path)
    different = _changed_options(stored, wanted)
    asks_for_more = any(option.on_resume is OnResume.MORE for option in different)
    asks_for_another = any(option.on_resume not in _IRRELEVANT_WHEN_COMPLETE for option in different)
    ended = has_ended(records) and checkpoint.step == int(checkpoint.metadata["steps"]) and not asks_for_another
    if asks_for_more and wanted.training.decay_steps == stored.training.decay_steps:
        decay_steps = int(checkpoint.metadata["decay_steps"])
        wanted = replace(wanted, training=replace(wanted.training, decay_steps=decay_steps))
    notes = [f"skipped: {line}" for line in skipped] + _notes_on_the_log(records, checkpoint.step)
    notes += [
        f"{option.flag} {value_of(wanted, option)}, not {value_of(stored, option)}: {_MAY_DIFFER}"
        for option in different
        if option.on_resume is OnResume.ROUNDS
    ]
    before = records_up_to(records, checkpoint.step)
    return ResumedRun(wanted, checkpoint, before, eval_tokens_of(before), notes, ended)


_MAY_DIFFER = "results may differ in the last bits from an uninterrupted run"


def _notes_on_the_log(records: list[Record], step: int) -> list[str]:
    """A note if the log ends before the checkpoint."""
    last = max((record["step"] for record in records), default=0)
    return [f"{LOG} ends at step {last}, the checkpoint is of step {step}"] if last < step else []


def notes_on_the_machine(checkpoint: Checkpoint) -> list[str]:
    """A note for each property of the machine that differs from the checkpoint's and can change the last bits.

    Call it where the number of threads is set.
    """
    here = environment(checkpoint.model)
    return [
        f"{name} {there}, now {here.get(name)}: {_MAY_DIFFER}"
        for name, there in checkpoint.environment.items()
        if here.get(name) != there
    ]
