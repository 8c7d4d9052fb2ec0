"""A language model under test: ids in, logits out, gradients by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from tinygrad_gpt.laws.law import Area, Array

Model = Any
Weights = dict[str, Array]  # parameters, or their gradients, by name
Golden = tuple[Weights, Array, Array]  # weights, ids (B, T), and their known logits (B, T, V)


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelUnderTest:
    """A causal model, made small for the laws.  Arrays are NumPy's.

    build(seed)                         a fresh model with random weights
    logits(model, ids)                  ids (B, T) of int -> (B, T, V)
    gradients(model, ids, targets)      mean loss in nats, and its gradients; needed by the laws on learning
    parameters(model)                   copies of the weights, each once
    load(model, weights)                set all weights
    embedding_gradient(model, ids, dlogits)
                                        the gradient of sum(dlogits * logits) with respect to the embedded tokens:
                                        (B, T, C), one row per token
    stepwise(model, ids)                the same logits, computed token by token with a cache
    logit_variance                      of the untrained model's logits, by derivation: 0.02² emb_dim for GPT-2
    untied, tied                        the same model with a separate head, and the names (embedding, head) in it
    golden                              weights, and their logits in another implementation or a publication
    """

    area: ClassVar[Area] = "model"

    name: str
    vocab_size: int
    context_length: int
    build: Callable[[int], Model]
    logits: Callable[[Model, Array], Array]
    gradients: Callable[[Model, Array, Array], tuple[float, Weights]] | None = None
    parameters: Callable[[Model], Weights] | None = None
    load: Callable[[Model, Weights], None] | None = None
    embedding_gradient: Callable[[Model, Array, Array], Array] | None = None
    stepwise: Callable[[Model, Array], Array] | None = None
    logit_variance: float | None = None
    untied: "ModelUnderTest | None" = None
    tied: tuple[str, str] = ("wte.weight", "lm_head.weight")
    golden: Callable[[], Golden] | None = None
    rtol: float = 1e-6

    @property
    def capabilities(self) -> frozenset[str]:
        """The optional parts that are there."""
        there = {
            "gradients": self.gradients is not None,
            "weights": self.parameters is not None and self.load is not None,
            "embedding_gradient": self.embedding_gradient is not None,
            "stepwise": self.stepwise is not None,
            "logit_variance": self.logit_variance is not None,
            "tied": self.untied is not None,
            "golden": self.golden is not None,
        }
        return frozenset(name for name, is_there in there.items() if is_there)

    @property
    def policies(self) -> dict[str, object]:
        """The declared choices where several are right."""
        return {"vocab_size": self.vocab_size, "context_length": self.context_length, "tied": self.untied is not None}
