"""A training step that was not finite: what made it so, and a folder to look at it again."""

import json
from dataclasses import dataclass
from pathlib import Path

from tinygrad_gpt.backend import Array
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import Plan
from tinygrad_gpt.debug.nonfinite import NonFinite, find_nonfinite, save_crash
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.rng import Dropout


@dataclass(frozen=True)
class Crash:
    """The step, all that it follows from, and what was found when it was computed once more."""

    message: str  # of the error
    step: int
    seed: int
    accumulation: int
    model: GPT
    ids: Array
    targets: Array
    found: NonFinite | None

    @classmethod
    def of(cls, options: Train, plan: Plan, step: int, message: str) -> "Crash":
        """Compute the step once more; the model is as it was before it."""
        seed, accumulation = options.training.seed, options.training.accumulation
        ids, targets = plan.batches.batch(step)
        found = find_nonfinite(plan.model, ids, targets, dropout=Dropout(seed, step), accumulation=accumulation)
        return cls(message, step, seed, accumulation, plan.model, ids, targets, found)

    @property
    def cause(self) -> str:
        """What was found, in one line."""
        return "the step, repeated, was finite" if self.found is None else str(self.found)

    def save(self, folder: Path) -> None:
        """Write it all to a folder."""
        found = self.cause if self.found is None else self.found.report()
        name = json.dumps(str(folder))
        hint = f"To look again:\n\n    from tinygrad_gpt.debug import replay\n    print(replay({name}))"
        save_crash(
            folder,
            self.model,
            self.ids,
            self.targets,
            step=self.step,
            seed=self.seed,
            accumulation=self.accumulation,
            report="\n\n".join([self.message, found, hint]),
        )
