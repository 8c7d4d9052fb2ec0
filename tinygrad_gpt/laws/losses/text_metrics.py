"""The laws of what is computed from losses: means over a text, perplexity, evaluation."""

import math

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array, Case, LawBroken, cases, law
from tinygrad_gpt.laws.losses.cases import (
    batches_of_a_text,
    expected_gradient,
    nll_by_row,
    require_close,
    softmax,
)
from tinygrad_gpt.laws.losses.under_test import Batch, LossUnderTest
from tinygrad_gpt.laws.statistics import ALPHA
from tinygrad_gpt.laws.strategies import normal, seeds


def _sum_and_count(batches: list[Batch]) -> tuple[float, int]:
    """The sum of nll over counted rows, and their number."""
    values = [value for x, targets, counted in batches for value in nll_by_row(x, targets)[counted]]
    return math.fsum(values), len(values)


@law(
    "L07",
    "sums and counts",
    area="loss",
    case=lambda sut: cases(batches=batches_of_a_text(sut), cuts=st.lists(st.integers(0, 20), max_size=4)),
    needs=("evaluate",),
    mutants=("mean-of-means", "float32-sum"),
    cites=(
        "huggingface/transformers#34138",
        "keras-team/keras-hub#2958",
        "ml-explore/mlx-lm#1855",
        "macournoyer/neuralconvo#67",
        "apache/mxnet#5905",
    ),
)
def sums_and_counts(sut: LossUnderTest, batches: list[Batch], cuts: list[int]) -> None:
    """The loss of a text is its summed nll divided by its number of counted tokens, for any division into batches
    (1e-12).
    """
    assert sut.evaluate is not None
    total, tokens = _sum_and_count(batches)
    tolerance = sut.tolerance(1e-12, *(x for x, _, _ in batches))
    why = f"{total:.6g} nats / {tokens} counted tokens"
    ways = {"": batches, ", cut elsewhere": _recut_batches(batches, cuts), ", last batch first": batches[::-1]}
    for way, same in ways.items():
        sizes = " + ".join(str(int(counted.sum())) for _, _, counted in same)
        what = f"the loss of the text{way} (batches of {sizes} tokens)"
        require_close(what, sut.evaluate(same), total / tokens, tolerance, why)


def _recut_batches(batches: list[Batch], cuts: list[int]) -> list[Batch]:
    """The same rows in other batches."""
    x, targets, counted = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    places = sorted({cut for cut in cuts if 0 < cut < len(x)})
    return list(zip(np.split(x, places), np.split(targets, places), np.split(counted, places), strict=True))


@law(
    "L08",
    "micro-batches are the batch",
    area="loss",
    case=lambda sut: cases(batches=batches_of_a_text(sut)),
    needs=("accumulate",),
    mutants=("mean-per-micro-batch", "counts-as-it-goes"),
    cites=(
        "huggingface/transformers#34191",
        "huggingface/transformers#35203",
        "huggingface/transformers#37197",
        "huggingface/trl#2175",
    ),
)
def micro_batches(sut: LossUnderTest, batches: list[Batch]) -> None:
    """Gradients accumulated over micro-batches of different sizes and masks equal those of one mean over all counted
    tokens.
    """
    assert sut.accumulate is not None
    total = sum(int(counted.sum()) for _, _, counted in batches)
    for got, (x, targets, counted) in zip(sut.accumulate(batches), batches, strict=True):
        want, why = expected_gradient(x, targets, counted, total), f"{total} tokens count in all micro-batches"
        require_close("a micro-batch's gradient", got, want, sut.tolerance(1e-12, x), why)


@st.composite
def _token_counts_and_nll(draw: st.DrawFn, sut: LossUnderTest) -> Case:
    """A text in pieces: the number of tokens of each, and their summed nll, at 0 to 30 nats per token."""
    counts = draw(st.lists(st.integers(1, 1000), min_size=1, max_size=5))
    means = draw(st.lists(st.floats(0, 30), min_size=len(counts), max_size=len(counts)))
    return {"nlls": np.array(counts) * np.array(means), "counts": np.array(counts)}


