"""The distribution that the next token is drawn from.

    x -> top-k (ranks of the raw logits) -> temperature -> top-p and min-p (of what remains) -> normalise

Nothing here is random, and a row's probabilities do not depend on the other rows of the batch.

Temperature.  p is proportional to exp((x - max x) / T).  The maximum is subtracted first: with a tiny T, x / T can
              overflow, and inf - inf is nan.  T = 0 is greedy: all mass is on the likeliest token.  If several
              are equally likely, it is on the one with the lowest id.
Top-k.        The first min(k, V) tokens, ordered from the largest logit to the smallest; equal logits by id.
              ties="all" also keeps all tokens that are tied with the k-th.  Tokens are ranked by x, because dividing
              and exponentiating can make close logits equal.
Top-p.        The shortest prefix of that order whose mass reaches p.
Min-p.        The tokens at least m times as likely as the likeliest: x >= max x + T ln m.

None means no limit.  A setting is one number, or an array with one number per row.  All is computed in float64,
whatever the dtype of x.
-inf forbids a token; nan, inf and a row of only -inf are errors.

Source.  Fan et al. 2018, arXiv:1805.04833 (top-k); Holtzman et al. 2020, arXiv:1904.09751 (top-p); Nguyen et al. 2024,
         arXiv:2407.01082 (min-p).
Check.   Equal logits get equal probabilities, and those with the lowest ids stay:

    >>> import numpy as np
    >>> probabilities(np.zeros(5), top_k=4).tolist(), probabilities(np.zeros(5), top_p=0.4).tolist()
    ([0.25, 0.25, 0.25, 0.25, 0.0], [0.5, 0.5, 0.0, 0.0, 0.0])
"""

import numpy as np

from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.sampling.checks import check_logits
from tinygrad_gpt.sampling.settings import RowSettings, SamplerSettings

_TOP_P_SLACK = 2.0**-48  # relative, about 30 roundings: a mass that is less than this below p counts as p


def probabilities(
    logits: Array,
    *,
    temperature: float | Array = 1.0,
    top_k: int | Array | None = None,
    top_p: float | Array | None = None,
    min_p: float | Array | None = None,
    ties: str = "exact",
) -> Array:
    """The distribution that the next token is drawn from.  logits (..., V) -> probs (..., V) of float64.

    Raises ValueError or TypeError for bad logits (naming row and id) and bad settings, at T = 0 too.
    """
    x = check_logits(logits)
    settings = SamplerSettings(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, ties=ties)
    return shape_distribution(x, settings.per_row(x.shape[:-1]))


@np.errstate(over="ignore", under="ignore")  # a tiny T sends quotients to -inf and weights to 0, which is right
def shape_distribution(x: Array, settings: RowSettings) -> Array:
    """`probabilities` of logits and settings that have been checked: (..., V) -> (..., V), both of float64."""
    xp = array_module(x)
    T, k, p, m = (None if s is None else xp.asarray(s) for s in settings[:4])  # (..., 1)
    weights = _softmax_weights(x, T)
    if k is not None:
        weights *= _top_k_mask(x, k, settings.ties)
    if p is not None:
        weights *= _top_k_mask(x, _nucleus_size(weights, p), "exact")
    if m is not None:
        weights *= weights >= m  # the likeliest token weighs 1
    return weights / weights.sum(-1, keepdims=True)


def greedy(logits: Array) -> Array:
    """The likeliest token; of equally likely ones, the lowest id.  logits (..., V) -> ids (...) of int64."""
    return check_logits(logits).argmax(-1)


def _softmax_weights(x: Array, T: Array) -> Array:
    """exp((x - max x) / T), so the likeliest token weighs 1; where T is 0, all others weigh 0."""
    xp = array_module(x)
    is_greedy = x.argmax(-1)[..., None] == xp.arange(x.shape[-1])
    weights = xp.exp((x - x.max(-1, keepdims=True)) / xp.where(T == 0, 1, T))
    return xp.where(T == 0, is_greedy, weights)


def _top_k_mask(x: Array, k: Array, ties: str) -> Array:
    """True for the k likeliest tokens: (..., V) of bool.  k (..., 1) of int, at least 1."""
    xp, V = array_module(x), x.shape[-1]
    k = xp.minimum(k, V).astype(xp.int64)
    kth = xp.take_along_axis(xp.sort(x, axis=-1), V - k, axis=-1)  # (..., 1), the k-th largest
    above, tied = x > kth, x == kth
    if ties == "all":
        return above | tied
    slots = k - above.sum(-1, keepdims=True)  # left for the tied tokens: the lowest ids get them
    return above | (tied & (tied.cumsum(-1) <= slots))


def _nucleus_size(weights: Array, p: Array) -> Array:
    """The number of heaviest tokens whose share of the mass first reaches p: (..., 1) of int."""
    xp = array_module(weights)
    mass = xp.sort(weights, axis=-1)[..., ::-1].cumsum(-1)
    target_mass = xp.where(p < 1, p * (1 - _TOP_P_SLACK), xp.inf) * mass[..., -1:]  # p = 1 keeps all
    return (mass < target_mass).sum(-1, keepdims=True) + 1
