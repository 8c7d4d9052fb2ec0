"""The adapter for losses, and for what is computed from them: means over a text, perplexity, evaluation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np

from tinygrad_gpt.laws.first_call import LOGITS, TARGETS, FirstCall, call_text
from tinygrad_gpt.laws.law import Area, Array

Batch = tuple[Array, Array, Array]  # logits (N, V), targets (N) of int, counted (N) of bool: which rows are scored

_SCORE = "(model, tokens (N) of int, context_length=, stride=, batch_size=) -> (summed nats, number)"
_NO_TARGET = -1  # the index that means "not counted" in calls with ignore_index


@dataclass(frozen=True, eq=False, kw_only=True)
class LossUnderTest:
    """A cross-entropy in nats, and what is built on it.  All functions are optional; arrays are NumPy's.

    loss(logits, targets)           (N, V), (N) of int -> (): a mean or a sum; (N) if the reduction is "none"
    gradient(logits, targets)       dloss/dlogits (N, V); of the sum if the reduction is "none"
    evaluate(batches)               list of Batch -> mean nats per counted token over all batches
    accumulate(batches)             list of Batch -> that mean's gradients, one (N, V) per batch
    perplexity(nlls, counts)        summed nats (n) and number of tokens (n) of each piece of a text -> perplexity
    bits_per_byte(nll, n_bytes)     summed nats and bytes of a text -> bits per byte
    score(model, tokens, context_length=, stride=, batch_size=)
                                    (summed nats, number) of tokens[1:] under model(ids (B, T)) -> logits (B, T, V)
    trajectory(seed, steps, evaluate_after)
                                    losses (steps) of a training run that evaluates after these steps (a tuple)

    `mask` says how loss and gradient leave rows out: "ignore_index" (a keyword; the targets of those rows are that
    index), "mask" (a keyword: (N) of bool, True is counted), or None if they cannot.  Where no logit of a row is
    finite, the loss raises an error, or is NaN if `impossible_row` says so.  `rtol` widens the tolerances for a loss
    that computes in less than float64: 1e-5 for float32.
    """

    area: ClassVar[Area] = "loss"
    name: str
    loss: Callable[..., Any] | None = None
    gradient: Callable[..., Array] | None = None
    evaluate: Callable[[list[Batch]], float] | None = None
    accumulate: Callable[[list[Batch]], list[Array]] | None = None
    perplexity: Callable[[Array, Array], float] | None = None
    bits_per_byte: Callable[[float, int], float] | None = None
    score: Callable[..., tuple[float, int]] | None = None
    trajectory: Callable[[int, int, tuple[int, ...]], Array] | None = None
    reduction: Literal["mean", "sum", "none"] = "mean"
    mask: Literal["ignore_index", "mask"] | None = None
    impossible_row: Literal["error", "nan"] = "error"
    rtol: float = 1e-12

    @property
    def capabilities(self) -> frozenset[str]:
        """The names of the given functions, and "mask"."""
        there = {field.name for field in fields(self) if callable(getattr(self, field.name))}
        return frozenset(there | ({"mask"} if self.mask else set()))

    @property
    def first_calls(self) -> list[FirstCall]:
        """Each function on two rows of three logits."""
        batch = (LOGITS, TARGETS, np.ones(2, bool))
        tokens, sizes = np.array([0, 1, 2, 1, 0]), {"context_length": 2, "stride": 2, "batch_size": 1}
        return [
            *call_text(self.loss, "loss", "(logits (N, V), targets (N) of int)", LOGITS, TARGETS),
            *call_text(self.gradient, "gradient", "(logits (N, V), targets (N) of int) -> (N, V)", LOGITS, TARGETS),
            *call_text(self.evaluate, "evaluate", "(batches), each (logits, targets, counted)", [batch]),
            *call_text(self.accumulate, "accumulate", "(batches), each (logits, targets, counted)", [batch]),
            *call_text(self.perplexity, "perplexity", "(nlls (n), counts (n))", np.array([2.0]), np.array([1])),
            *call_text(self.bits_per_byte, "bits_per_byte", "(nll, n_bytes)", 2.0, 3),
            *call_text(self.score, "score", _SCORE, lambda ids: np.zeros((*ids.shape, 3)), tokens, **sizes),
        ]

    @property
    def policies(self) -> Mapping[str, object]:
        """The declared choices where several are right."""
        return {"reduction": self.reduction, "mask": self.mask, "impossible_row": self.impossible_row}

    def loss_of(self, logits: Array, targets: Array, counted: Array, index: int = _NO_TARGET) -> Array:
        """The loss of the counted rows: () or (N) of float64."""
        return np.asarray(self.call(self.loss, logits, targets, counted, index), np.float64)

    def gradient_of(self, logits: Array, targets: Array, counted: Array, index: int = _NO_TARGET) -> Array:
        """The gradient (N, V) of the counted rows."""
        return np.asarray(self.call(self.gradient, logits, targets, counted, index))

    def tolerance(self, law: float, *logits: Array) -> float:
        """The law's tolerance, or the object's if that is wider, which grows with the size of the logits."""
        if self.rtol <= law:
            return law
        sizes = [float(np.abs(x[np.isfinite(x)]).max(initial=1)) for x in logits]
        return self.rtol * max(1.0, *sizes) if sizes else self.rtol

    def call(self, function: Any, logits: Array, targets: Array, counted: Array, index: int) -> Any:
        """Calls the function, with the counted rows given in the object's way."""
        if counted.all():
            return function(logits, targets)
        if self.mask == "mask":
            return function(logits, targets, mask=counted)
        return function(logits, np.where(counted, targets, index), ignore_index=index)