@law(
    "L09",
    "perplexity is exp of the mean",
    area="loss",
    case=_token_counts_and_nll,
    needs=("perplexity",),
    mutants=("mean-of-exponentials", "exp-of-mean-of-means"),
    cites=("magenta/magenta#239",),
)
def exp_of_the_mean(sut: LossUnderTest, nlls: Array, counts: Array) -> None:
    """Perplexity is exp(summed nll / tokens), not a mean of exponentials and not exp of a mean of means."""
    assert sut.perplexity is not None
    total, tokens = math.fsum(nlls), int(counts.sum())
    want, got = math.exp(total / tokens), float(sut.perplexity(nlls, counts))
    if (
        not abs(got - want) <= sut.tolerance(1e-12, nlls / counts) * want
    ):  # exp turns the mean's absolute error into a relative one
        raise LawBroken(f"{got}, off by {abs(got - want):.3g}", f"{want}: exp({total:.6g} nats / {tokens} tokens)")


@law(
    "L10",
    "a hopeless model has perplexity inf",
    area="loss",
    case=lambda sut: cases(mean=st.floats(709.79, 1e300) | st.just(math.inf), count=st.integers(1, 1000)),
    needs=("perplexity",),
    mutants=("perplexity-overflows",),
)
def _require_inf_perplexity(sut: LossUnderTest, mean: float, count: int) -> None:
    """A mean loss above 709.78 nats gives a perplexity of inf without an exception; at 709 nats the perplexity is
    finite (at 88 nats for a loss that computes in float32).
    """
    assert sut.perplexity is not None
    got = sut.perplexity(np.array([mean * count]), np.array([count]))
    if got != math.inf:
        raise LawBroken(f"{got}", "inf")
    highest = 709.0 if sut.rtol <= 1e-9 else 88.0
    if not sut.perplexity(np.array([highest]), np.array([1])) < math.inf:
        raise LawBroken(f"inf at {highest:g} nats", f"e^{highest:g}, which is finite")


@st.composite
def _scored_texts(draw: st.DrawFn, sut: LossUnderTest) -> Case:
    """Tokens of a vocabulary of 4, a context length, a stride up to it, a batch size, and a model's seed."""
    length = draw(st.integers(1, 5))
    tokens = draw(st.lists(st.integers(0, 3), min_size=2, max_size=16))
    stride, batch_size = draw(st.integers(1, length)), draw(st.integers(1, 3))
    return {
        "tokens": np.array(tokens),
        "context_length": length,
        "stride": stride,
        "batch_size": batch_size,
        "model_seed": draw(seeds()),
    }


@law(
    "L11",
    "every token once",
    area="loss",
    case=_scored_texts,
    needs=("score",),
    mutants=("overlap-counted-twice", "window-starts-lost", "sees-its-target"),
)
def every_token_once(
    sut: LossUnderTest, tokens: Array, context_length: int, stride: int, batch_size: int, model_seed: int
) -> None:
    """A sliding window over N tokens scores each token but the first exactly once, for any stride and batch size
    (1e-9).
    """
    # A model that depends on the last token only: its scores do not depend on the window.
    table = normal(model_seed, (4, 4))
    longest = 0

    def bigram(ids: Array) -> Array:
        nonlocal longest
        longest = max(longest, ids.shape[1])
        return table[ids]

    assert sut.score is not None
    total, number = sut.score(bigram, tokens, context_length=context_length, stride=stride, batch_size=batch_size)
    if number != len(tokens) - 1:
        raise LawBroken(f"{number} tokens scored of {len(tokens)}", f"{len(tokens) - 1}")
    require_close("the summed nll", total, math.fsum(nll_by_row(table[tokens[:-1]], tokens[1:])), sut.tolerance(1e-9))
    if longest > context_length:
        raise LawBroken(f"the model was given {longest} tokens", f"at most context_length {context_length}")


