"""Laws on which tokens a logit may depend on, on the loss at the start, and on learning."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array, Case, LawBroken, cases, law
from tinygrad_gpt.laws.model.under_test import Model, ModelUnderTest, Weights
from tinygrad_gpt.laws.ops.assertions import require_close
from tinygrad_gpt.laws.strategies import arrays, normal, seeds

_PROJECTIONS = 8
_OVERFITTED = 0.05  # nats


@st.composite
def _texts(draw: st.DrawFn, sut: ModelUnderTest, min_rows: int = 1) -> Case:
    """ids (B, T) and the seed of a model."""
    shape = draw(st.tuples(st.integers(min_rows, 3), st.integers(2, sut.context_length)))
    return {"ids": draw(arrays(shape, st.integers(0, sut.vocab_size - 1), np.int64)), "seed": draw(seeds())}


def _text_and(sut: ModelUnderTest, min_rows: int = 1, **drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Case]:
    """Those cases, and what else a law draws."""
    return st.tuples(_texts(sut, min_rows), cases(**drawn)).map(lambda found: found[0] | found[1])


@law(
    "M1",
    "causality",
    area="model",
    case=lambda sut: _text_and(
        sut, at=st.integers(1, sut.context_length - 1), shift=st.integers(1, sut.vocab_size - 1)
    ),
    mutants=("peeks-ahead",),
)
def causality(sut: ModelUnderTest, ids: Array, seed: int, at: int, shift: int) -> None:
    """Changing the tokens from a position on does not change the logits before it."""
    at = min(at, ids.shape[1] - 1)
    model = sut.build(seed)
    changed = ids.copy()
    changed[:, at:] = (changed[:, at:] + shift) % sut.vocab_size
    before, after = sut.logits(model, ids), sut.logits(model, changed)
    require_close(f"the logits before position {at}", after[:, :at], before[:, :at], sut.rtol, scale=1e-3)


@law(
    "M11",
    "no gradient reaches later tokens",
    area="model",
    case=lambda sut: _text_and(sut, at=st.integers(1, sut.context_length - 1)),
    needs=("embedding_gradient",),
    mutants=("backward-peeks-ahead", "peeks-ahead"),
)
def no_gradient_from_the_past(sut: ModelUnderTest, ids: Array, seed: int, at: int) -> None:
    """The gradient of the logits before a position with respect to the embeddings from that position on is exactly 0;
    with respect to the embeddings before it, it is not 0.
    """
    assert sut.embedding_gradient is not None
    at = min(at, ids.shape[1] - 1)
    model = sut.build(seed)
    dlogits = normal(seed, (*ids.shape, sut.vocab_size))
    dlogits[:, at:] = 0
    grad = sut.embedding_gradient(model, ids, dlogits)
    if grad.shape[:2] != ids.shape:
        raise LawBroken(f"a gradient of shape {grad.shape}", f"({', '.join(map(str, ids.shape))}, C)")
    later = grad[:, at:]
    require_close(f"the gradient of the embeddings from position {at} on", later, np.zeros_like(later), 0.0)
    if not grad[:, :at].any(axis=-1).all():
        raise LawBroken("a gradient of 0 of an embedding that earlier logits depend on", "another number")


@law(
    "M2",
    "rows are independent",
    area="model",
    case=lambda sut: _texts(sut, min_rows=2),
    mutants=("rows-mixed",),
)
def rows_are_independent(sut: ModelUnderTest, ids: Array, seed: int) -> None:
    """A row has the same logits alone and in any batch."""
    model = sut.build(seed)
    together = sut.logits(model, ids)
    for row in range(len(ids)):
        alone = sut.logits(model, ids[row : row + 1])
        require_close(f"the logits of row {row} alone", alone[0], together[row], sut.rtol, scale=1e-3)


@law(
    "M3",
    "the order of the batch does not matter",
    area="model",
    case=lambda sut: _texts(sut, min_rows=2),
    mutants=("rows-are-numbered",),
)
def batch_order_does_not_matter(sut: ModelUnderTest, ids: Array, seed: int) -> None:
    """Permuting the rows permutes the logits."""
    model = sut.build(seed)
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(ids))
    got, want = sut.logits(model, ids[order]), sut.logits(model, ids)[order]
    require_close("the logits of the permuted batch", got, want, sut.rtol, scale=1e-3)


@law(
    "M4",
    "a cache changes nothing",
    area="model",
    case=_texts,
    needs=("stepwise",),
    mutants=("cache-restarts-positions",),
)
def cache_changes_nothing(sut: ModelUnderTest, ids: Array, seed: int) -> None:
    """Logits computed token by token with a cache equal those of the whole sequence."""
    assert sut.stepwise is not None
    model = sut.build(seed)
    require_close("the logits by steps", sut.stepwise(model, ids), sut.logits(model, ids), 10 * sut.rtol, scale=1e-3)


@law(
    "M5",
    "the loss at the start",
    area="model",
    case=lambda sut: cases(seed=seeds()),
    level="statistical",
    needs=("gradients", "logit_variance"),
    mutants=("initialised-too-large",),
    examples=5,
)
def loss_at_the_start(sut: ModelUnderTest, seed: int) -> None:
    """An untrained model's loss on n random targets is log V + σ²/2 ± (0.1 + 6.2 √(σ²/n)), where σ² is the variance
    that its logits should have.
    """
    assert sut.gradients is not None
    assert sut.logit_variance is not None
    shape = (16, sut.context_length)
    random = np.random.Generator(np.random.Philox(key=seed))
    ids, targets = (random.integers(0, sut.vocab_size, shape) for _ in range(2))
    loss, _ = sut.gradients(sut.build(seed), ids, targets)
    want = math.log(sut.vocab_size) + sut.logit_variance / 2
    # 6.2: the mean of so many targets' logits is nearly normal, and a normal variable is farther than 6.1 standard
    # deviations from its mean, to either side, once in 10^9
    tolerance = 0.1 + 6.2 * math.sqrt(sut.logit_variance / ids.size)
    if not abs(loss - want) <= tolerance:
        seen = tolerance + 2.4 * math.sqrt(sut.logit_variance / ids.size)  # 2.4: once in 100, to one side
        raise LawBroken(
            f"a first loss of {loss:.3f}, off by {abs(loss - want):.3f}",
            f"{want:.3f} ± {tolerance:.3f}; {ids.size} targets show a first loss that is off by more than {seen:.3f} "
            "in 99 of 100 runs",
        )


@law(
    "M6",
    "one batch can be memorised",
    area="model",
    case=lambda sut: cases(seed=st.integers(0, 3)),
    needs=("gradients", "weights"),
    mutants=("one-gradient-is-lost",),
    examples=1,
)
def one_batch_is_overfitted(sut: ModelUnderTest, seed: int) -> None:
    """300 steps of Adam on one batch bring its loss below 0.05 nats and change every parameter."""
    assert sut.gradients is not None
    assert sut.load is not None
    assert sut.parameters is not None
    model = sut.build(seed)
    random = np.random.Generator(np.random.Philox(key=seed))
    ids, targets = (random.integers(0, sut.vocab_size, (2, sut.context_length)) for _ in range(2))
    ids[:, 0] = [0, 1]  # no two positions have the same past, so every token can be predicted
    weights = start = sut.parameters(model)
    m = {name: np.zeros(w.shape) for name, w in weights.items()}
    v = dict(m)
    loss, step = math.inf, 0
    while loss >= _OVERFITTED and (step := step + 1) <= 300:
        loss, grads = sut.gradients(model, ids, targets)
        m = {name: 0.9 * m[name] + 0.1 * grads[name] for name in m}
        v = {name: 0.99 * v[name] + 0.01 * grads[name] ** 2 for name in v}
        weights = {name: (w - _adam_step(m[name], v[name], step)).astype(w.dtype) for name, w in weights.items()}
        sut.load(model, weights)
    if loss >= _OVERFITTED:
        raise LawBroken(f"a loss of {loss:.3f} after {step - 1} steps on one batch", f"below {_OVERFITTED}")
    if still := [name for name, w in weights.items() if np.array_equal(w, start[name])]:
        raise LawBroken(f"{', '.join(still)} did not move", "every parameter changes")


def _adam_step(m: Array, v: Array, step: int) -> Array:
    """One step of Adam with a learning rate of 0.02."""
    return 0.02 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)


@law(
    "M7",
    "a tied weight learns from both uses",
    area="model",
    case=lambda sut: _texts(sut),
    needs=("gradients", "weights", "tied"),
    mutants=("tied-gradient-of-one-use", "tied-weight-listed-twice"),
)
def tied_weights(sut: ModelUnderTest, ids: Array, seed: int) -> None:
    """The gradient of a tied weight is the sum of the gradients of embedding and head in the untied model. The weight
    is listed once.
    """
    assert sut.untied is not None
    assert sut.gradients is not None
    assert sut.parameters is not None
    assert sut.untied.gradients is not None
    assert sut.untied.load is not None
    embedding, head = sut.tied
    model, twin = sut.build(seed), sut.untied.build(seed)
    weights = sut.parameters(model)
    if head in weights:
        raise LawBroken(f"parameters {', '.join(weights)}", f"{embedding} listed once, no {head}")
    sut.untied.load(twin, weights | {head: weights[embedding]})
    targets = np.roll(ids, -1, axis=1)
    _, grads = sut.gradients(model, ids, targets)
    _, parts = sut.untied.gradients(twin, ids, targets)
    want = parts[embedding] + parts[head]
    scale = float(np.max(np.abs(want)))
    require_close(f"the gradient of {embedding}", grads[embedding], want, sut.rtol, scale=scale)


@law("M8", "a prefix has the prefix's logits", area="model", case=_texts, mutants=("positions-from-the-end",))
def prefixes(sut: ModelUnderTest, ids: Array, seed: int) -> None:
    """For every length, the logits of the first tokens of a text are the first logits of the text."""
    model = sut.build(seed)
    whole = sut.logits(model, ids)
    for length in range(1, ids.shape[1]):
        got = sut.logits(model, ids[:, :length])
        require_close(f"the logits of the first {length} tokens", got, whole[:, :length], sut.rtol, scale=1e-3)


@law(
    "M9",
    "gradients of the whole model",
    area="model",
    case=_texts,
    needs=("gradients", "weights"),
    mutants=("gradient-without-tanh",),
    examples=10,
)
def whole_gradient(sut: ModelUnderTest, ids: Array, seed: int) -> None:
    """In eight random directions v over all parameters, <gradient, v> is the slope of the loss (in float64)."""
    assert sut.gradients is not None
    assert sut.load is not None
    assert sut.parameters is not None
    model, targets = sut.build(seed), np.roll(ids, -1, axis=1)
    start = sut.parameters(model)
    here = {name: w + 0.2 * _random_like(w, seed + i) for i, (name, w) in enumerate(start.items())}
    sut.load(model, here)
    _, grads = sut.gradients(model, ids, targets)
    for turn in range(_PROJECTIONS):
        v = {name: _random_like(w, seed + 1000 * (turn + 1) + i) for i, (name, w) in enumerate(here.items())}
        h = 1e-6
        ahead, behind = (_loss_at(sut, model, here, v, step, ids, targets) for step in (h, -h))
        terms = [np.sum(grads[name] * v[name]) for name in here]
        scale = max(1e-3, *(float(abs(term)) for term in terms))
        require_close("<gradient, v>", np.sum(terms), np.asarray((ahead - behind) / (2 * h)), 1e-6, scale)


def _random_like(w: Array, seed: int) -> Array:
    """Gaussian numbers of w's shape."""
    return normal(seed % 2**64, w.shape)


