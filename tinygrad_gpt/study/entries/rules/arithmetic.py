"""Element by element: one term forward; backward one for each entry of y that the entry was repeated to."""

import math
from collections.abc import Callable

import numpy as np

from tinygrad_gpt.backend import Array, erf
from tinygrad_gpt.ops.gelu import A, C
from tinygrad_gpt.study.entries.call_sums import Rules
from tinygrad_gpt.study.entries.entry import Computation
from tinygrad_gpt.study.entries.rules.letters import axis_letters, broadcast_index, sigma


class _Pair:
    """The two arrays of a call, and the indices of their entries for an entry of y."""

    def __init__(self, call: Computation) -> None:
        self.call = call
        self.a, self.b = call.inputs
        self.wide = {"n": call.y.ndim}
        letters = axis_letters(call.y.ndim)
        if call.shape(self.a) == call.shape(self.b):
            self.at = self.at_a = self.at_b = "n"
        else:
            self.at = ",".join(letters)
            self.at_a, self.at_b = (broadcast_index(call.shape(name), letters) for name in (self.a, self.b))
        self.sigma_a, self.sigma_b = sigma(self.at, self.at_a), sigma(self.at, self.at_b)


def add(call: Computation) -> Rules:
    """y = a + b."""
    return _sum_of_two(call, "+", "")


def subtract(call: Computation) -> Rules:
    """y = a - b."""
    return _sum_of_two(call, "-", "- ")


def _sum_of_two(call: Computation, sign: str, sign_of_db: str) -> Rules:
    p = _Pair(call)
    text = f"""
        y[{p.at}] = {p.a}[{p.at_a}]
                  {sign} {p.b}[{p.at_b}]
        d{p.a}[{p.at_a}] = {p.sigma_a}dy[{p.at}]
        d{p.b}[{p.at_b}] = {sign_of_db}{p.sigma_b}dy[{p.at}]
    """
    return Rules(text, p.wide)


def multiply(call: Computation) -> Rules:
    """y = a b."""
    p = _Pair(call)
    text = f"""
        y[{p.at}] = {p.a}[{p.at_a}] {p.b}[{p.at_b}]
        d{p.a}[{p.at_a}] = {p.sigma_a}dy[{p.at}] {p.b}[{p.at_b}]
        d{p.b}[{p.at_b}] = {p.sigma_b}dy[{p.at}] {p.a}[{p.at_a}]
    """
    return Rules(text, p.wide)


def dropout(call: Computation) -> Rules:
    """y = x mask; the mask has no gradient."""
    p = _Pair(call)
    text = f"""
        y[{p.at}] = {p.a}[{p.at_a}] {p.b}[{p.at_b}]
        d{p.a}[{p.at_a}] = {p.sigma_a}dy[{p.at}] {p.b}[{p.at_b}]
    """
    return Rules(text, p.wide)


def divide(call: Computation) -> Rules:
    """y = a / b."""
    p = _Pair(call)
    text = f"""
        y[{p.at}] = {p.a}[{p.at_a}] 1/{p.b}[{p.at_b}]
        d{p.a}[{p.at_a}] = {p.sigma_a}dy[{p.at}] 1/{p.b}[{p.at_b}]
        d{p.b}[{p.at_b}] = - {p.sigma_b}dy[{p.at}] {p.a}[{p.at_a}] 1/{p.b}[{p.at_b}]²
    """
    inside = {f"1/{p.b}": lambda: call.array(p.b) ** -1.0, f"1/{p.b}²": lambda: call.array(p.b) ** -2.0}
    return Rules(text, p.wide, inside=inside)


def power(call: Computation) -> Rules:
    """y = a^b."""
    p = _Pair(call)
    a, b = p.a, p.b
    text = f"""
        y[{p.at}] = {a}[{p.at}]^{b}
        d{a}[{p.at_a}] = {p.sigma_a}dy[{p.at}] {b}[{p.at_b}] {a}[{p.at}]^({b}-1)
        d{b}[{p.at_b}] = {p.sigma_b}dy[{p.at}] {a}[{p.at}]^{b} ln({a}[{p.at_a}])
    """

    def raised() -> Array:
        found: Array = call.array(a) ** call.array(b)
        return found

    def slope() -> Array:
        base, exponent = np.broadcast_arrays(call.array(a), call.array(b))
        found: Array = base ** np.where(exponent == 0, 0, exponent - 1)
        return found

    def log() -> Array:
        base = call.array(a)
        return np.log(np.where(base > 0, base, 1))

    return Rules(text, p.wide, inside={f"{a}^{b}": raised, f"{a}^({b}-1)": slope, f"ln({a})": log})


def function(
    form: str, value: Callable[[Array], Array], slope_form: str, slope: Callable[[Array], Array]
) -> Callable[[Computation], Rules]:
    """The rules of a function of one number: y = f(x), dx = dy f'(x)."""

    def rules(call: Computation) -> Rules:
        (x,) = call.inputs
        entry = f"{x}[n]"
        text = f"""
            y[n] = {form.format(entry)}
            d{x}[n] = dy[n] {slope_form.format(entry)}
        """
        inside = {
            slope_form.format(x): lambda: slope(call.array(x)),
            form.format(x): lambda: value(call.array(x)),
        }
        return Rules(text, wide={"n": call.y.ndim}, inside=inside)

    return rules


def negative(call: Computation) -> Rules:
    """y = -x."""
    (x,) = call.inputs
    return Rules(f"y[n] = - {x}[n]\nd{x}[n] = - dy[n]", wide={"n": call.y.ndim})


EXP = function("e^{}", np.exp, "e^{}", np.exp)
LOG = function("ln({})", np.log, "1/{}", lambda x: 1 / x)
SQRT = function("√{}", np.sqrt, "1/(2√{})", lambda x: 0.5 / np.sqrt(x))
TANH = function("tanh({})", np.tanh, "(1-tanh²({}))", lambda x: 1 - np.tanh(x) ** 2)
RELU = function("max({},0)", lambda x: np.maximum(x, 0), "({}>0)", lambda x: (x > 0).astype(float))


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
