"""Small inputs for every op: few enough numbers to work out on paper, chosen to show what is special about the op."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array

Random = np.random.Generator
Draw = Callable[[Random, tuple[int, ...]], Array]
_DY = (1.0, -0.5, 2.0, 0.3, -1.2, 0.7, -0.8)  # the incoming gradient; all ones would hide mistakes
_DLOSS = 0.5  # the incoming gradient of a loss


def _numbers(random: Random, shape: tuple[int, ...]) -> Array:
    """±0.2, ±0.4 … ±2: never 0, where relu has no slope."""
    return random.integers(1, 11, shape) / 5 * random.choice([-1, 1], shape)


def _positive(random: Random, shape: tuple[int, ...]) -> Array:
    """0.6, 0.8 … 2."""
    return random.integers(3, 11, shape) / 5


def _away_from_zero(random: Random, shape: tuple[int, ...]) -> Array:
    """±0.6, ±0.8 … ±2."""
    return _positive(random, shape) * random.choice([-1, 1], shape)


def _distinct_numbers(random: Random, shape: tuple[int, ...]) -> Array:
    """All different: so exactly one is the largest, and no row has variance 0."""
    n = int(np.prod(shape))
    return (random.permutation(n).reshape(shape) - n // 2) / 2


def _ids(random: Random, shape: tuple[int, ...]) -> Array:
    """0, 1 or 2."""
    return random.integers(0, 3, shape)


def _shuffled_numbers(random: Random, shape: tuple[int, ...]) -> Array:
    """0, 1, … in some order."""
    return random.permutation(int(np.prod(shape))).reshape(shape)


def _mask(random: Random, shape: tuple[int, ...]) -> Array:
    return random.integers(0, 2, shape) == 1


def _dropout_mask(random: Random, shape: tuple[int, ...]) -> Array:
    """0 or 2, as in dropout at rate ½."""
    return 2.0 * _mask(random, shape)


@dataclass(frozen=True, eq=False)
class Example:
    """Inputs by name, each with a function that draws others, and settings."""

    inputs: dict[str, tuple[Any, Draw]]
    settings: dict[str, Any] = field(default_factory=dict)
    constants: Sequence[str] = ()
    """float inputs that have no gradient"""
    complex: bool = True
    """whether the op takes complex numbers"""
    title: str = ""

    def arrays(self, seed: int | None) -> dict[str, Array]:
        """The chosen inputs, or, with a seed, random ones of the same shapes."""
        chosen = {name: np.array(value) for name, (value, _) in self.inputs.items()}
        if seed is None:
            return chosen
        random = np.random.Generator(np.random.Philox(key=seed))
        return {name: draw(random, chosen[name].shape) for name, (_, draw) in self.inputs.items()}

    def incoming(self, shape: tuple[int, ...], seed: int | None) -> Array:
        """The incoming gradient, which has the shape of y."""
        if seed is not None:
            return np.asarray(_numbers(np.random.Generator(np.random.Philox(key=seed + 2**64)), shape))
        return np.resize(_DY, shape) if shape else np.array(_DLOSS)


def _elementwise_example(draw: Draw, *values: Any) -> Example:
    return Example({"x": (list(values), draw)})


_X = [[0.4, -1.0, 1.8], [2.0, 0.6, -0.2]]
_LOGITS = [[2.0, 0.4, -1.0], [0.2, 0.6, 1.2]]
_QKV = [[[1.0, 0.4, 0.6, -0.2, 1.0, 2.0], [-0.4, 1.2, 1.0, 0.8, -1.0, 0.6], [0.6, -0.8, -0.4, 1.4, 0.2, -1.6]]]
_KEEP = [[[[2.0, 0.0, 0.0], [2.0, 2.0, 0.0], [0.0, 2.0, 2.0]], [[2.0, 0.0, 0.0], [0.0, 2.0, 2.0], [2.0, 2.0, 0.0]]]]
_HEAD = [[0.2, 0.4], [-0.6, 1.0], [0.8, -0.2]]

_BROADCAST = Example({"a": (_X, _numbers), "b": ([0.6, -0.4, 2.0], _numbers)})

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "add": (_BROADCAST,),
    "subtract": (_BROADCAST,),
    "multiply": (_BROADCAST,),
    "divide": (Example({"a": (_X, _numbers), "b": ([0.8, -1.6, 2.0], _away_from_zero)}),),
    "negative": (_elementwise_example(_numbers, 0.4, -1.0, 1.8),),
    "power": (Example({"a": ([[0.8, 1.6, 2.0], [1.2, 0.6, 1.0]], _positive), "b": ([2.0, 0.4, -1.0], _numbers)}),),
    "exp": (_elementwise_example(_numbers, 0.4, -1.0, 1.8),),
    "log": (_elementwise_example(_positive, 0.6, 1.0, 2.0),),
    "sqrt": (_elementwise_example(_positive, 0.6, 1.0, 2.0),),
    "tanh": (_elementwise_example(_numbers, 0.4, -1.0, 1.8),),
    "relu": (_elementwise_example(_numbers, 0.4, -1.0, 1.8),),
    "sum": (Example({"x": (_X, _numbers)}, {"axis": 1}),),
    "mean": (Example({"x": (_X, _numbers)}, {"axis": 1}),),
    "max": (Example({"x": ([[0.5, -1.0, 2.0], [1.5, 1.0, 0.0]], _distinct_numbers)}, {"axis": 1}),),
    "var": (Example({"x": (_X, _numbers)}, {"axis": 1}),),
    "reshape": (Example({"x": (_X, _numbers)}, {"shape": (3, 2)}),),
    "transpose": (Example({"x": (_X, _numbers)}),),
    "broadcast_to": (Example({"x": ([0.4, -1.0, 1.8], _numbers)}, {"shape": (2, 3)}),),
    "getitem": (
        Example({"x": (_X[0], _numbers)}, {"key": np.array([2, 0, 2])}, title="With numbers, one of them twice"),
        Example({"x": (_X[0], _numbers)}, {"key": slice(1, 3)}, title="With a slice"),
    ),
    "split": (Example({"x": ([_X[0] + [-0.6]], _numbers)}, {"sections": 2, "part": 1}),),
    "concatenate": (Example({"a": (_X, _numbers), "b": ([[0.6, -0.4, 1.0]], _numbers)}),),
    "where": (
        Example({"mask": ([True, False, True], _mask), "a": (_X[0], _numbers), "b": ([0.6, -0.4, 2.0], _numbers)}),
    ),
    "masked_fill": (
        Example({"x": (_X, _numbers), "mask": ([[False, True, False], [True, False, True]], _mask)}, {"value": -1.0}),
    ),
    "matmul": (Example({"a": (_X, _numbers), "b": (_HEAD, _numbers)}),),
    "softmax": (Example({"x": (_LOGITS, _numbers)}),),
    "log_softmax": (Example({"x": (_LOGITS, _numbers)}),),
    "embedding": (Example({"table": (_HEAD, _numbers), "ids": ([2, 0, 2], _ids)}),),
    "linear": (Example({"x": (_X, _numbers), "weight": (_HEAD, _numbers), "bias": ([1.0, -0.6], _numbers)}),),
    "gelu": (
        Example({"x": ([-1.0, 0.4, 1.8], _numbers)}, title="The tanh form"),
        Example({"x": ([-1.0, 0.4, 1.8], _numbers)}, {"form": "erf"}, complex=False, title="The erf form"),
    ),
    "layer_norm": (
        Example(
            {
                "x": ([[0.5, -1.0, 2.0], [1.5, 1.0, -0.5]], _distinct_numbers),
                "gain": ([1.0, 0.6, -1.4], _numbers),
                "bias": ([0.2, -0.4, 0.0], _numbers),
            }
        ),
    ),
    "causal_attention": (
        Example({"qkv": (_QKV, _numbers)}, {"n_heads": 1}, title="One head"),
        Example(
            {"qkv": (_QKV, _numbers), "dropout_mask": (_KEEP, _dropout_mask)},
            {"n_heads": 2},
            ("dropout_mask",),
            title="Two heads, with dropout",
        ),
    ),
    "dropout": (
        Example({"x": (_X, _numbers), "mask": ([[2.0, 0.0, 2.0], [0.0, 2.0, 2.0]], _dropout_mask)}, {}, ("mask",)),
    ),
    "cross_entropy": (
        Example({"logits": (_LOGITS, _numbers), "targets": ([0, 1], _ids)}, title="The mean over all rows"),
        Example(
            {"logits": (_LOGITS, _numbers), "targets": ([0, 1], _shuffled_numbers)},
            {"ignore_index": 0},
            title="Without the rows whose target is ignored",
        ),
    ),
    "linear_cross_entropy": (
        Example({"x": ([[1.0, -0.4], [0.6, 1.8]], _numbers), "weight": (_HEAD, _numbers), "targets": ([0, 1], _ids)}),
    ),
}
