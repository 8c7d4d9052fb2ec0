"""Small numbers for every op: few enough to work out by hand, chosen to show what is special about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array

Random = np.random.Generator
Draw = Callable[[Random, tuple[int, ...]], Array]
DY = (1.0, -0.5, 2.0, 0.3, -1.2, 0.7, -0.8)  # the incoming gradient; all ones would hide mistakes
DLOSS = 0.5  # of a loss: as if it counted half


def numbers(random: Random, shape: tuple[int, ...]) -> Array:
    """±0.2, ±0.4 … ±2: never 0, where relu has no slope."""
    return random.integers(1, 11, shape) / 5 * random.choice([-1, 1], shape)


def positive(random: Random, shape: tuple[int, ...]) -> Array:
    """0.6, 0.8 … 2."""
    return random.integers(3, 11, shape) / 5


def away_from_zero(random: Random, shape: tuple[int, ...]) -> Array:
    """±0.6, ±0.8 … ±2."""
    return positive(random, shape) * random.choice([-1, 1], shape)


def distinct_numbers(random: Random, shape: tuple[int, ...]) -> Array:
    """No two alike: so one is the largest, and no row has variance 0."""
    n = int(np.prod(shape))
    return (random.permutation(n).reshape(shape) - n // 2) / 2


def ids(random: Random, shape: tuple[int, ...]) -> Array:
    """0, 1 or 2."""
    return random.integers(0, 3, shape)


def shuffled_numbers(random: Random, shape: tuple[int, ...]) -> Array:
    """0, 1, … in some order."""
    return random.permutation(int(np.prod(shape))).reshape(shape)


def mask(random: Random, shape: tuple[int, ...]) -> Array:
    """True or False."""
    return random.integers(0, 2, shape) == 1


def dropout_mask(random: Random, shape: tuple[int, ...]) -> Array:
    """0 or 2, as dropout's at rate ½."""
    return 2.0 * mask(random, shape)


@dataclass(frozen=True, eq=False)
class Example:
    """What an op is worked out with: inputs by name, and settings."""

    inputs: dict[str, tuple[Any, Draw]]
    settings: dict[str, Any] = field(default_factory=dict)
    constants: Sequence[str] = ()
    """inputs of floats that have no gradient"""
    complex: bool = True
    """whether the op takes complex numbers"""
    title: str = ""

    def arrays(self, seed: int | None) -> dict[str, Array]:
        """The inputs: those chosen, or others of the same shapes drawn from a seed."""
        chosen = {name: np.array(value) for name, (value, _) in self.inputs.items()}
        if seed is None:
            return chosen
        random = np.random.Generator(np.random.Philox(key=seed))
        return {name: draw(random, chosen[name].shape) for name, (_, draw) in self.inputs.items()}

    def incoming(self, shape: tuple[int, ...], seed: int | None) -> Array:
        """The incoming gradient, of y's shape."""
        if seed is not None:
            return np.asarray(numbers(np.random.Generator(np.random.Philox(key=seed + 2**64)), shape))
        return np.resize(DY, shape) if shape else np.array(DLOSS)


def elementwise_example(draw: Draw, *values: Any) -> Example:
    """An op of one array x."""
    return Example({"x": (list(values), draw)})


X = [[0.4, -1.0, 1.8], [2.0, 0.6, -0.2]]
LOGITS = [[2.0, 0.4, -1.0], [0.2, 0.6, 1.2]]
QKV = [[[1.0, 0.4, 0.6, -0.2, 1.0, 2.0], [-0.4, 1.2, 1.0, 0.8, -1.0, 0.6], [0.6, -0.8, -0.4, 1.4, 0.2, -1.6]]]
KEEP = [[[[2.0, 0.0, 0.0], [2.0, 2.0, 0.0], [0.0, 2.0, 2.0]], [[2.0, 0.0, 0.0], [0.0, 2.0, 2.0], [2.0, 2.0, 0.0]]]]
HEAD = [[0.2, 0.4], [-0.6, 1.0], [0.8, -0.2]]

