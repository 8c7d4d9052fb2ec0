"""The RUN argument and --checkpoint: load a run as the commands name it, and explain what was loaded."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from tinygrad_gpt.checkpoints import CheckpointError, Checkpoints
from tinygrad_gpt.checkpoints.folder import step_of
from tinygrad_gpt.cli.errors import UserError, note, user_input
from tinygrad_gpt.runs import Run, RunError, load_run
from tinygrad_gpt.runs.load import requested_step
from tinygrad_gpt.runs.names import CHECKPOINTS, MODEL

_CHECKPOINT_HELP = (
    "Which checkpoint of the run to use: best (lowest validation loss), newest, or the number of a step. Default: "
    "model.safetensors, or the newest checkpoint if the run has not written it yet."
)
WhichCheckpoint = Annotated[str | None, arg(metavar="best|newest|STEP", help=_CHECKPOINT_HELP, help_behavior_hint="")]


def load_named_run(run: str, device: str, checkpoint: str | None = None) -> Run:
    """The run in the folder RUN, without its optimizer's state.  Notes what the user may not expect.

    Raises UserError if it is not a run folder, or has no such checkpoint.
    """
    try:
        requested_step(checkpoint)
    except ValueError as error:
        raise UserError(f"--{error}") from error
    with user_input():
        try:
            found = load_run(run, checkpoint=checkpoint, device=device, with_optimizer=False)
        except RunError as error:
            raise UserError(f"RUN {error}") from error
        except CheckpointError as error:
            raise UserError(f"{error}{'' if checkpoint else _checkpoint_advice(Path(run))}") from error
    for line in found.skipped:
        note(f"skipped: {line}")
    newest = _newest_step(Path(run))
    if checkpoint is None and found.path.name != MODEL:
        note(f"RUN {run!r} has no {MODEL} yet: this is its newest checkpoint, after step {found.step:,}")
    elif checkpoint is None and newest > found.step:
        note(f"{MODEL} is of step {found.step:,}; there is a checkpoint of step {newest:,}: --checkpoint newest")
    return found


def _newest_step(folder: Path) -> int:
    """The step of the newest checkpoint by name, 0 if there is none."""
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    return step_of(checkpoints.paths()[0]) if checkpoints.folder.is_dir() and checkpoints.paths() else 0


def _checkpoint_advice(folder: Path) -> str:
    """What to use instead of a model that cannot be read: the newest whole checkpoint, if there is one."""
    try:
        checkpoint, _ = Checkpoints(folder / CHECKPOINTS).newest(with_optimizer=False)
    except CheckpointError:
        return ""
    return f"; its checkpoint of step {checkpoint.step:,} is whole: --checkpoint {checkpoint.step}"
