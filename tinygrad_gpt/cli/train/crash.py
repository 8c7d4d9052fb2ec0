"""A training step that was not finite, as the train command ran it."""

from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import Plan
from tinygrad_gpt.debug.crash import Crash


def crash_of(options: Train, plan: Plan, step: int, message: str) -> Crash:
    """The step that stopped the training with this message; the model is as it was before it."""
    ids, targets = plan.batches.batch(step)
    training = options.training
    return Crash(plan.model, ids, targets, step, training.seed, training.accumulation, message)