BROADCAST = Example({"a": (X, numbers), "b": ([0.6, -0.4, 2.0], numbers)})

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "add": (BROADCAST,),
    "subtract": (BROADCAST,),
    "multiply": (BROADCAST,),
    "divide": (Example({"a": (X, numbers), "b": ([0.8, -1.6, 2.0], away_from_zero)}),),
    "negative": (elementwise_example(numbers, 0.4, -1.0, 1.8),),
    "power": (Example({"a": ([[0.8, 1.6, 2.0], [1.2, 0.6, 1.0]], positive), "b": ([2.0, 0.4, -1.0], numbers)}),),
    "exp": (elementwise_example(numbers, 0.4, -1.0, 1.8),),
    "log": (elementwise_example(positive, 0.6, 1.0, 2.0),),
    "sqrt": (elementwise_example(positive, 0.6, 1.0, 2.0),),
    "tanh": (elementwise_example(numbers, 0.4, -1.0, 1.8),),
    "relu": (elementwise_example(numbers, 0.4, -1.0, 1.8),),
    "sum": (Example({"x": (X, numbers)}, {"axis": 1}),),
    "mean": (Example({"x": (X, numbers)}, {"axis": 1}),),
    "max": (Example({"x": ([[0.5, -1.0, 2.0], [1.5, 1.0, 0.0]], distinct_numbers)}, {"axis": 1}),),
    "var": (Example({"x": (X, numbers)}, {"axis": 1}),),
    "reshape": (Example({"x": (X, numbers)}, {"shape": (3, 2)}),),
    "transpose": (Example({"x": (X, numbers)}),),
    "broadcast_to": (Example({"x": ([0.4, -1.0, 1.8], numbers)}, {"shape": (2, 3)}),),
    "getitem": (
        Example({"x": (X[0], numbers)}, {"key": np.array([2, 0, 2])}, title="With numbers, one of them twice"),
        Example({"x": (X[0], numbers)}, {"key": slice(1, 3)}, title="With a slice"),
    ),
    "split": (Example({"x": ([X[0] + [-0.6]], numbers)}, {"sections": 2, "part": 1}),),
    "concatenate": (Example({"a": (X, numbers), "b": ([[0.6, -0.4, 1.0]], numbers)}),),
    "where": (Example({"mask": ([True, False, True], mask), "a": (X[0], numbers), "b": ([0.6, -0.4, 2.0], numbers)}),),
    "masked_fill": (
        Example({"x": (X, numbers), "mask": ([[False, True, False], [True, False, True]], mask)}, {"value": -1.0}),
    ),
    "matmul": (Example({"a": (X, numbers), "b": (HEAD, numbers)}),),
    "softmax": (Example({"x": (LOGITS, numbers)}),),
    "log_softmax": (Example({"x": (LOGITS, numbers)}),),
    "embedding": (Example({"table": (HEAD, numbers), "ids": ([2, 0, 2], ids)}),),
    "linear": (Example({"x": (X, numbers), "weight": (HEAD, numbers), "bias": ([1.0, -0.6], numbers)}),),
    "gelu": (
        Example({"x": ([-1.0, 0.4, 1.8], numbers)}, title="The tanh form"),
        Example({"x": ([-1.0, 0.4, 1.8], numbers)}, {"form": "erf"}, complex=False, title="The erf form"),
    ),
    "layer_norm": (
        Example(
            {
                "x": ([[0.5, -1.0, 2.0], [1.5, 1.0, -0.5]], distinct_numbers),
                "gain": ([1.0, 0.6, -1.4], numbers),
                "bias": ([0.2, -0.4, 0.0], numbers),
            }
        ),
    ),
    "causal_attention": (
        Example({"qkv": (QKV, numbers)}, {"n_heads": 1}, title="One head"),
        Example(
            {"qkv": (QKV, numbers), "keep": (KEEP, dropout_mask)},
            {"n_heads": 2},
            ("keep",),
            title="Two heads, with dropout",
        ),
    ),
    "dropout": (
        Example({"x": (X, numbers), "keep": ([[2.0, 0.0, 2.0], [0.0, 2.0, 2.0]], dropout_mask)}, {}, ("keep",)),
    ),
    "cross_entropy": (
        Example({"logits": (LOGITS, numbers), "targets": ([0, 1], ids)}, title="The mean over all rows"),
        Example(
            {"logits": (LOGITS, numbers), "targets": ([0, 1], shuffled_numbers)},
            {"ignore_index": 0},
            title="Without the rows whose target is ignored",
        ),
    ),
    "linear_cross_entropy": (
        Example({"x": ([[1.0, -0.4], [0.6, 1.8]], numbers), "weight": (HEAD, numbers), "targets": ([0, 1], ids)}),
    ),
}
