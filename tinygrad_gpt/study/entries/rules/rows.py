"""Ops on rows, whose entries reach the loss by several ways: softmax by two, layer norm by three."""

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.call_sums import Rules
from tinygrad_gpt.study.entries.entry import Computation
from tinygrad_gpt.study.entries.rules.letters import axis_letters


def _letters(call: Computation) -> tuple[str, str, str]:
    """The indices of an entry, of another one in its row, and of what there is once for each row."""
    (x,) = call.inputs
    axis = call.settings.get("axis", -1) % len(call.shape(x))
    own = axis_letters(len(call.shape(x)))
    row, other = own.copy(), own.copy()
    other[axis], row[axis] = "m", "0"
    return ",".join(own), ",".join(other), ",".join(row)


def softmax(call: Computation) -> Rules:
    """y = e^x / Σ e^x; dx = y dy - y Σ y dy."""
    (x,) = call.inputs
    axis = call.settings.get("axis", -1)
    at, other, _ = _letters(call)
    text = f"""
        y[{at}] = e^{x}[{at}]/Σe^{x}
        d{x}[{at}] = y[{at}] dy[{at}]                          # directly
                   - Σ y[{at}] y[{other}] dy[{other}]          # through the sum
    """

    def probabilities() -> Array:
        values = call.array(x)
        weights = np.exp(values - values.max(axis=axis, keepdims=True))
        found: Array = weights / weights.sum(axis=axis, keepdims=True)
        return found

    return Rules(text, sizes={"m": call.y.shape[axis]}, inside={f"e^{x}/Σe^{x}": probabilities})


def log_softmax(call: Computation) -> Rules:
    """y = x - ln Σ e^x; dx = dy - p Σ dy with p = e^y."""
    (x,) = call.inputs
    axis = call.settings.get("axis", -1)
    at, other, row = _letters(call)
    text = f"""
        y[{at}] = {x}[{at}]
                - lse[{row}]                                  # ln Σ e^x along the row
        d{x}[{at}] = dy[{at}]                                 # directly
                   - Σ e^y[{at}] dy[{other}]                  # through the sum
    """

    def log_total() -> Array:
        values = call.array(x)
        highest = values.max(axis=axis, keepdims=True)
        found: Array = highest + np.log(np.exp(values - highest).sum(axis=axis, keepdims=True))
        return found

    inside = {"lse": log_total, "e^y": lambda: np.exp(call.array(x) - log_total())}
    return Rules(text, sizes={"m": call.y.shape[axis]}, inside=inside)


def layer_norm(call: Computation) -> Rules:
    """y = gain x̂ + bias with x̂ = (x - mean) r; dx = r (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)) with dx̂ = gain dy."""
    x, gain, bias = call.inputs
    share = f"1/{call.shape(x)[-1]}"
    text = f"""
        y[n,c] = {gain}[c] x̂[n,c]
               + {bias}[c]                                                       # the bias
        x̂[n,c] = {x}[n,c] r[n]
                - mean[n] r[n]                                                   # the mean
        mean[n] = Σ {{{share}}} {x}[n,c]
        var[n] = Σ {{{share}}} ({x}[n,c]-mean)²
        r[n] = 1/√(var[n]+eps)
        d{x}[n,c] = r[n] {gain}[c] dy[n,c]                                       # directly
                  - Σ r[n] {{{share}}} {gain}[k] dy[n,k]                         # through the mean
                  - Σ r[n] {{{share}}} x̂[n,c] x̂[n,k] {gain}[k] dy[n,k]         # through the variance
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
