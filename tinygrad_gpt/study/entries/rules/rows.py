"""Ops on rows, whose entries reach the loss by several ways: softmax by two, layer norm by three."""

from collections.abc import Callable

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.call_sums import Rules
from tinygrad_gpt.study.entries.entry import Computation


class _Rows:
    """The axis of a softmax, and the indices of an entry c, of another entry k in its row, and of the row itself."""

    def __init__(self, call: Computation) -> None:
        (self.x,) = call.inputs
        self.axis = call.settings.get("axis", -1) % call.y.ndim
        self.wide = {"n": self.axis, "m": call.y.ndim - self.axis - 1}
        after = ["m"] * (self.wide["m"] > 0)
        self.at, self.at_other = (",".join(["n", letter, *after]) for letter in "ck")
        self.row = ",".join(["n", *after])
        self.sizes = {"k": call.y.shape[self.axis]}
        self.call = call

    def values(self) -> Array:
        return self.call.array(self.x)

    def highest(self) -> Array:
        """The largest entry of each row, which is subtracted so that nothing overflows."""
        return np.asarray(self.values().max(axis=self.axis))

    def powers(self) -> Array:
        """e^(x - max)."""
        return np.asarray(np.exp(self.values() - np.expand_dims(self.highest(), self.axis)))

    def totals(self) -> Array:
        """The sum of a row's powers."""
        return np.asarray(self.powers().sum(axis=self.axis))

    def inside(self) -> dict[str, Callable[[], Array]]:
        """The arrays that both ops read."""
        return {
            "max": self.highest,
            "best": lambda: self.values().argmax(axis=self.axis),
            "Z": self.totals,
            "1/Z": lambda: 1 / self.totals(),
            "ln(Z)": lambda: np.log(self.totals()),
            f"e^({self.x}-max)": self.powers,
        }


def softmax(call: Computation) -> Rules:
    """y = e^x / Σ e^x; dx = y dy - y Σ y dy."""
    r = _Rows(call)
    text = f"""
        y[{r.at}] = e^({r.x}[{r.at}]-max) 1/Z[{r.row}]
        Z[{r.row}] = Σ e^({r.x}[{r.at}]-max)
        max[{r.row}] = Σ {r.x}[{r.at}] where best[{r.row}] = c
        d{r.x}[{r.at}] = y[{r.at}] dy[{r.at}]                          # directly
                       - Σ y[{r.at}] y[{r.at_other}] dy[{r.at_other}]  # through the sum
    """
    return Rules(text, r.wide, r.sizes, inside=r.inside())


def log_softmax(call: Computation) -> Rules:
    """y = x - ln Σ e^x; dx = dy - p Σ dy with p = e^y."""
    r = _Rows(call)
    text = f"""
        y[{r.at}] = {r.x}[{r.at}]
                  - max[{r.row}]                         # the row's largest entry
                  - ln(Z[{r.row}])                       # the logarithm of its sum
        Z[{r.row}] = Σ e^({r.x}[{r.at}]-max)
        max[{r.row}] = Σ {r.x}[{r.at}] where best[{r.row}] = c
        d{r.x}[{r.at}] = dy[{r.at}]                      # directly
                       - Σ e^y[{r.at}] dy[{r.at_other}]  # through the sum
    """

    def probabilities() -> Array:
        return np.asarray(r.powers() / np.expand_dims(r.totals(), r.axis))

    return Rules(text, r.wide, r.sizes, inside={**r.inside(), "e^y": probabilities})


def layer_norm(call: Computation) -> Rules:
    """y = gain x̂ + bias with x̂ = (x - mean) r; dx = r (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)) with dx̂ = gain dy."""
    x, gain, bias = call.inputs
    share = f"1/{call.shape(x)[-1]}"
    text = f"""
        y[n,c] = {gain}[c] x̂[n,c]
               + {bias}[c]                                              # the bias
        x̂[n,c] = {x}[n,c] r[n]
                - mean[n] r[n]                                          # the mean
        mean[n] = Σ {x}[n,c] {{{share}}}
        var[n] = Σ ({x}[n,c]-mean)² {{{share}}}
        r[n] = 1/√(var[n]+eps)
        d{x}[n,c] = r[n] {gain}[c] dy[n,c]                              # directly
                  - Σ r[n] {gain}[k] dy[n,k] {{{share}}}                # through the mean
                  - Σ r[n] x̂[n,c] x̂[n,k] {gain}[k] dy[n,k] {{{share}}}  # through the variance
        d{gain}[c] = Σ dy[n,c] x̂[n,c]
        d{bias}[c] = Σ dy[n,c]
    """

    def mean() -> Array:
        return np.asarray(call.array(x).mean(-1))

    def centred() -> Array:
        found: Array = call.array(x) - mean()[..., None]
        return found

    def var() -> Array:
        return np.asarray((centred() ** 2).mean(-1))

    def reciprocal_std() -> Array:
        return np.asarray(1 / np.sqrt(var() + call.settings.get("eps", 1e-5)))

    inside = {
        "x̂": lambda: centred() * reciprocal_std()[..., None],
        "mean": mean,
        f"({x}-mean)²": lambda: centred() ** 2,
        "var": var,
        "r": reciprocal_std,
        "1/√(var+eps)": reciprocal_std,
    }
    return Rules(text, {"n": call.y.ndim - 1}, sizes={"k": call.shape(x)[-1]}, inside=inside)