@law(
    "L13",
    "bits per byte",
    area="loss",
    case=lambda sut: cases(nll=st.floats(0, 1e6), n_bytes=st.integers(1, 10**6)),
    needs=("bits_per_byte",),
    mutants=("nats-per-byte",),
)
def bits_per_byte(sut: LossUnderTest, nll: float, n_bytes: int) -> None:
    """Bits per byte are the summed nll divided by (log 2 times the text's bytes), within 1e-12."""
    assert sut.bits_per_byte is not None
    require_close("bits per byte", sut.bits_per_byte(nll, n_bytes), nll / (math.log(2) * n_bytes), sut.tolerance(1e-12))


@st.composite
def _evaluated_runs(draw: st.DrawFn, sut: LossUnderTest) -> Case:
    """A seed, a number of steps, and after which of them to evaluate: at least one step follows."""
    steps = draw(st.integers(2, 4))
    after = draw(st.sets(st.integers(1, steps - 1), min_size=1))
    return {"seed": draw(seeds()), "steps": steps, "evaluate_after": after}


@law(
    "L14",
    "evaluation does not change training",
    area="loss",
    case=_evaluated_runs,
    needs=("trajectory",),
    mutants=("evaluation-draws-masks",),
    examples=10,
)
def disturbs_nothing(sut: LossUnderTest, seed: int, steps: int, evaluate_after: set[int]) -> None:
    """Evaluating after any steps does not change one bit of the losses of a training run."""
    assert sut.trajectory is not None
    plain = np.asarray(sut.trajectory(seed, steps, ()))
    evaluated = np.asarray(sut.trajectory(seed, steps, tuple(sorted(evaluate_after))))
    if plain.tobytes() != evaluated.tobytes():
        raise LawBroken(f"{evaluated}", f"{plain}, as without evaluation")


MARKOV_TOKENS = 4000


@law(
    "L15",
    "the loss on a known source is its entropy",
    area="loss",
    case=lambda sut: cases(seed=seeds()),
    level="statistical",
    needs=("score",),
    mutants=("sees-its-target",),
    examples=1,
)
def known_source(sut: LossUnderTest, seed: int) -> None:
    """The loss of a Markov chain on its own tokens is the chain's entropy at the visited states, within a distance that
    4,000 bounded steps exceed once in 10^9 runs (Azuma's inequality).
    """
    forward = np.roll(np.eye(3), 1, axis=1)  # from each state mostly to the next: the last token matters
    logp = np.log(softmax(2 * forward + normal(seed, (3, 3)) / 2))
    states = _markov_chain(np.exp(logp), seed, MARKOV_TOKENS)
    assert sut.score is not None
    total, _ = sut.score(lambda ids: logp[ids], states, context_length=16, stride=8, batch_size=8)
    entropy = -(np.exp(logp) * logp).sum(-1)[states[:-1]].sum()
    spread = float(logp.max() - logp.min())
    slack = spread * math.sqrt(len(states) / 2 * math.log(2 / ALPHA))
    if not abs(total - entropy) <= slack:
        seen = (slack + spread * math.sqrt(len(states) / 2 * math.log(100))) / len(states)  # Azuma once more
        raise LawBroken(
            f"{total:.1f} nats, off by {abs(total - entropy):.1f}",
            f"{entropy:.1f} ± {slack:.1f} nats; {len(states)} tokens show a score that is off by more than "
            f"{seen:.2f} nats per token in 99 of 100 runs",
        )


def _markov_chain(p: Array, seed: int, n: int) -> Array:
    """n tokens, each drawn from row (token before it) of p (V, V); the first is 0."""
    cdf = np.cumsum(p, axis=-1)[:, :-1]  # without the last, which rounding may leave below 1
    tokens = np.zeros(n, np.int64)
    for i, u in enumerate(np.random.Generator(np.random.Philox(key=seed)).random(n - 1), start=1):
        tokens[i] = (cdf[tokens[i - 1]] <= u).sum()
    return tokens


TEXT_LAWS = (
    sums_and_counts,
    micro_batches,
    exp_of_the_mean,
    _require_inf_perplexity,
    every_token_once,
    bits_per_byte,
    disturbs_nothing,
    known_source,
)
