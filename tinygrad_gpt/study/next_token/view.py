"""One row of logits, the limits of the draw, and how spread out the distribution is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinygrad_gpt.backend import Array, to_host
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.sampling import SamplerSettings, probabilities
from tinygrad_gpt.sampling.chart import quote_visibly
from tinygrad_gpt.tape import no_grad
from tinygrad_gpt.text import Tokenizer

MAX_LABEL_COLUMNS = 20


@dataclass(frozen=True)
class NextToken:
    """One row of logits (V,), the text that it continues, and a label for each token."""

    text: str
    logits: Array
    label: Callable[[int], str]

    def likeliest(self, n: int) -> list[int]:
        """The n likeliest tokens, tied ones by id; the same at every temperature above 0."""
        return [int(token) for token in np.argsort(-self.logits, kind="stable")[:n]]


def next_token(model: GPT, tokenizer: Tokenizer, text: str) -> NextToken:
    """What the model expects after a text; of a text longer than its context, it sees the last tokens.

    Raises ValueError for a text without a token, or logits that are not finite.
    """
    ids = tokenizer.encode(text)[-model.config.context_length :]
    if not len(ids):
        raise ValueError("text must hold at least one token: the model continues it")
    with no_grad():
        logits = to_host(model(ids[None]).data)[0, -1]
    probabilities(logits)  # raises if nothing can be drawn from them
    return NextToken(text, logits, lambda token: quote_visibly(tokenizer.label(token)))


def limits_text(cut: SamplerSettings) -> str:
    """The limits in words.

    >>> limits_text(SamplerSettings(top_k=3, top_p=0.9)), limits_text(SamplerSettings())
    ('top-k 3, top-p 0.9', 'no limit')
    """
    return ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in cut.limits().items()) or "no limit"


def entropy(probs: Array) -> float:
    """-Σ p ln p of one distribution (V,), in nats.  Its exponential, the perplexity, counts equally likely tokens."""
    p = probs[probs > 0]
    return float(-(p * np.log(p)).sum()) + 0.0  # + 0: no -0 for a certain token
