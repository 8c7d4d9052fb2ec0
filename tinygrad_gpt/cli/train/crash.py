"""A training step that was not finite: find the cause, and save the step for a closer look."""

from tinygrad_gpt.cli.train.console import Console
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import Plan
from tinygrad_gpt.debug.crash import Crash
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.runs.names import CRASH


def crash_message(options: Train, plan: Plan, step: int, error: str, folder: RunFolder, console: Console) -> str:
    """Compute a step that was not finite again, and write it to crash/; the error, its cause and remedies in one line.

    plan.model is as it was before the step; error is the text of the step's FloatingPointError.
    """
    t, path = options.training, folder.file(CRASH)
    ids, targets = plan.batches.batch(step)
    crash = Crash(plan.model, ids, targets, step, t.seed, t.accumulation, error)
    with console.tolerate(CRASH):
        crash.save(path)
    return (
        f"{error}; {crash.cause}; the model before that step is in {folder.path}, the step in {path.name}/: "
        "try a smaller --lr, or --on-nonfinite skip"
    )
