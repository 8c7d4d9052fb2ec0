"""What a run measures between two steps: the losses, and a sample of the model's text."""

import math
from typing import Any

from tinygrad_gpt.backend import Array
from tinygrad_gpt.cli.terminal import StopFlag
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import Plan
from tinygrad_gpt.cli.train.time_spent import TimeSpent
from tinygrad_gpt.sampling import generate
from tinygrad_gpt.training import evaluate, perplexity


class Evaluation:
    """Scores the model and samples from it.  Nothing here changes the training.

    Every method raises StopRequested if the run is to stop.
    """

    def __init__(self, options: Train, plan: Plan, stop: StopFlag, spent: TimeSpent) -> None:
        self.options, self.plan, self.stop, self.spent = options, plan, stop, spent

    def measure(self, step: int) -> dict[str, Any]:
        """The losses of both parts of the text after this step, as a record for the log."""
        train_loss, val_loss = self.score(self.plan.train_tokens), self.score(self.plan.val_tokens)
        loss = train_loss if val_loss is None else val_loss
        return {
            "step": step,
            "epoch": step / self.plan.steps_per_epoch,
            "tokens_seen": self.plan.tokens_seen(step),
            "train_loss": train_loss,
            "val_loss": val_loss,
            "eval_tokens": self.plan.eval_tokens,
            "perplexity": None if loss is None else finite_or_none(perplexity(loss)),
        }

    def score(self, tokens: Array) -> float | None:
        """Nats per token, over --eval-tokens tokens spread evenly; None if it is not finite, or there are no tokens."""
        if len(tokens) < 2:
            return None
        limit = self.plan.eval_tokens
        with self.spent.on("evaluating"):
            score = evaluate(self.plan.model, tokens, max_tokens=limit, spread=True, advance=self.stop.check)
        return finite_or_none(score.loss)

    def sample(self) -> str:
        """The prompt, and --sample-tokens tokens after it.  Raises ValueError for logits that are not finite."""
        reports, seed = self.options.report, self.options.training.seed
        ids = self.plan.prompt.tolist()
        tokens = generate(
            self.plan.model, [ids], reports.sample_tokens, temperature=reports.sample_temperature, seed=seed
        )
        for token in tokens:
            self.stop.check()
            ids.append(int(token[0]))
        return self.plan.corpus.tokenizer.decode(ids)


def finite_or_none(value: float) -> float | None:
    """The value, or None if it is nan or infinite: JSON cannot write these."""
    return value if math.isfinite(value) else None
