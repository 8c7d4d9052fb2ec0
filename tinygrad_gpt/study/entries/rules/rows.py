"""Ops on rows, whose entries reach the loss by several ways: softmax by two, layer norm by three."""

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.entry import Block, Column, Computation, Index, InnerRule, Rules
from tinygrad_gpt.study.entries.positions import column, inner, positions_along, positions_in_column, single_position

DIRECTLY = "directly"


def softmax(call: Computation) -> Rules:
    """p_k = e^{x_k} / Σ e^x; dx_k = p_k dp_k - p_k Σ_i p_i dp_i."""
    (x,) = call.inputs
    axis = call.settings.get("axis", -1)

    def weights() -> Array:
        values = call.array(x)
        return np.exp(values - values.max(axis=axis, keepdims=True))

    def probabilities() -> Array:
        return call.once("weights", weights) / call.once("weights", weights).sum(axis=axis, keepdims=True)

    def y(index: Index) -> tuple[str, list[Block]]:
        p = call.once("p", probabilities)
        return "e^x / Σ e^x", [Block((inner(x, p, single_position(index), "e^{} / Σ e^x"),))]

    def dx(index: Index) -> tuple[str, list[Block]]:
        p = call.once("p", probabilities)
        row = positions_along(index, axis, p.shape[axis])
        own = inner("y", p, np.tile(single_position(index), (len(row), 1)))
        return "p dy - p Σ p dy", [
            Block((inner("y", p, single_position(index)), column(call, "dy", single_position(index))), DIRECTLY),
            Block((Column("-1", -1.0), own, inner("y", p, row), column(call, "dy", row)), "through the sum"),
        ]

    return {"y": y, f"d{x}": dx}


def log_softmax(call: Computation) -> Rules:
    """ln p_k = x_k - ln Σ e^x; dx_k = dy_k - p_k Σ_i dy_i."""
    (x,) = call.inputs
    axis = call.settings.get("axis", -1)

    def log_total() -> Array:
        values = call.array(x)
        highest = values.max(axis=axis, keepdims=True)
        return highest + np.log(np.exp(values - highest).sum(axis=axis, keepdims=True))

    def y(index: Index) -> tuple[str, list[Block]]:
        total = np.broadcast_to(call.once("ln Σ e^x", log_total), call.y.shape)[index]
        return "x - ln Σ e^x", [
            Block((column(call, x, single_position(index)),)),
            Block((Column("-ln Σ e^x", -float(total)),), "the row's sum"),
        ]

    def dx(index: Index) -> tuple[str, list[Block]]:
        p = np.exp(call.array(x) - call.once("ln Σ e^x", log_total))
        row = positions_along(index, axis, p.shape[axis])
        return "dy - p Σ dy", [
            Block((column(call, "dy", single_position(index)),), DIRECTLY),
            Block((Column("-p", -float(p[index])), column(call, "dy", row)), "through the sum"),
        ]

    return {"y": y, f"d{x}": dx}


def layer_norm(call: Computation) -> Rules:
    """y = g x̂ + b; dx = r (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)) with dx̂ = dy g."""
    x, gain, bias = call.inputs

    def reciprocal_std() -> Array:
        values = call.array(x)
        centred = values - values.mean(-1, keepdims=True)
        return 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + call.settings.get("eps", 1e-5))

    def normalized() -> Array:
        values = call.array(x)
        return (values - values.mean(-1, keepdims=True)) * call.once("r", reciprocal_std)

    def y(index: Index) -> tuple[str, list[Block]]:
        xhat = call.once("x̂", normalized)
        last = single_position(index[-1:])
        return "gain x̂ + bias", [
            Block((column(call, gain, last), inner("x̂", xhat, single_position(index)))),
            Block((column(call, bias, last),), "the bias"),
        ]

    def xhat_entry(index: Index) -> tuple[str, list[Block]]:
        scale = float(call.once("r", reciprocal_std)[index[:-1]][0])
        mean = float(call.array(x)[index[:-1]].mean())
        return "(x - mean) r", [
            Block((column(call, x, single_position(index)), Column("r", scale))),
            Block((Column("-mean", -mean), Column("r", scale))),
        ]

    def dx(index: Index) -> tuple[str, list[Block]]:
        xhat, n = call.once("x̂", normalized), call.shape(x)[-1]
        scale = Column("r", float(call.once("r", reciprocal_std)[index[:-1]][0]))
        row, share = positions_along(index, -1, n), Column(f"1/{n}", 1 / n)
        minus = Column("-1", -1.0)
        direct = (scale, column(call, gain, single_position(index[-1:])), column(call, "dy", single_position(index)))
        every_gain, every_dy = column(call, gain, row[:, -1:]), column(call, "dy", row)
        own = inner("x̂", xhat, np.tile(single_position(index), (n, 1)))
        return "r (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)), dx̂ = gain dy", [
            Block(direct, DIRECTLY),
            Block((minus, scale, share, every_gain, every_dy), "through the mean"),
            Block(
                (minus, scale, share, own, inner("x̂", xhat, row), every_gain, every_dy),
                "through the variance",
            ),
        ]

    def dgain(index: Index) -> tuple[str, list[Block]]:
        xhat, places = call.once("x̂", normalized), positions_in_column(call.y.shape, index[0])
        return "Σ dy x̂", [Block((column(call, "dy", places), inner("x̂", xhat, places)))]

    def dbias(index: Index) -> tuple[str, list[Block]]:
        return "Σ dy", [Block((column(call, "dy", positions_in_column(call.y.shape, index[0])),))]

    return {"y": y, "x̂": InnerRule(xhat_entry, call.shape(x)), f"d{x}": dx, f"d{gain}": dgain, f"d{bias}": dbias}
