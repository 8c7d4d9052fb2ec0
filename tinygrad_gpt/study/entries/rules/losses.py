"""The loss: a mean over rows; its gradient at a logit has two terms, the probability and -1 at the target."""

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.call_sums import Rules
from tinygrad_gpt.study.entries.entry import Computation


class _Rows:
    """Logits (..., V) in float64, the rows' targets (...), and what follows from them."""

    def __init__(self, call: Computation, logits: Callable[[], Array], targets: str) -> None:
        self.call, self.make = call, logits
        ignored = call.settings.get("ignore_index")
        given = call.array(targets)
        self.counts = np.ones(given.shape, bool) if ignored is None else given != ignored
        self.target = np.where(self.counts, given, -1)
        n = int(self.counts.sum())
        mean = call.settings.get("reduction", "mean") == "mean"
        self.weight = float(np.divide(1.0, n)) if mean else 1.0  # inf if no row counts
        self.label = f"1/{n}" if mean else None
        self.where = "" if ignored is None else " where target[n] >= 0"  # an ignored row has no terms

    @cached_property
    def logits(self) -> Array:
        return np.where(self.counts[..., None], self.make(), 0)  # an ignored row may have nan

    @cached_property
    def highest(self) -> Array:
        return np.asarray(self.logits.max(-1))

    @cached_property
    def powers(self) -> Array:
        """e^(logits - max): the row's largest logit is subtracted, so that nothing overflows."""
        return np.exp(self.logits - self.highest[..., None])

    @cached_property
    def totals(self) -> Array:
        return np.where(self.counts, self.powers.sum(-1), 0)

    @cached_property
    def p(self) -> Array:
        return np.where(self.counts[..., None], self.powers / self.totals[..., None], 0)

    @cached_property
    def nll(self) -> Array:
        chosen = np.take_along_axis(self.logits, np.where(self.counts, self.target, 0)[..., None], axis=-1)
        return np.where(self.counts, np.log(self.totals) + self.highest - chosen[..., 0], 0)

    @cached_property
    def dlogits(self) -> Array:
        at_target = np.arange(self.p.shape[-1]) == self.target[..., None]
        return np.where(self.counts[..., None], self.call.array("dy") * (self.p - at_target) * self.weight, 0)

    def rules(self, name: str, more: str = "", inside: Mapping[str, Callable[[], Array]] | None = None) -> Rules:
        """The sums of the loss and of the gradient of the logits, which have this name; and more."""
        weight = "" if self.label is None else f" {{{self.label}}}"
        text = f"""
            y = Σ nll[n]{weight}{self.where}
            nll[n] = ln(Z[n]){self.where}                     # the logarithm of the row's sum
                   + max[n]{self.where}                       # the row's largest logit
                   - {name}[n,target[n]]{self.where}          # minus the target's logit
            p[n,v] = e^({name}[n,v]-max) 1/Z[n]{self.where}
            Z[n] = Σ e^({name}[n,v]-max){self.where}
            max[n] = Σ {name}[n,v] where best[n] = v{self.where.replace(" where", ",")}
            d{name}[n,v] = dy p[n,v]{weight}{self.where}      # the probability
                         - dy{weight} where target[n] = v     # this is the target
            {more}
        """
        inside = {
            "target": lambda: self.target,
            "nll": lambda: self.nll,
            "max": lambda: self.highest,
            "best": lambda: self.logits.argmax(-1),
            "p": lambda: self.p,
            "Z": lambda: self.totals,
            "1/Z": lambda: 1 / self.totals,
            "ln(Z)": lambda: np.log(self.totals),
            f"e^({name}-max)": lambda: self.powers,
            **(inside or {}),
        }
        numbers = {} if self.label is None else {self.label: self.weight}
        return Rules(text, {"n": self.target.ndim}, inside=inside, numbers=numbers)


def cross_entropy(call: Computation) -> Rules:
    """loss = mean (or sum) of nll."""
    logits, targets = call.inputs
    return _Rows(call, lambda: call.array(logits), targets).rules(logits)


def linear_cross_entropy(call: Computation) -> Rules:
    """logits = x Wᵀ, then cross-entropy: dx = dlogits W, dW = dlogitsᵀ x."""
    x, weight, targets = call.inputs

    def logits() -> Array:
        found: Array = call.array(x) @ call.array(weight).T
        return found

    more = f"""
            logits[n,v] = Σ {x}[n,c] {weight}[v,c]
            d{x}[n,c] = Σ dlogits[n,v] {weight}[v,c]
            d{weight}[v,c] = Σ dlogits[n,v] {x}[n,c]
    """
    rows = _Rows(call, logits, targets)
    return rows.rules("logits", more, {"logits": logits, "dlogits": lambda: rows.dlogits})
