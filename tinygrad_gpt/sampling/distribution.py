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
from tinygrad_gpt.sampling.selection import k_likeliest, kth_largest, prefix_size
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


def shape_distribution(x: Array, settings: RowSettings) -> Array:
    """`probabilities` of logits and settings that have been checked: (..., V) -> (..., V), both of float64."""
    ids, probs = kept_tokens(x, settings)
    if ids is None:
        return probs
    dense = np.zeros((len(ids), x.shape[-1]))
    row, place = np.nonzero(probs)
    dense[row, ids[row, place]] = probs[row, place]
    return dense.reshape(x.shape)


@np.errstate(over="ignore", under="ignore")  # a tiny T sends quotients to -inf and weights to 0, which is right
def kept_tokens(x: Array, settings: RowSettings) -> tuple[Array | None, Array]:
    """The distribution of x (..., V) on the tokens that top-k may leave: their ids and probabilities, both (rows, n).

    The ids of a row ascend; at its end there may be more, of probability 0.  Ids None means all of them: the
    probabilities are (..., V).
    """
    V = x.shape[-1]
    limited = None if settings.top_k is None else settings.top_k[..., 0] < V
    if limited is None or array_module(x) is not np or not limited.any():
        weights = _weights(x, settings)
        weights /= weights.sum(-1, keepdims=True)
        return None, weights
    if not limited.all():  # some rows have a limit
        probs = np.empty(x.shape)
        for rows in (limited, ~limited):
            probs[rows] = shape_distribution(x[rows], settings.of_rows(rows))
        return None, probs
    settings = settings.of_rows(limited)
    assert settings.top_k is not None
    ids, logits = k_likeliest(x.reshape(-1, V), int(settings.top_k.max()))
    weights = _weights(logits, settings)
    # From the first to the last, so that how many zeros a row has at its end (other rows decide that) changes nothing.
    return ids, weights / weights.cumsum(-1)[..., -1:]


def _weights(x: Array, settings: RowSettings) -> Array:
    """Numbers in proportion to the probabilities: the likeliest token has 1."""
    xp = array_module(x)
    T, k, p, m = (None if s is None else xp.asarray(s) for s in settings[:4])  # (..., 1)
    weights = _softmax_weights(x, T)
    if k is not None:
        weights *= _top_k_mask(x, k, settings.ties)
    if p is not None:
        weights *= _top_k_mask(x, _nucleus_size(weights, p), "exact")
    if m is not None:
        weights *= weights >= m  # the likeliest token weighs 1
    return weights


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
    xp = array_module(x)
    k = xp.minimum(k, x.shape[-1]).astype(xp.int64)
    kth = kth_largest(x, k)
    above, tied = x > kth, x == kth
    if ties == "all":
        return above | tied
    slots = k - above.sum(-1, keepdims=True)  # left for the tied tokens: the lowest ids get them
    if (slots == tied.sum(-1, keepdims=True)).all():
        return above | tied
    return above | (tied & (tied.cumsum(-1) <= slots))


def _nucleus_size(weights: Array, p: Array) -> Array:
    """The number of heaviest tokens whose share of the mass first reaches p: (..., 1) of int."""
    xp = array_module(weights)
    return prefix_size(weights, xp.where(p < 1, p * (1 - _TOP_P_SLACK), xp.inf))  # p = 1 keeps all
