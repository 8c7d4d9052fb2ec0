"""Element by element: one term forward; backward one for each entry of y that the entry was repeated to."""

import math
from collections.abc import Callable

import numpy as np

from tinygrad_gpt.backend import Array, erf
from tinygrad_gpt.ops.gelu import A, C
from tinygrad_gpt.study.entries.entry import Block, Column, Computation, Index, Rules
from tinygrad_gpt.study.entries.positions import column, positions_of_copies, positions_read, single_position


def _pair(call: Computation) -> tuple[str, str]:
    """The names of the two arrays, whatever the op calls them."""
    a, b = call.inputs
    return a, b


def _positions_backward(call: Computation, name: str, index: Index) -> tuple[Array, Array, Array]:
    """The positions in y where an entry of an input is used, and the positions in a and b that these read."""
    a, b = _pair(call)
    at = positions_of_copies(call.shape(name), index, call.y.shape)
    return at, positions_read(call.shape(a), at), positions_read(call.shape(b), at)


def _positions_forward(call: Computation, index: Index) -> tuple[Array, Array]:
    """The positions in a and in b that an entry of y is computed from."""
    a, b = _pair(call)
    return positions_read(call.shape(a), single_position(index)), positions_read(call.shape(b), single_position(index))


def add(call: Computation) -> Rules:
    """y = a + b."""
    return _sum_of_two(call, +1)


def subtract(call: Computation) -> Rules:
    """y = a - b."""
    return _sum_of_two(call, -1)


def _sum_of_two(call: Computation, sign: int) -> Rules:
    a, b = _pair(call)
    minus = [Column("-1", -1.0)] if sign < 0 else []

    def y(index: Index) -> tuple[str, list[Block]]:
        at_a, at_b = _positions_forward(call, index)
        return f"{a} {'+' if sign > 0 else '-'} {b}", [
            Block((column(call, a, at_a),)),
            Block((*minus, column(call, b, at_b))),
        ]

    def da(index: Index) -> tuple[str, list[Block]]:
        return "Σ dy", [Block((column(call, "dy", _positions_backward(call, a, index)[0]),))]

    def db(index: Index) -> tuple[str, list[Block]]:
        return "Σ dy" if sign > 0 else "Σ -dy", [
            Block((*minus, column(call, "dy", _positions_backward(call, b, index)[0])))
        ]

    return {"y": y, f"d{a}": da, f"d{b}": db}


def multiply(call: Computation) -> Rules:
    """y = a b."""
    a, b = _pair(call)

    def y(index: Index) -> tuple[str, list[Block]]:
        at_a, at_b = _positions_forward(call, index)
        return f"{a} {b}", [Block((column(call, a, at_a), column(call, b, at_b)))]

    def da(index: Index) -> tuple[str, list[Block]]:
        at, _, at_b = _positions_backward(call, a, index)
        return f"Σ dy {b}", [Block((column(call, "dy", at), column(call, b, at_b)))]

    def db(index: Index) -> tuple[str, list[Block]]:
        at, at_a, _ = _positions_backward(call, b, index)
        return f"Σ dy {a}", [Block((column(call, "dy", at), column(call, a, at_a)))]

    return {"y": y, f"d{a}": da, f"d{b}": db}


def dropout(call: Computation) -> Rules:
    """y = x mask; the mask has no gradient."""
    rules = dict(multiply(call))
    del rules[f"d{_pair(call)[1]}"]
    return rules


def divide(call: Computation) -> Rules:
    """y = a / b."""
    a, b = _pair(call)

    def inverse(at: Array, power: int) -> Column:
        form = "1/{}" if power == 1 else "1/{}²"
        return Column(b, column(call, b, at).values ** -float(power), at, form)

    def y(index: Index) -> tuple[str, list[Block]]:
        at_a, at_b = _positions_forward(call, index)
        return f"{a} / {b}", [Block((column(call, a, at_a), inverse(at_b, 1)))]

    def da(index: Index) -> tuple[str, list[Block]]:
        at, _, at_b = _positions_backward(call, a, index)
        return f"Σ dy / {b}", [Block((column(call, "dy", at), inverse(at_b, 1)))]

    def db(index: Index) -> tuple[str, list[Block]]:
        at, at_a, at_b = _positions_backward(call, b, index)
        factors = (Column("-1", -1.0), column(call, "dy", at), column(call, a, at_a), inverse(at_b, 2))
        return f"Σ -dy {a} / {b}²", [Block(factors)]

    return {"y": y, f"d{a}": da, f"d{b}": db}