def _loss_at(
    sut: ModelUnderTest, model: Model, here: Weights, v: Weights, step: float, ids: Array, targets: Array
) -> float:
    """The loss after a step along v."""
    assert sut.gradients is not None
    assert sut.load is not None
    sut.load(model, {name: w + step * v[name] for name, w in here.items()})
    return sut.gradients(model, ids, targets)[0]


@law(
    "M10",
    "published weights give published logits",
    area="model",
    case=lambda sut: cases(seed=st.just(0)),
    needs=("weights", "golden"),
    mutants=("another-activation",),
    examples=1,
)
def published_logits(sut: ModelUnderTest, seed: int) -> None:
    """Published weights and ids give the logits of another implementation, within 1e-4. (A model with another
    activation, for example, passes every other law.)
    """
    assert sut.golden is not None
    assert sut.load is not None
    weights, ids, want = sut.golden()
    model = sut.build(seed)
    sut.load(model, weights)
    require_close("the logits", sut.logits(model, ids), want, 1e-4)


MODEL_LAWS = (
    causality,
    rows_are_independent,
    batch_order_does_not_matter,
    cache_changes_nothing,
    loss_at_the_start,
    one_batch_is_overfitted,
    tied_weights,
    prefixes,
    whole_gradient,
    published_logits,
    no_gradient_from_the_past,
)
