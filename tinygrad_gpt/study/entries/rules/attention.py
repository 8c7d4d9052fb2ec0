"""Causal attention: sums by key (of y, of a query's gradient) and by query (of a key's or value's gradient).

S, P, A and their gradients dS, dP, dA (B, H, T, T) are the arrays of the op's derivation.  No other op sees them, so
their own entries have rules here too.
"""

import math

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.entry import Block, Column, Computation, Index, InnerRule, Rules
from tinygrad_gpt.study.entries.positions import column, inner, single_position
from tinygrad_gpt.study.entries.rules.rows import DIRECTLY


class _Inside:
    """The arrays inside one call, in float64, and where a head's numbers stand in the packed ones."""

    def __init__(self, call: Computation) -> None:
        self.call = call
        names = list(call.inputs)
        self.qkv, self.mask = names[0], next((name for name in names[1:] if call.inputs[name] is not None), None)
        values = call.array(self.qkv)
        self.n_heads = call.settings["n_heads"]
        self.B, self.T, width = values.shape
        self.C, self.D = width // 3, width // 3 // self.n_heads
        parts = values.reshape(self.B, self.T, 3, self.n_heads, self.D).transpose(2, 0, 3, 1, 4)
        self.q, self.k, self.v = parts  # (B, H, T, D)
        past = np.tril(np.ones((self.T, self.T), bool))
        self.S = np.where(past, self.q @ self.k.swapaxes(-1, -2) / math.sqrt(self.D), -np.inf)
        weights = np.exp(self.S - self.S.max(-1, keepdims=True)) if self.T else self.S
        self.P = weights / weights.sum(-1, keepdims=True)
        self.keep = np.ones_like(self.P) if self.mask is None else call.array(self.mask)
        self.A = self.P * self.keep
        if call.dy is not None:
            do = call.array("dy").reshape(self.B, self.T, self.n_heads, self.D).swapaxes(1, 2)
            self.dA = do @ self.v.swapaxes(-1, -2)
            self.dP = self.dA * self.keep
            self.dS = self.P * (self.dP - (self.dP * self.P).sum(-1, keepdims=True))

    def head(self, c: int) -> tuple[int, int, int]:
        """(part, head, number of the head) of column c: part 0 are queries, 1 keys, 2 values."""
        return c // self.C, c % self.C // self.D, c % self.D

    def packed(self, part: int, b: int, h: int, t: Array, d: Array) -> Array:
        """Positions in qkv (part 0, 1, 2), or with part 0 in y and dy."""
        t, d = np.broadcast_arrays(t, d)
        return np.stack([np.full(t.shape, b), t, part * self.C + h * self.D + d], axis=-1).reshape(-1, 3)

    def square(self, b: int, h: int, i: Array | int, j: Array | int) -> Array:
        """Positions in a (B, H, T, T) array."""
        i, j = np.broadcast_arrays(i, j)
        return np.stack([np.full(i.shape, b), np.full(i.shape, h), i, j], axis=-1).reshape(-1, 4)


def causal_attention(call: Computation) -> Rules:
    """S = Q Kᵀ/√D, P = softmax(S), A = P ∘ mask, O = A V."""

    def inside() -> _Inside:
        found: _Inside = call.once("inside", lambda: _Inside(call))
        return found

    def scale(part: _Inside) -> Column:
        return Column(f"1/√{part.D}", 1 / math.sqrt(part.D))

    def y(index: Index) -> tuple[str, list[Block]]:
        a = inside()
        b, t, c = index
        _, h, d = a.head(c)
        keys = np.arange(t + 1)
        return "Σ A V over the keys up to this position", [
            Block((inner("A", a.A, a.square(b, h, t, keys)), column(call, a.qkv, a.packed(2, b, h, keys, np.array(d)))))
        ]

    def scores(index: Index) -> tuple[str, list[Block]]:
        a = inside()
        b, h, i, j = index
        if j > i:
            return "-∞: a key after the query", [Block((Column("-∞", -math.inf),))]
        d = np.arange(a.D)
        queries = column(call, a.qkv, a.packed(0, b, h, np.array(i), d))
        keys = column(call, a.qkv, a.packed(1, b, h, np.array(j), d))
        return "Σ q k / √D", [Block((queries, keys, scale(a)))]

    def probabilities(index: Index) -> tuple[str, list[Block]]:
        a = inside()
        at = single_position(index)
        return "e^S / Σ e^S along the row", [Block((Column("S", a.P[tuple(at.T)], at, "e^{} / Σ e^S"),))]

    def weights(index: Index) -> tuple[str, list[Block]]:
        a = inside()
        mask = [column(call, a.mask, single_position(index))] if a.mask is not None else []
        return "P ∘ mask" if mask else "P", [Block((inner("P", a.P, single_position(index)), *mask))]

    def dweights(index: Index) -> tuple[str, list[Block]]:
        a = inside()
        b, h, i, j = index
        d = np.arange(a.D)
        values = column(call, a.qkv, a.packed(2, b, h, np.array(j), d))
        return "Σ dy V", [Block((column(call, "dy", a.packed(0, b, h, np.array(i), d)), values))]

    def dprobabilities(index: Index) -> tuple[str, list[Block]]:
        a = inside()
        mask = [column(call, a.mask, single_position(index))] if a.mask is not None else []
        return "dA ∘ mask" if mask else "dA", [Block((inner("dA", a.dA, single_position(index)), *mask))]

    def dscores(index: Index) -> tuple[str, list[Block]]:
        a = inside()
        b, h, i, _ = index
        row = a.square(b, h, i, np.arange(i + 1))
        own = inner("P", a.P, np.tile(single_position(index), (i + 1, 1)))
        return "P dP - P Σ P dP along the row", [
            Block((inner("P", a.P, single_position(index)), inner("dP", a.dP, single_position(index))), DIRECTLY),
            Block((Column("-1", -1.0), own, inner("P", a.P, row), inner("dP", a.dP, row)), "through the row's sum"),
        ]

    def dqkv(index: Index) -> tuple[str, list[Block]]:
        a = inside()
        b, t, c = index
        part, h, d = a.head(c)
        number = np.array(d)
        if part == 0:
            keys = np.arange(t + 1)
            factors = (inner("dS", a.dS, a.square(b, h, t, keys)), column(call, a.qkv, a.packed(1, b, h, keys, number)))
            return "a query: Σ dS K / √D over the keys", [Block((*factors, scale(a)))]
        queries = np.arange(t, a.T)
        at = a.square(b, h, queries, t)
        if part == 1:
            factors = (inner("dS", a.dS, at), column(call, a.qkv, a.packed(0, b, h, queries, number)))
            return "a key: Σ dS Q / √D over the queries", [Block((*factors, scale(a)))]
        factors = (inner("A", a.A, at), column(call, "dy", a.packed(0, b, h, queries, number)))
        return "a value: Σ A dy over the queries", [Block(factors)]

    B, T, _ = call.y.shape
    square = (B, call.settings["n_heads"], T, T)
    return {
        "y": y,
        "S": InnerRule(scores, square),
        "P": InnerRule(probabilities, square),
        "A": InnerRule(weights, square),
        "dA": InnerRule(dweights, square),
        "dP": InnerRule(dprobabilities, square),
        "dS": InnerRule(dscores, square),
        f"d{next(iter(call.inputs))}": dqkv,
    }
