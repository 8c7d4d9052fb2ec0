"""Our cross-entropy, means, perplexity and evaluation under the laws of losses."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from tinygrad_gpt import laws, ops
from tinygrad_gpt.nn import GPT, GPTConfig, cross_entropy
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.tape import Tensor, backward
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import Evaluation, evaluate, perplexity, train


def loss_with(reduction):
    def loss(logits, targets, **settings):
        return cross_entropy(Tensor(logits), targets, reduction=reduction, **settings).item()

    return loss


def gradient_with(reduction):
    def gradient(logits, targets, **settings):
        x = Tensor(logits, requires_grad=True)
        return backward(cross_entropy(x, targets, reduction=reduction, **settings))[x]

    return gradient


def evaluation(batches):
    """As `evaluate` does it: sums and counts."""
    nll = tokens = 0
    for logits, targets, counted in batches:
        targets = np.where(counted, targets, -1)
        nll += cross_entropy(Tensor(logits), targets, ignore_index=-1, reduction="sum").item()
        tokens += int(counted.sum())
    return Evaluation(nll, tokens)


def accumulated(batches):
    """As the training loop does it: sums, divided by a count known before the first part."""
    total = sum(int(counted.sum()) for _, _, counted in batches)
    gradients = []
    for logits, targets, counted in batches:
        x = Tensor(logits, requires_grad=True)
        loss = cross_entropy(x, np.where(counted, targets, -1), ignore_index=-1, reduction="sum") / total
        gradients.append(backward(loss)[x])
    return gradients


class Given:
    """A model whose logits are given: what `evaluate` needs of a GPT."""

    def __init__(self, logits, context_length):
        self.logits, self.config = logits, SimpleNamespace(context_length=context_length)

    def loss(self, ids, targets, **settings):
        return cross_entropy(Tensor(self.logits(ids)), targets, **settings)


def score(model, tokens, *, context_length, stride, batch_size):
    result = evaluate(Given(model, context_length), tokens, stride=stride, batch_size=batch_size)
    return result.nll, result.tokens


CONFIG = GPTConfig(vocab_size=5, context_length=4, emb_dim=4, n_heads=2, n_layers=1, drop_rate=0.5)
TOKENS = np.arange(40) * 7 % 5


def trajectory(seed, steps, evaluate_after):
    model = GPT(CONFIG, seed=seed)
    optimizer = AdamW(model.parameters(), lr=0.05)
    batches = Batches(TOKENS, context_length=4, batch_size=2, seed=seed)
    losses = []
    for report in train(model, optimizer, batches, steps=steps, seed=seed):
        losses.append(float(report.loss))
        if report.step in evaluate_after:
            evaluate(model, TOKENS, stride=2)
    return np.array(losses)


ours = {
    reduction: laws.LossUnderTest(
        name=f"cross_entropy-{reduction}",
        loss=loss_with(reduction),
        gradient=gradient_with(reduction),
        reduction=reduction,
        mask="ignore_index",
        impossible_row="nan",  # a look at every row would wait for the device; the training loop stops at NaN
    )
    for reduction in ("mean", "sum")
}
ours_over_texts = laws.LossUnderTest(
    name="evaluate",
    evaluate=lambda batches: evaluation(batches).loss,
    accumulate=accumulated,
    perplexity=lambda nlls, counts: Evaluation(float(nlls.sum()), int(counts.sum())).perplexity,
    bits_per_byte=lambda nll, n_bytes: Evaluation(nll, 1).bits_per_byte(n_bytes),
    score=score,
    trajectory=trajectory,
    mask="ignore_index",
)


@laws.parametrize_with_laws([*ours.values(), ours_over_texts])
def test_law(sut, law):
    law.check(sut)


def test_perplexity_ends_where_float64_does():
    assert perplexity(709.78) < math.inf
    assert perplexity(709.79) == math.inf
    assert perplexity(math.inf) == math.inf
    assert math.isnan(perplexity(math.nan))


def test_no_row_to_average_over_is_an_error_of_the_mean_alone():
    logits, targets = Tensor(np.zeros((2, 3))), np.array([-1, -1])
    with pytest.raises(ValueError, match="there is nothing to average"):
        cross_entropy(logits, targets, ignore_index=-1)
    assert cross_entropy(logits, targets, ignore_index=-1, reduction="sum").item() == 0


def test_ignored_rows_may_hold_anything_in_float32_too():
    x = np.array([[0.0, 0.0], [np.nan, 1.0], [-np.inf, -np.inf]], np.float32)
    targets = np.array([1, 7, 7])
    by_op, vjp = ops.cross_entropy(x, targets, ignore_index=7)
    logits = Tensor(x, requires_grad=True)
    loss = cross_entropy(logits, targets, ignore_index=7)
    for value, dx in [(by_op, vjp(np.array(1, np.float32))[0]), (loss.data, backward(loss)[logits])]:
        assert value.dtype == dx.dtype == np.float32
        assert float(value) == pytest.approx(math.log(2))
        assert dx.tolist() == [[0.5, -0.5], [0, 0], [0, 0]]
