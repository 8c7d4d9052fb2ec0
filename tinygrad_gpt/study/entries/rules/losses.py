"""The loss: a mean over rows; its gradient at a logit has two terms, the probability and -1 at the target."""

from collections.abc import Callable

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.entry import Block, Column, Computation, Index, InnerRule, Rule, Rules
from tinygrad_gpt.study.entries.positions import (
    all_positions,
    column,
    inner,
    positions_along,
    positions_in_column,
    single_position,
)
from tinygrad_gpt.study.entries.rules.rows import DIRECTLY

_IGNORED = "0: the row is ignored"


class _Rows:
    """Logits (..., V) in float64, targets and weights (...) of the rows, and what follows from them."""

    def __init__(self, call: Computation, logits: Array, targets: Array) -> None:
        ignored = call.settings.get("ignore_index")
        self.counts = np.ones(targets.shape, bool) if ignored is None else targets != ignored
        self.targets = np.where(self.counts, targets, 0)
        self.logits = np.where(self.counts[..., None], logits, 0)
        mean = call.settings.get("reduction", "mean") == "mean"
        self.weight = float(np.divide(1.0, self.counts.sum())) if mean else 1.0  # inf if no row counts
        self.label = f"1/{int(self.counts.sum())} rows" if mean else "1"
        highest = self.logits.max(-1, keepdims=True)
        self.log_total = highest[..., 0] + np.log(np.exp(self.logits - highest).sum(-1))
        self.p = np.exp(self.logits - self.log_total[..., None])
        chosen = np.take_along_axis(self.logits, self.targets[..., None], axis=-1)[..., 0]
        self.nll = self.log_total - chosen


def _loss_rules(call: Computation, logits_name: str, rows: Callable[[], _Rows], shape: Index) -> dict[str, Rule]:
    """y, nll, p and the gradient of the logits, wherever these come from."""

    def y(index: Index) -> tuple[str, list[Block]]:
        found = rows()
        at = all_positions(found.nll.shape)[found.counts.reshape(-1)]
        return "Σ nll over the counted rows, times the weight", [
            Block((inner("nll", found.nll, at), Column(found.label, found.weight)))
        ]

    def nll(index: Index) -> tuple[str, list[Block]]:
        found = rows()
        if not found.counts[index]:
            return _IGNORED, []
        target = (*index, int(found.targets[index]))
        return "ln Σ e^x - x at the target", [
            Block((Column("ln Σ e^x", float(found.log_total[index])),)),
            Block((Column("-1", -1.0), inner(logits_name, found.logits, single_position(target)))),
        ]

    def p(index: Index) -> tuple[str, list[Block]]:
        found = rows()
        if not found.counts[index[:-1]]:
            return _IGNORED, []
        at = single_position(index)
        return "e^x / Σ e^x along the row", [Block((Column(logits_name, found.p[index], at, "e^{} / Σ e^x"),))]

    def dlogits(index: Index) -> tuple[str, list[Block]]:
        found = rows()
        if not found.counts[index[:-1]]:
            return _IGNORED, []
        dloss = column(call, "dy", single_position(()))
        weight = Column(found.label, found.weight)
        blocks = [Block((dloss, weight, inner("p", found.p, single_position(index))), DIRECTLY)]
        if found.targets[index[:-1]] == index[-1]:
            blocks.append(Block((Column("-1", -1.0), dloss, weight), "this is the target"))
        return "dy · weight · (p - [target])", blocks

    return {
        "y": y,
        "nll": InnerRule(nll, shape[:-1]),
        "p": InnerRule(p, shape),
        f"d{logits_name}": InnerRule(dlogits, shape),
    }


def cross_entropy(call: Computation) -> Rules:
    """loss = mean (or sum) of nll."""
    logits, targets = call.inputs

    def rows() -> _Rows:
        found: _Rows = call.once("rows", lambda: _Rows(call, call.array(logits), call.array(targets)))
        return found

    return _loss_rules(call, logits, rows, call.shape(logits))


def linear_cross_entropy(call: Computation) -> Rules:
    """logits = x Wᵀ, then cross-entropy: dx = dlogits W, dW = dlogitsᵀ x."""
    x, weight, targets = call.inputs
    shape = (*call.shape(x)[:-1], call.shape(weight)[0])

    def rows() -> _Rows:
        def make() -> _Rows:
            return _Rows(call, call.array(x) @ call.array(weight).T, call.array(targets))

        found: _Rows = call.once("rows", make)
        return found

    def all_dlogits() -> Array:
        def make() -> Array:
            found = rows()
            onehot = np.zeros_like(found.p)
            np.put_along_axis(onehot, found.targets[..., None], 1.0, axis=-1)
            return np.where(found.counts[..., None], (found.p - onehot) * found.weight * call.array("dy"), 0)

        found: Array = call.once("dlogits", make)
        return found

    def logits(index: Index) -> tuple[str, list[Block]]:
        v, width = index[-1], call.shape(weight)[1]
        at_x, at_w = positions_along((*index[:-1], 0), -1, width), positions_along((v, 0), 1, width)
        return f"Σ {x} {weight}", [Block((column(call, x, at_x), column(call, weight, at_w)))]

    def dx(index: Index) -> tuple[str, list[Block]]:
        n, c = call.shape(weight)[0], index[-1]
        at, at_w = positions_along((*index[:-1], 0), -1, n), positions_along((0, c), 0, n)
        return f"Σ dlogits {weight} over the vocabulary", [
            Block((inner("dlogits", all_dlogits(), at), column(call, weight, at_w)))
        ]

    def dweight(index: Index) -> tuple[str, list[Block]]:
        v, c = index
        at, at_x = positions_in_column(shape, v), positions_in_column(call.shape(x), c)
        return f"Σ dlogits {x} over the rows", [Block((inner("dlogits", all_dlogits(), at), column(call, x, at_x)))]

    return {
        **_loss_rules(call, "logits", rows, shape),
        "logits": InnerRule(logits, shape),
        f"d{x}": dx,
        f"d{weight}": dweight,
    }