def power(call: Computation) -> Rules:
    """y = a^b."""
    a, b = _pair(call)

    def y(index: Index) -> tuple[str, list[Block]]:
        at_a, at_b = _positions_forward(call, index)
        base, exponent = column(call, a, at_a), column(call, b, at_b)
        return f"{a}^{b}", [Block((Column(a, base.values**exponent.values, at_a, "{}^" + b),))]

    def da(index: Index) -> tuple[str, list[Block]]:
        at, at_a, at_b = _positions_backward(call, a, index)
        base, exponent = column(call, a, at_a), column(call, b, at_b)
        slope = base.values ** np.where(exponent.values == 0, 0, exponent.values - 1)
        return f"Σ dy {b} {a}^({b}-1)", [
            Block((column(call, "dy", at), exponent, Column(a, slope, at_a, "{}^(" + b + "-1)")))
        ]

    def db(index: Index) -> tuple[str, list[Block]]:
        at, at_a, at_b = _positions_backward(call, b, index)
        base, exponent = column(call, a, at_a), column(call, b, at_b)
        log = np.log(np.where(base.values > 0, base.values, 1))
        raised = Column(a, base.values**exponent.values, at_a, "{}^" + b)
        return f"Σ dy {a}^{b} ln {a}", [Block((column(call, "dy", at), raised, Column(a, log, at_a, "ln {}")))]

    return {"y": y, f"d{a}": da, f"d{b}": db}


def function(
    form: str, value: Callable[[Array], Array], slope_form: str, slope: Callable[[Array], Array]
) -> Callable[[Computation], Rules]:
    """The rules of a function of one number: y = f(x), dx = dy f'(x)."""

    def rules(call: Computation) -> Rules:
        (x,) = call.inputs

        def y(index: Index) -> tuple[str, list[Block]]:
            entry = call.array(x)[index][None]
            return form.format(x), [Block((Column(x, value(entry), single_position(index), form),))]

        def dx(index: Index) -> tuple[str, list[Block]]:
            factor = Column(x, slope(call.array(x)[index][None]), single_position(index), slope_form)
            return f"dy · {slope_form.format(x)}", [Block((column(call, "dy", single_position(index)), factor))]

        return {"y": y, f"d{x}": dx}

    return rules


EXP = function("e^{}", np.exp, "e^{}", np.exp)
LOG = function("ln {}", np.log, "1/{}", lambda x: 1 / x)
SQRT = function("√{}", np.sqrt, "1/(2√{})", lambda x: 0.5 / np.sqrt(x))
TANH = function("tanh {}", np.tanh, "(1 - tanh² {})", lambda x: 1 - np.tanh(x) ** 2)
RELU = function("max({}, 0)", lambda x: np.maximum(x, 0), "[{} > 0]", lambda x: (x > 0).astype(float))


def _gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(C * (x + A * x**3)))


def _gelu_tanh_slope(x: Array) -> Array:
    t = np.tanh(C * (x + A * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * C * (1 + 3 * A * x * x)


def _below(x: Array) -> Array:
    return 0.5 * (1 + erf(x / math.sqrt(2)))


def gelu(call: Computation) -> Rules:
    """y = x Φ(x), in the form that the call has."""
    if call.settings.get("form", "tanh") == "tanh":
        return function("gelu({})", _gelu_tanh, "gelu'({})", _gelu_tanh_slope)(call)
    density = 1 / math.sqrt(2 * math.pi)
    return function(
        "gelu({})",
        lambda x: x * _below(x),
        "gelu'({})",
        lambda x: _below(x) + x * density * np.exp(-0.5 * x * x),
    )(call)
