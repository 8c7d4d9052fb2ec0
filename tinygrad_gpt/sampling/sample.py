"""From logits and a uniform number to a token: probabilities and draw in one call."""

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.sampling.checks import check_logits
from tinygrad_gpt.sampling.distribution import kept_tokens
from tinygrad_gpt.sampling.draw import draw
from tinygrad_gpt.sampling.settings import RowSettings, SamplerSettings


def sample(
    logits: Array,
    u: Array,
    *,
    temperature: float | Array = 1.0,
    top_k: int | Array | None = None,
    top_p: float | Array | None = None,
    min_p: float | Array | None = None,
    ties: str = "exact",
) -> Array:
    """The token that `draw(probabilities(logits, ...), u)` draws: logits (..., V), u (...) -> ids (...) of int64.

    With top-k it is faster, because it makes no probabilities for the tokens that are left out.
    Raises ValueError or TypeError as these two do.
    """
    x = check_logits(logits)
    settings = SamplerSettings(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, ties=ties)
    if np.shape(u) != x.shape[:-1]:
        raise ValueError(f"u must have one number per row of logits, shape {x.shape[:-1]}; got shape {np.shape(u)}")
    return draw_tokens(x, settings.per_row(x.shape[:-1]), u)


def draw_tokens(x: Array, settings: RowSettings, u: Array) -> Array:
    """`sample` of logits and settings that have been checked: (..., V), u (...) -> ids (...) of int64."""
    ids, probs = kept_tokens(x, settings)
    if ids is None:
        return draw(probs, u)
    place = draw(probs, np.reshape(u, -1))
    return ids[np.arange(len(ids)), place].reshape(x.shape[:-1])[()]  # a single row's id is a number, as draw's
