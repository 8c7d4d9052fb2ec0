"""Our cross-entropy, means, perplexity and evaluation under the laws of losses."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.mutants.zoo import killers
from tests.mutants.zoo.losses import LOSS_MUTANTS, RIGHT_LOSS
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
        vocab_size = logits(np.zeros((1, 1), int)).shape[-1]
        self.logits, self.config = logits, SimpleNamespace(context_length=context_length, vocab_size=vocab_size)

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


def narrow(function):
    """A function of logits and targets, given float32."""
    return lambda logits, targets, **settings: function(logits.astype(np.float32), targets, **settings)


def narrow_batches(batches):
    return [(x.astype(np.float32), targets, counted) for x, targets, counted in batches]


single = {
    reduction: laws.LossUnderTest(
        name=f"float32-{reduction}",
        loss=narrow(loss_with(reduction)),
        gradient=narrow(gradient_with(reduction)),
        reduction=reduction,
        mask="ignore_index",
        impossible_row="nan",
        rtol=1e-5,
    )
    for reduction in ("mean", "sum")
}
single_over_texts = laws.LossUnderTest(
    name="float32-evaluate",
    evaluate=lambda batches: evaluation(narrow_batches(batches)).loss,
    accumulate=lambda batches: accumulated(narrow_batches(batches)),
    perplexity=lambda nlls, counts: np.exp(np.float32(nlls.sum()) / np.float32(counts.sum())),
    bits_per_byte=lambda nll, n_bytes: np.float32(nll) / np.float32(math.log(2)) / np.float32(n_bytes),
    score=lambda model, tokens, **sizes: score(lambda ids: model(ids).astype(np.float32), tokens, **sizes),
    mask="ignore_index",
    rtol=1e-5,
)


@laws.parametrize_with_laws([*single.values(), single_over_texts])
def test_law_in_float32(sut, law):
    law.check(sut)


@pytest.mark.parametrize("rtol", [1e-12, 1e-5])
@pytest.mark.parametrize(
    "name", ["label-smoothing", "tempered", "mask-missing-below", "mean-of-means", "gradient-of-the-sum"]
)
def test_a_wider_tolerance_still_finds_what_is_wrong(name, rtol):
    mutant = next(mutant for mutant in LOSS_MUTANTS if mutant.name == name)
    sut = replace(mutant.sut, rtol=rtol)
    assert all(laws.check(sut, profile="mutants", on_fail="report", only=[law.id]).bad for law in killers(mutant))


def test_a_loss_in_float32_does_not_pass_for_one_in_float64():
    sut = replace(single["mean"], rtol=1e-12)
    bad = {result.law.id for result in laws.check(sut, profile="mutants", on_fail="report").bad}
    assert {"L01", "L06"} <= bad


def broken(id, **case):
    sut = case.pop("sut")
    with pytest.raises(laws.LawBroken) as caught:
        laws.find(id).replay(sut, **case)
    return caught.value.observed, caught.value.expected


def test_a_finding_says_what_was_seen_and_wanted_and_by_how_much_it_is_off():
    x, first, all_of_one = np.array([[0.0, 80.0]]), np.array([0]), np.ones(1, bool)
    seen, wanted = broken(
        "L02",
        sut=mutated("clipped-logits"),
        **{"logits": x, "targets": first, "counted": all_of_one},
        **{"shifts": np.array([[-60.0]]), "classes": np.array([0, 1]), "rows": np.array([0])},
    )
    assert seen == "the loss of shifted logits = 70.0, off by 20"
    assert wanted == "50.0, to within 5.0e-11: as before the shift"
    level = np.zeros((1, 2)), first, all_of_one
    certain = np.tile([2000.0, 0.0], (3, 1)), np.zeros(3, int), np.ones(3, bool)
    seen, wanted = broken("L07", sut=mutated("mean-of-means"), batches=[level, certain], cuts=[])
    assert seen == "the loss of the text (batches of 1 + 3 tokens) = 0.34657359027997264, off by 0.173"
    assert wanted == "0.17328679513998632, to within 1.0e-12: 0.693147 nats / 4 counted tokens"
    seen, wanted = broken(
        "L12",
        sut=mutated("mask-missing-below"),
        **{"logits": np.zeros((2, 2)), "targets": np.zeros(2, int), "counted": np.array([True, False])},
        **{"garbage": np.full((2, 2), np.nan), "outside": -1},
    )
    assert seen == "the loss (other values in uncounted rows) = 0.34657359027997264, off by 0.347"
    assert wanted == "0.6931471805599453, to within 1.0e-12: the mean over counted rows with losses [0.69314718]"


def mutated(name):
    return next(mutant.sut for mutant in LOSS_MUTANTS if mutant.name == name)


def test_what_is_near_the_entropy_but_ignores_the_model_breaks_gibbs_inequality():
    always_the_entropy = replace(RIGHT_LOSS, name="entropy", loss=lambda x, targets, **mask: math.log(2))
    case = {"q": np.array([0.5, 0.5]), "x": np.array([3.0, 0.0])}
    seen, wanted = broken("L05", sut=always_the_entropy, **case)
    assert (seen, wanted) == ("0.6931471805599453", "at least the entropy 0.6931471805599453 and 0.409647")


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
