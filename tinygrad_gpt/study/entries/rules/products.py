"""Matrix products: every entry is a sum of products along one axis."""

from tinygrad_gpt.study.entries.call_sums import Rules
from tinygrad_gpt.study.entries.entry import Computation
from tinygrad_gpt.study.entries.rules.letters import axis_letters, broadcast_index, sigma


def linear(call: Computation) -> Rules:
    """y = x W + b."""
    x, weight = list(call.inputs)[:2]
    bias = next((name for name in list(call.inputs)[2:] if call.inputs[name] is not None), None)
    text = f"""
        y[n,o] = Σ {x}[n,i] {weight}[i,o]
        {f"+ {bias}[o]  # the bias" if bias else ""}
        d{x}[n,i] = Σ dy[n,o] {weight}[i,o]
        d{weight}[i,o] = Σ {x}[n,i] dy[n,o]
        {f"d{bias}[o] = Σ dy[n,o]" if bias else ""}
    """
    return Rules(text, {"n": call.y.ndim - 1})


def matmul(call: Computation) -> Rules:
    """Y = A B; a vector is a matrix of one row (left) or one column (right)."""
    a, b = call.inputs
    a_shape, b_shape = call.shape(a), call.shape(b)
    row, column = ["n"] * (len(a_shape) > 1), ["o"] * (len(b_shape) > 1)
    batch = axis_letters(call.y.ndim - len(row) - len(column), "b")
    at_y = ",".join([*batch, *row, *column])
    at_a = ",".join(filter(None, [broadcast_index(a_shape[:-2], batch), *row, "i"]))
    at_b = ",".join(filter(None, [broadcast_index(b_shape[:-2], batch), "i", *column]))
    return Rules(f"""
        y[{at_y}] = Σ {a}[{at_a}] {b}[{at_b}]
        d{a}[{at_a}] = {sigma(at_y, at_a)}dy[{at_y}] {b}[{at_b}]
        d{b}[{at_b}] = {sigma(at_y, at_b)}{a}[{at_a}] dy[{at_y}]
    """)
