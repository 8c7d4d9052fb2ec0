"""A training step that was not finite: find the cause, and save the step for a closer look."""

import json

from tinygrad_gpt.cli.train.console import Console
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import Plan
from tinygrad_gpt.debug.nonfinite import find_nonfinite, save_crash
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.runs.names import CRASH


def crash_message(options: Train, plan: Plan, step: int, error: str, folder: RunFolder, console: Console) -> str:
    """Compute a step that was not finite again, and write it to crash/; the error, its cause and remedies in one line.

    plan.model is as it was before the step; error is the text of the step's FloatingPointError.
    """
    t, path = options.training, folder.file(CRASH)
    ids, targets = plan.batches.batch(step)
    found = find_nonfinite(plan.model, ids, targets, dropout=Dropout(t.seed, step), accumulation=t.accumulation)
    cause = "the step, repeated, was finite" if found is None else str(found)
    report = (
        f"{error}\n\n{cause if found is None else found.report()}\n\nTo compute the step again:\n\n"
        f"    from tinygrad_gpt.debug import replay\n    print(replay({json.dumps(str(path))}))"
    )
    with console.tolerate(CRASH):
        save_crash(path, plan.model, ids, targets, step=step, seed=t.seed, accumulation=t.accumulation, report=report)
    return (
        f"{error}; {cause}; the model before that step is in {folder.path}, the step in {path.name}/: "
        "try a smaller --lr, or --on-nonfinite skip"
    )
