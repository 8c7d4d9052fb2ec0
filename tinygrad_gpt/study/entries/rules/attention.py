"""Causal attention: sums by key (of y, of a query's gradient) and by query (of a key's or value's gradient).

S, P, A and their gradients dS, dP, dA (B, H, T, T) are the arrays of the op's derivation, and Z (B, H, T) is what a row
of P is divided by.  No other op sees them, so their own entries have sums here too.
"""

import math
from functools import cached_property

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.call_sums import Rules
from tinygrad_gpt.study.entries.entry import Computation


class _Inside:
    """The arrays S, Z, P, A, dA, dP and dS of one call, in float64."""

    def __init__(self, call: Computation, qkv: str, mask: str | None) -> None:
        values = call.array(qkv)
        B, T, width = values.shape
        heads = call.settings["n_heads"]
        self.call, self.mask = call, mask
        self.q, self.k, self.v = values.reshape(B, T, 3, heads, width // 3 // heads).transpose(2, 0, 3, 1, 4)
        self.past = np.tril(np.ones((T, T), bool))

    @cached_property
    def scores(self) -> Array:
        return np.where(self.past, self.q @ self.k.swapaxes(-1, -2) / math.sqrt(self.q.shape[-1]), -np.inf)

    @cached_property
    def powers(self) -> Array:
        """e^(S - max): the largest score of the row is subtracted, so that nothing overflows."""
        return np.exp(self.scores - self.scores.max(-1, keepdims=True)) if self.scores.size else self.scores

    @cached_property
    def totals(self) -> Array:
        return np.asarray(self.powers.sum(-1))

    @cached_property
    def probabilities(self) -> Array:
        found: Array = self.powers / self.totals[..., None]
        return found

    @cached_property
    def keep(self) -> Array:
        return np.ones_like(self.probabilities) if self.mask is None else self.call.array(self.mask)

    @cached_property
    def weights(self) -> Array:
        found: Array = self.probabilities * self.keep
        return found

    @cached_property
    def dweights(self) -> Array:
        dy = self.call.array("dy")
        by_head = dy.reshape(*dy.shape[:2], *self.v.shape[1::2])
        found: Array = by_head.swapaxes(1, 2) @ self.v.swapaxes(-1, -2)
        return found

    @cached_property
    def dprobabilities(self) -> Array:
        found: Array = self.dweights * self.keep
        return found

    @cached_property
    def dscores(self) -> Array:
        in_row = (self.dprobabilities * self.probabilities).sum(-1, keepdims=True)
        found: Array = self.probabilities * (self.dprobabilities - in_row)
        return found


def causal_attention(call: Computation) -> Rules:
    """S = Q Kᵀ/√D, P = softmax(S), A = P ∘ mask, O = A V."""
    qkv, *rest = call.inputs
    mask = next((name for name in rest if call.inputs[name] is not None), None)
    H = int(call.settings["n_heads"])  # sizes are written as JSON
    D = call.shape(qkv)[-1] // 3 // H
    scale, masked = f"{{1/√{D}}}", f" {mask}[b,h,t,j]" if mask else ""
    text = f"""
        y[b,t,(h d)] = Σ A[b,h,t,j] {qkv}[b,j,(2 h d)] where j <= t
        S[b,h,t,j] = Σ {qkv}[b,t,(0 h d)] {qkv}[b,j,(1 h d)] {scale} where j <= t
                   + {{-∞}} where j > t                                   # a key after the query
        P[b,h,t,j] = e^(S[b,h,t,j]-max) 1/Z[b,h,t] where j <= t
                   + {{0}} where j > t                                    # a key after the query
        Z[b,h,t] = Σ e^(S[b,h,t,k]-max) where k <= t
        max[b,h,t] = Σ S[b,h,t,k] where best[b,h,t] = k
        A[b,h,t,j] = P[b,h,t,j]{masked}
        dA[b,h,t,j] = Σ dy[b,t,(h d)] {qkv}[b,j,(2 h d)]
        dP[b,h,t,j] = dA[b,h,t,j]{masked}
        dS[b,h,t,j] = P[b,h,t,j] dP[b,h,t,j]                              # directly
                    - Σ P[b,h,t,j] P[b,h,t,k] dP[b,h,t,k] where k <= t    # through the row's sum
        d{qkv}[b,t,(0 h d)] = Σ dS[b,h,t,j] {qkv}[b,j,(1 h d)] {scale} where j <= t
        d{qkv}[b,j,(1 h d)] = Σ dS[b,h,t,j] {qkv}[b,t,(0 h d)] {scale} where j <= t
        d{qkv}[b,j,(2 h d)] = Σ A[b,h,t,j] dy[b,t,(h d)] where j <= t
    """
    a = _Inside(call, qkv, mask)
    inside = {
        "S": lambda: a.scores,
        "P": lambda: a.probabilities,
        "A": lambda: a.weights,
        "dA": lambda: a.dweights,
        "dP": lambda: a.dprobabilities,
        "dS": lambda: a.dscores,
        "e^(S-max)": lambda: a.powers,
        "Z": lambda: a.totals,
        "max": lambda: a.scores.max(-1),
        "best": lambda: a.scores.argmax(-1),
        "1/Z": lambda: 1 / a.totals,
    }
    return Rules(
        text,
        sizes={"h": H, "d": D, "k": call.y.shape[1]},
        inside=inside,
        numbers={f"1/√{D}": 1 / math.sqrt(D), "-∞": -math.inf},
    )
