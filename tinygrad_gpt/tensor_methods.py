"""What a tensor can do beside `backward`: Python's operators, NumPy's method names, and ways to look at it.

A method that has a gradient runs its op through `apply`.  All others read the array and return plain arrays, numbers
or text, on which no gradient is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np

from tinygrad_gpt import ops
from tinygrad_gpt.backend import Array, array_module, to_host
from tinygrad_gpt.checks import at_least_one, equal_rows, number

Number = float | int
Operand = Any  # a tensor, Array or Number

# Comparisons and shapes: they have no derivative.
_WITHOUT_GRADIENT = {np.allclose, np.array_equal, np.array_equiv, np.isclose, np.shape, np.ndim, np.size}


class TensorMethods:
    """The methods of `Tensor`, which adds the state: the array, its node and its gradient.

    Comparisons compare entry by entry and return arrays of bool, as NumPy's do.  In a dict or a set a tensor equals
    only itself, whatever its entries are.
    """

    __slots__ = ()

    data: Array
    requires_grad: bool
    _apply: Callable[..., Self]  # tape.apply

    __array_ufunc__ = None  # NumPy leaves array + tensor to the tensor
    __hash__ = object.__hash__  # by identity: tensors are keys

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return tuple(self.data.shape)

    @property
    def dtype(self) -> Any:
        """The array's dtype."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    def item(self) -> float:
        """The only entry, as a Python number.  On a GPU this waits for the device.

        Raises ValueError unless there is exactly one entry.
        """
        if self.size != 1:
            raise ValueError(f"item needs a tensor of one entry; this one has shape {self.shape}")
        return float(self.data.item())

    def numpy(self) -> Array:
        """The entries as a NumPy array: on a CPU `.data` itself, on a GPU a copy, for which it waits."""
        return to_host(self.data)

    def tolist(self) -> Any:
        """The entries as Python numbers in nested lists, one level per axis."""
        return self.data.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if array_module(self.data) is not np:
            raise TypeError("a tensor on a GPU is not a NumPy array; use .numpy() to copy it to the host")
        return np.array(self.data, dtype, copy=copy)

    def __float__(self) -> float:
        return self.item()

    def __bool__(self) -> bool:
        return bool(self.data)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a tensor of shape () has no length")
        return len(self.data)

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Tensor({self.data!r}{', requires_grad=True' if self.requires_grad else ''})"

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if self.size != 1:
            raise TypeError(f"{spec!r} formats one number; this tensor has shape {self.shape}")
        return format(self.data.item(), spec)

    def __eq__(self, other: Operand) -> Array:
        return self.data == array_of(other)

    def __ne__(self, other: Operand) -> Array:
        return self.data != array_of(other)

    def __lt__(self, other: Operand) -> Array:
        return self.data < array_of(other)

    def __le__(self, other: Operand) -> Array:
        return self.data <= array_of(other)

    def __gt__(self, other: Operand) -> Array:
        return self.data > array_of(other)

    def __ge__(self, other: Operand) -> Array:
        return self.data >= array_of(other)

    def __add__(self, other: Operand) -> Self:
        return self._apply(ops.add, self, as_operand(other, self))

    def __radd__(self, other: Operand) -> Self:
        return self._apply(ops.add, as_operand(other, self), self)

    def __sub__(self, other: Operand) -> Self:
        return self._apply(ops.subtract, self, as_operand(other, self))

    def __rsub__(self, other: Operand) -> Self:
        return self._apply(ops.subtract, as_operand(other, self), self)

    def __mul__(self, other: Operand) -> Self:
        return self._apply(ops.multiply, self, as_operand(other, self))

    def __rmul__(self, other: Operand) -> Self:
        return self._apply(ops.multiply, as_operand(other, self), self)

    def __truediv__(self, other: Operand) -> Self:
        return self._apply(ops.divide, self, as_operand(other, self))

    def __rtruediv__(self, other: Operand) -> Self:
        return self._apply(ops.divide, as_operand(other, self), self)

    def __pow__(self, other: Operand) -> Self:
        return self._apply(ops.power, self, as_operand(other, self))

    def __rpow__(self, other: Operand) -> Self:
        return self._apply(ops.power, as_operand(other, self), self)

    def __matmul__(self, other: Operand) -> Self:
        return self._apply(ops.matmul, self, as_operand(other, self))

    def __rmatmul__(self, other: Operand) -> Self:
        return self._apply(ops.matmul, as_operand(other, self), self)

    def __neg__(self) -> Self:
        return self._apply(ops.negative, self)

    def __abs__(self) -> Self:
        if not self.requires_grad:
            return type(self)(abs(self.data))  # type: ignore[call-arg]  # -self of unsigned numbers would wrap
        return self.relu() + (-self).relu()  # of slope 0 at 0

    def __getitem__(self, key: Any) -> Self:
        parts = key if isinstance(key, tuple) else (key,)
        parts = tuple(part.data if isinstance(part, TensorMethods) else part for part in parts)
        return self._apply(ops.getitem, self, key=parts if isinstance(key, tuple) else parts[0])

    @property
    def T(self) -> Self:  # noqa: N802 (NumPy's name)
        """The axes reversed."""
        return self._apply(ops.transpose, self)

    def exp(self) -> Self:
        """e to the power of each entry."""
        return self._apply(ops.exp, self)

    def log(self) -> Self:
        """Natural logarithm of each entry."""
        return self._apply(ops.log, self)

    def sqrt(self) -> Self:
        """Square root of each entry."""
        return self._apply(ops.sqrt, self)

    def tanh(self) -> Self:
        """Hyperbolic tangent of each entry."""
        return self._apply(ops.tanh, self)

    def relu(self) -> Self:
        """max(x, 0) of each entry."""
        return self._apply(ops.relu, self)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Self:
        """Sum over axes."""
        return self._apply(ops.sum, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Self:
        """Mean over axes."""
        return self._apply(ops.mean, self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Self:
        """Largest entry along axes."""
        return self._apply(ops.max, self, axis=axis, keepdims=keepdims)

    def var(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Self:
        """Variance along axes, divided by n - ddof."""
        return self._apply(ops.var, self, axis=axis, keepdims=keepdims, ddof=ddof)

    def std(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Self:
        """Standard deviation along axes, the square root of `var`.

        Where all entries are equal, its gradient is nan: use (x.var() + eps).sqrt().
        """
        return self.var(axis, keepdims, ddof).sqrt()

    def reshape(self, *shape: Any) -> Self:
        """The entries in another shape: x.reshape(2, -1) or x.reshape((2, -1))."""
        return self._apply(ops.reshape, self, shape=_as_tuple(shape))

    def transpose(self, *axes: Any) -> Self:
        """The axes in another order; reversed if none is given."""
        return self._apply(ops.transpose, self, axes=_as_tuple(axes) or None)

    def broadcast_to(self, shape: tuple[int, ...]) -> Self:
        """Entries repeated to fill a larger shape."""
        return self._apply(ops.broadcast_to, self, shape=shape)

    def split(self, sections: int, axis: int = -1) -> tuple[Self, ...]:
        """Equal parts along an axis."""
        parts = range(at_least_one("sections", sections))
        return tuple(self._apply(ops.split, self, sections=sections, part=i, axis=axis) for i in parts)

    def masked_fill(self, mask: Array, value: float) -> Self:
        """A copy with `value` where the mask, an array of bool, is True."""
        number("value", value, "a number", lambda _: True)
        return self._apply(ops.masked_fill, self, array_of(mask), value=value)

    def softmax(self, axis: int = -1) -> Self:
        """Probabilities proportional to e^x, along an axis."""
        return self._apply(ops.softmax, self, axis=axis)

    def log_softmax(self, axis: int = -1) -> Self:
        """Natural logarithms of the softmax, along an axis."""
        return self._apply(ops.log_softmax, self, axis=axis)


def call_numpy(function: Any, args: Any, kwargs: Any, *, recording: bool) -> Any:
    """The result of a NumPy function, called with the array of each tensor among its arguments.

    Raises TypeError where that would silently lose a gradient: then only comparisons and shapes are allowed.
    """
    needs_gradient = any(isinstance(x, TensorMethods) and x.requires_grad for x in _flatten((args, kwargs)))
    if recording and needs_gradient and function not in _WITHOUT_GRADIENT:
        raise TypeError(f"np.{function.__name__} gives no gradient: use a tensor's own method, or give it .numpy()")
    return function(*_with_arrays(args), **_with_arrays(kwargs))


def _flatten(values: Any) -> Iterator[Any]:
    """The values inside nested tuples, lists and dicts, one after another."""
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, tuple | list):
        yield values
        return
    for value in values:
        yield from _flatten(value)


def _with_arrays(values: Any) -> Any:
    """The same nested tuples, lists and dicts, with each tensor replaced by its array."""
    if isinstance(values, TensorMethods):
        return np.asarray(values)
    if isinstance(values, dict):
        return {name: _with_arrays(value) for name, value in values.items()}
    return type(values)(map(_with_arrays, values)) if isinstance(values, tuple | list) else values


def _as_tuple(values: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from f(2, 3) and from f((2, 3))."""
    return tuple(values[0]) if len(values) == 1 and isinstance(values[0], tuple | list) else values


def as_operand(other: Operand, x: TensorMethods) -> Any:
    """other as the second operand of an op on x: a tensor or an array.

    A number takes x's dtype, so it does not promote x.  The one exception is a float, such as 0.5, beside integers.
    """
    if isinstance(other, np.generic):
        other = other.item()  # NumPy's numbers promote, Python's do not
    if isinstance(other, TensorMethods) or hasattr(other, "__array_ufunc__"):
        return other
    xp = array_module(x.data)
    if isinstance(other, Number):
        return xp.full((), other, np.result_type(x.dtype, other))  # on x's device: nothing to upload to a GPU
    return xp.asarray(as_array(other))


def as_array(values: Any) -> Array:
    """An array unchanged; numbers in lists as a NumPy array.

    Raises TypeError for tensors in a list, because their gradients would be lost.
    """
    if hasattr(values, "__array_ufunc__"):
        return values
    if _holds_tensors(values):
        raise TypeError("an array cannot be made of tensors in a list; join them with concatenate")
    array = np.asarray(equal_rows("data", values))
    if array.dtype.kind not in "fiub":
        raise TypeError(f"data must be an array or numbers; got {values!r}")
    return array


def _holds_tensors(values: Any) -> bool:
    return isinstance(values, TensorMethods) or (isinstance(values, list | tuple) and any(map(_holds_tensors, values)))


def array_of(x: Operand) -> Any:
    """A tensor's array; a list as an array; a number or an array unchanged."""
    if isinstance(x, TensorMethods):
        return x.data
    return as_array(x) if isinstance(x, list | tuple) else x
