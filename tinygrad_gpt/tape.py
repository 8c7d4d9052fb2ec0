"""The tape: which op made which tensor, and the walk back.

`apply` runs an op on the tensors' arrays and keeps its vjp in a node.  `backward` starts at the loss with
dLoss/dLoss = 1 and visits every node after all nodes that were made from it (deepest first), so that its gradient is
complete when it is handed on:

    dLoss/dparent  +=  vjp(dLoss/dnode)

A tensor used in several places receives one term from each: that sum is the chain rule of several variables.

A node knows its result's shape, not its entries: what the vjps mention is all that the tape keeps in memory.
What a vjp needs is kept by reference, not copied: writing into `.data` between forward and backward changes gradients,
and nothing notices.  Optimizers write after backward.
"""

from __future__ import annotations

import math
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_gpt import ops
from tinygrad_gpt.backend import Array, Vjp, array_module, to_host
from tinygrad_gpt.checks import at_least_one, equal_rows, number
from tinygrad_gpt.kernels import context_value, dispatch
from tinygrad_gpt.notebook import as_html
from tinygrad_gpt.ops.where import check_mask

_recording: ContextVar[bool] = ContextVar("recording", default=True)

Number = float | int
Operand = Any  # Tensor, Array or Number


@dataclass(eq=False, slots=True, weakref_slot=True)
class Node:
    """One op's result on the tape: the way back to what it was made from.

    Parents are leaves or other nodes; None stands for what asked for no gradient.
    """

    op: str
    shape: tuple[int, ...]
    dtype: Any
    vjp: Vjp
    parents: tuple[Tensor | Node | None, ...]
    depth: int  # one more than the deepest parent's; a leaf's is 0

    def __str__(self) -> str:
        if self.vjp is _already_used:
            return f"{self.op}, and backward has been through"
        inputs = ", ".join("a constant" if parent is None else str(parent.shape) for parent in self.parents)
        return f"{self.op} of {inputs}"


@dataclass(eq=False, slots=True, weakref_slot=True)
class Tensor:
    """An array, and where it came from.

    A leaf is made by hand: Tensor(array, requires_grad=True).  All others are made by `apply`.  `grad` of a leaf is
    dLoss/dself, summed over the calls of `backward` since it was last None; the array is the leaf's own.

    A leaf that asks for a gradient is what optimizers write to.  So it copies its array when it is made, and nobody
    else's numbers change with it; `leaf_without_copy` makes a leaf on the array itself.  Other tensors share theirs.

    Comparisons are entry by entry and give arrays of bool, as NumPy's.  In a dict or a set a tensor is itself alone,
    whatever its entries.
    """

    data: Array
    requires_grad: bool = False
    node: Node | None = None  # None for a leaf, and where nothing is recorded
    grad: Array | None = None

    __array_ufunc__ = None  # array + tensor is our business, not NumPy's

    def __post_init__(self) -> None:
        if isinstance(self.data, Tensor):
            raise TypeError("data must be an array or numbers; got a Tensor")
        given = self.data
        self.data = _as_array(given)
        if self.data.dtype.kind not in "fiub" and self.data.dtype.name != "bfloat16":
            raise TypeError(f"data must be an array or numbers, real ones; got dtype {self.data.dtype}")
        if self.requires_grad and self.node is None:
            _check_floating(self.data)
            if not isinstance(given, list | tuple | Number):  # somebody's memory, by whatever name
                self.data = array_module(self.data).array(self.data)

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
        """How many axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many entries."""
        return math.prod(self.shape)

    def backward(self, dself: Array | None = None) -> None:
        """Add dself/dt to t.grad, for every leaf t that asked for it.

        The tape is walked once.  Losses that share a part of it are added up, and the sum walked: (a + b).backward().
        Raises RuntimeError, before anything is added, if a part of it has been walked before.  If a vjp raises, the
        terms met before it have been added.
        """
        for leaf, grad in _leaf_gradients(self, dself):
            if leaf.grad is None:
                leaf.grad = grad
            else:
                leaf.grad += grad

    def detach(self) -> Tensor:
        """The same array, come from nowhere."""
        return Tensor(self.data)

    def item(self) -> float:
        """The one entry, as a Python number.  On a GPU this waits for the device.

        Raises ValueError if there is not exactly one.
        """
        if self.size != 1:
            raise ValueError(f"item needs a tensor of one entry; this one has shape {self.shape}")
        return float(self.data.item())

    def numpy(self) -> Array:
        """The entries as NumPy's array: `.data` itself on a CPU, a copy from a GPU, which this waits for."""
        return to_host(self.data)

    def tolist(self) -> Any:
        """The entries as Python numbers, in lists as deep as there are axes."""
        return self.data.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if array_module(self.data) is not np:
            raise TypeError("a tensor on a GPU is not a NumPy array; use .numpy() to copy it to the host")
        return np.array(self.data, dtype, copy=copy)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's functions on tensors: comparing ones alone where a gradient would be lost without a word."""
        tensors = [x for x in _flattened((args, kwargs)) if isinstance(x, Tensor)]
        if function not in _WITHOUT_GRADIENT and _recording.get() and any(x.requires_grad for x in tensors):
            raise TypeError(f"np.{function.__name__} gives no gradient: use a tensor's own method, or give it .numpy()")
        return function(*_with_arrays(args), **_with_arrays(kwargs))

    def __float__(self) -> float:
        return self.item()

    def __bool__(self) -> bool:
        return bool(self.data)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a tensor of shape () has no length")
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Tensor({self.data!r}{', requires_grad=True' if self.requires_grad else ''})"

    def _repr_html_(self) -> str:
        """What a notebook shows: shape, dtype, entries, where they came from, and the gradient."""
        if self.node is not None:
            return as_html(self.data, {"made by": str(self.node), "gradient": "passed on, not kept: this is no leaf"})
        if not self.requires_grad:
            return as_html(self.data, {"gradient": "not asked for"})
        norm = None if self.grad is None else math.sqrt(float((self.grad.astype("float64") ** 2).sum()))
        return as_html(self.data, {"gradient": "none yet" if norm is None else f"in .grad, of norm {norm:.4g}"})

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if self.size != 1:
            raise TypeError(f"{spec!r} formats one number; this tensor has shape {self.shape}")
        return format(self.data.item(), spec)

    __hash__ = object.__hash__  # by identity: tensors are keys

    def __eq__(self, other: Operand) -> Array:
        return self.data == _array_of(other)

    def __ne__(self, other: Operand) -> Array:
        return self.data != _array_of(other)

    def __lt__(self, other: Operand) -> Array:
        return self.data < _array_of(other)

    def __le__(self, other: Operand) -> Array:
        return self.data <= _array_of(other)

    def __gt__(self, other: Operand) -> Array:
        return self.data > _array_of(other)

    def __ge__(self, other: Operand) -> Array:
        return self.data >= _array_of(other)

    def __add__(self, other: Operand) -> Tensor:
        return apply(ops.add, self, _as_operand(other, self))

    def __radd__(self, other: Operand) -> Tensor:
        return apply(ops.add, _as_operand(other, self), self)

    def __sub__(self, other: Operand) -> Tensor:
        return apply(ops.subtract, self, _as_operand(other, self))

    def __rsub__(self, other: Operand) -> Tensor:
        return apply(ops.subtract, _as_operand(other, self), self)

    def __mul__(self, other: Operand) -> Tensor:
        return apply(ops.multiply, self, _as_operand(other, self))

    def __rmul__(self, other: Operand) -> Tensor:
        return apply(ops.multiply, _as_operand(other, self), self)

    def __truediv__(self, other: Operand) -> Tensor:
        return apply(ops.divide, self, _as_operand(other, self))

    def __rtruediv__(self, other: Operand) -> Tensor:
        return apply(ops.divide, _as_operand(other, self), self)

    def __pow__(self, other: Operand) -> Tensor:
        return apply(ops.power, self, _as_operand(other, self))

    def __rpow__(self, other: Operand) -> Tensor:
        return apply(ops.power, _as_operand(other, self), self)

    def __matmul__(self, other: Operand) -> Tensor:
        return apply(ops.matmul, self, _as_operand(other, self))

    def __rmatmul__(self, other: Operand) -> Tensor:
        return apply(ops.matmul, _as_operand(other, self), self)

    def __neg__(self) -> Tensor:
        return apply(ops.negative, self)

    def __abs__(self) -> Tensor:
        if not self.requires_grad:
            return Tensor(abs(self.data))  # unsigned numbers have no negative ones
        return self.relu() + (-self).relu()  # of slope 0 at 0

    def __getitem__(self, key: Any) -> Tensor:
        parts = key if isinstance(key, tuple) else (key,)
        parts = tuple(part.data if isinstance(part, Tensor) else part for part in parts)
        return apply(ops.getitem, self, key=parts if isinstance(key, tuple) else parts[0])

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's name)
        """The axes reversed."""
        return apply(ops.transpose, self)

    def exp(self) -> Tensor:
        """e to the power of each entry."""
        return apply(ops.exp, self)

    def log(self) -> Tensor:
        """Natural logarithm of each entry."""
        return apply(ops.log, self)

    def sqrt(self) -> Tensor:
        """Square root of each entry."""
        return apply(ops.sqrt, self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent of each entry."""
        return apply(ops.tanh, self)

    def relu(self) -> Tensor:
        """max(x, 0) of each entry."""
        return apply(ops.relu, self)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Sum over axes."""
        return apply(ops.sum, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Mean over axes."""
        return apply(ops.mean, self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Largest entry along axes."""
        return apply(ops.max, self, axis=axis, keepdims=keepdims)

    def var(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """Variance along axes, divided by n - ddof."""
        return apply(ops.var, self, axis=axis, keepdims=keepdims, ddof=ddof)

    def std(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """Standard deviation along axes, the root of `var`.

        Where all entries are equal its gradient is nan: take (x.var() + eps).sqrt().
        """
        return self.var(axis, keepdims, ddof).sqrt()

    def reshape(self, *shape: Any) -> Tensor:
        """The same entries in another shape: x.reshape(2, -1) or x.reshape((2, -1))."""
        return apply(ops.reshape, self, shape=_as_tuple(shape))

    def transpose(self, *axes: Any) -> Tensor:
        """Axes in another order; reversed if none is named."""
        return apply(ops.transpose, self, axes=_as_tuple(axes) or None)

    def broadcast_to(self, shape: tuple[int, ...]) -> Tensor:
        """Entries repeated to fill a larger shape."""
        return apply(ops.broadcast_to, self, shape=shape)

    def split(self, sections: int, axis: int = -1) -> tuple[Tensor, ...]:
        """Equal parts along an axis."""
        parts = range(at_least_one("sections", sections))
        return tuple(apply(ops.split, self, sections=sections, part=i, axis=axis) for i in parts)

    def masked_fill(self, mask: Array, value: float) -> Tensor:
        """This tensor, but `value` where the mask, an array of bool, is set."""
        number("value", value, "a number", lambda _: True)
        return apply(ops.masked_fill, self, _array_of(mask), value=value)

    def softmax(self, axis: int = -1) -> Tensor:
        """Probabilities proportional to e^x."""
        return apply(ops.softmax, self, axis=axis)

    def log_softmax(self, axis: int = -1) -> Tensor:
        """Logarithms of the softmax."""
        return apply(ops.log_softmax, self, axis=axis)


def apply(op: Callable[..., tuple[Array, Vjp]], *inputs: Operand, **settings: Any) -> Tensor:
    """Run op on the inputs' arrays; remember the way back if anybody asked for a gradient."""
    arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
    name = getattr(op, "__name__", repr(op))  # a partial has none
    try:
        out, vjp = dispatch(op, *arrays, **settings)(*arrays, **settings)
    except (ValueError, TypeError, IndexError) as error:
        if not callable(op):
            raise TypeError(f"op must be a function on arrays, such as ops.gelu; got {op!r}") from None
        kind = next(kind for kind in (ValueError, TypeError, IndexError) if isinstance(error, kind))
        shapes = ", ".join(str(getattr(array, "shape", array)) for array in arrays)
        raise kind(f"{name} of {shapes}: {error}") from error
    parents = tuple((x.node or x) if isinstance(x, Tensor) and x.requires_grad else None for x in inputs)
    if not _recording.get() or all(parent is None for parent in parents):
        return Tensor(out)  # the vjp, and all it held, ends here
    depth = 1 + max((parent.depth for parent in parents if isinstance(parent, Node)), default=0)
    return Tensor(out, True, Node(name, tuple(out.shape), out.dtype, vjp, parents, depth))


def backward(loss: Tensor, dloss: Array | None = None) -> dict[Tensor, Array]:
    """dLoss/dt for every leaf t that requires it.  A tape is walked once: what was saved is let go on the way.

    dloss is the gradient to start with; a scalar loss starts with 1.

    Raises ValueError if the loss is no scalar and dloss is missing or has another shape or dtype, or if no leaf asked
    for a gradient; RuntimeError if a part of the tape has been walked before.
    """
    grads: dict[Tensor, Array] = {}
    for leaf, grad in _leaf_gradients(loss, dloss):
        if leaf in grads:
            grads[leaf] += grad
        else:
            grads[leaf] = grad
    return grads


def _leaf_gradients(loss: Tensor, dloss: Array | None) -> Iterator[tuple[Tensor, Array]]:
    """The way back: one (leaf, term of its gradient) after another; the terms of a leaf add up to its gradient.

    A leaf may be met often.  Each term is handed over as soon as it is known, in an array that nobody else holds.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"loss must be a Tensor; got {type(loss).__name__}")
    if not loss.requires_grad:
        raise ValueError("backward needs a loss that depends on a tensor with requires_grad=True")
    if loss.node is None:
        yield loss, _pop_owned([_start_of(loss, dloss)])
        return
    grads: dict[Node, Array] = {loss.node: _start_of(loss, dloss)}
    todo = deepest_first(loss)
    del loss, dloss  # so that nothing here keeps alive what has been dealt with
    while todo:
        node = todo.pop()
        vjp, parents, dy = node.vjp, node.parents, grads.pop(node)
        node.vjp, node.parents = _already_used, ()
        answers = [*vjp(dy)]
        _check_answers(vjp, parents, answers)
        del vjp, dy
        answers.reverse()
        for parent in parents:
            if isinstance(parent, Tensor):
                yield parent, _pop_owned(answers)
            elif parent is None:
                answers.pop()
            elif parent in grads:
                grads[parent] = grads[parent] + answers.pop()  # not +=: arrays may be shared
            else:
                grads[parent] = answers.pop()


def _check_answers(vjp: Vjp, parents: tuple[Tensor | Node | None, ...], answers: list[Array | None]) -> None:
    """Raise ValueError unless a vjp has answered one gradient for each parent that waits for one, like the parent."""
    for parent, grad in zip(parents, answers, strict=True):
        if parent is not None and (grad is None or grad.shape != parent.shape or grad.dtype != parent.dtype):
            got = "None" if grad is None else f"{grad.dtype}{grad.shape}"
            raise ValueError(f"{vjp.__qualname__} must answer {parent.dtype}{parent.shape}, as its input; got {got}")


def _start_of(loss: Tensor, dloss: Array | None) -> Array:
    """The gradient a walk starts with, checked."""
    if dloss is None:
        if loss.size != 1:
            raise ValueError(f"backward of a tensor of shape {loss.shape} needs dloss, a gradient of that shape")
        return array_module(loss.data).ones_like(loss.data)
    dloss = array_module(loss.data).asarray(dloss)
    if dloss.shape != loss.shape or dloss.dtype != loss.dtype:
        raise ValueError(f"dloss must be {loss.dtype}{loss.shape}, as the loss; got {dloss.dtype}{dloss.shape}")
    return dloss


def deepest_first(loss: Tensor) -> list[Node]:
    """Every node the loss came from, to be popped from the end: each after all nodes that used it.

    Raises RuntimeError if one of them has been walked before.
    """
    todo = [] if loss.node is None else [loss.node]
    seen = dict.fromkeys(todo)  # a dict keeps its order, a set does not: the same sums every time
    while todo:
        node = todo.pop()
        if node.vjp is _already_used:
            _already_used(None)
        for parent in node.parents:
            if isinstance(parent, Node) and parent not in seen:
                seen[parent] = None
                todo.append(parent)
    return sorted(reversed(seen), key=lambda node: node.depth)


def _already_used(dy: Array) -> tuple[Array | None, ...]:
    """Stands in for a vjp that has been used."""
    raise RuntimeError(
        "backward has been through a part of this already; add losses that share one and call backward once, "
        "or run the forward pass again"
    )


def no_grad() -> AbstractContextManager[None]:
    """Within this block (and thread) nothing is recorded."""
    return _set_recording(False)


def _set_recording(on: bool) -> AbstractContextManager[None]:
    """Within this block (and thread) the tape is, or is not, written."""
    return context_value(_recording, on)


def recompute_in_backward(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """function(*inputs), of which nothing but the inputs is kept: on the way back it runs a second time.

    Half as much time again for memory that no longer grows with what function saves.  It must do the same both times,
    and depend on no other tensor that asks for a gradient.
    Source.  Chen et al. 2016, arXiv:1604.06174, section 3, where it is called checkpointing.
    """

    def op(*arrays: Array) -> tuple[Array, Vjp]:
        """Backward: the block runs again from its saved inputs, then its own backward gives the gradients."""
        with no_grad():
            out = function(*map(Tensor, arrays)).data

        def vjp(dy: Array) -> tuple[Array | None, ...]:
            pairs = zip(arrays, inputs, strict=True)
            leaves = [leaf_without_copy(array) if x.requires_grad else Tensor(array) for array, x in pairs]
            grads = context.run(gradients, leaves, dy)
            for leaf in leaves:
                if leaf.requires_grad and leaf not in grads:
                    grads[leaf] = array_module(dy).zeros_like(leaf.data)
            return tuple(grads.get(leaf) for leaf in leaves)

        return out, vjp

    def gradients(leaves: list[Tensor], dy: Array) -> dict[Tensor, Array]:
        with _set_recording(True):
            return backward(function(*leaves), dy)

    context = copy_context()  # with kernels or without, say: the second time as the first
    op.__name__ = "recomputed"
    return apply(op, *inputs)


def concatenate(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Tensors joined along an axis; arrays and lists among them take part as constants."""
    if not len(tensors):
        raise ValueError("concatenate needs one tensor or more; got none")
    return apply(ops.concatenate, *(_as_operand(tensor, _first_tensor(*tensors)) for tensor in tensors), axis=axis)


def where(mask: Array, a: Operand, b: Operand) -> Tensor:
    """Entries of a where the mask, an array of bool, is set, of b elsewhere; either may be an array or a number."""
    like = _first_tensor(a, b)
    mask = _array_of(mask)
    check_mask(mask)  # which the op does too, but a lone False does not get there
    return apply(ops.where, mask, _as_operand(a, like), _as_operand(b, like))


def _first_tensor(*operands: Operand) -> Tensor:
    """The first that is a Tensor, else the first made one: what numbers among the operands take their dtype from."""
    found = [x for x in operands if isinstance(x, Tensor)]
    return found[0] if found else Tensor(operands[0])


_WITHOUT_GRADIENT = {
    np.allclose,
    np.array_equal,
    np.array_equiv,
    np.isclose,
    np.shape,
    np.ndim,
    np.size,
}  # nothing to derive


def _flattened(values: Any) -> Iterator[Any]:
    """What is in tuples, lists and dicts of each other."""
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, tuple | list):
        yield values
        return
    for value in values:
        yield from _flattened(value)


def _with_arrays(values: Any) -> Any:
    """The same tuples, lists and dicts, with the tensors' arrays in the place of tensors."""
    if isinstance(values, Tensor):
        return np.asarray(values)
    if isinstance(values, dict):
        return {name: _with_arrays(value) for name, value in values.items()}
    return type(values)(map(_with_arrays, values)) if isinstance(values, tuple | list) else values


def _as_tuple(values: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from f(2, 3) and from f((2, 3))."""
    return tuple(values[0]) if len(values) == 1 and isinstance(values[0], tuple | list) else values


def _as_operand(other: Operand, x: Tensor) -> Tensor | Array:
    """other as an operand beside x.  A number takes x's dtype, so it never promotes (but 0.5 beside integers does)."""
    if isinstance(other, np.generic):
        other = other.item()  # NumPy's numbers promote, Python's do not
    if isinstance(other, Tensor) or hasattr(other, "__array_ufunc__"):
        return other
    xp = array_module(x.data)
    if isinstance(other, Number):
        return xp.full((), other, np.result_type(x.dtype, other))  # filled there: nothing to upload to a GPU
    return xp.asarray(_as_array(other))


def _as_array(values: Any) -> Array:
    """An array as it is; numbers in lists as NumPy's.  Tensors in lists are refused: their way back would be lost."""
    if hasattr(values, "__array_ufunc__"):
        return values
    if _holds_tensors(values):
        raise TypeError("an array cannot be made of tensors in a list; join them with concatenate")
    array = np.asarray(equal_rows("data", values))
    if array.dtype.kind not in "fiub":
        raise TypeError(f"data must be an array or numbers; got {values!r}")
    return array


def _holds_tensors(values: Any) -> bool:
    """Whether a tensor is somewhere in lists of lists."""
    return isinstance(values, Tensor) or (isinstance(values, list | tuple) and any(map(_holds_tensors, values)))


def _array_of(x: Operand) -> Any:
    """A tensor's array; a list as an array; a number, or an array, as it is."""
    if isinstance(x, Tensor):
        return x.data
    return _as_array(x) if isinstance(x, list | tuple) else x


def _check_floating(array: Array) -> None:
    """Raise TypeError for what has no gradient."""
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise TypeError(f"requires_grad needs floating-point data; got {array.dtype}")


def leaf_without_copy(array: Array) -> Tensor:
    """A leaf that asks for a gradient, on this very array: not a copy, and its maker's no more."""
    _check_floating(array)
    leaf = Tensor(array)
    leaf.requires_grad = True
    return leaf


def _pop_owned(arrays: list[Array]) -> Array:
    """The last of the arrays, taken from the list: itself if nobody else holds it, else a copy.  In C order.

    A gradient of many megabytes is handed to its leaf and not copied; but what a vjp has saved, what another leaf or
    node was handed, or the caller's own array, is theirs.  Where holders cannot be counted, all are copied.
    """
    alone = _COUNTS_TELL and _references(arrays) == _UNSHARED
    array = arrays.pop()
    alone = alone and array.base is None and not isinstance(array, np.generic)
    if alone and array.flags.c_contiguous and getattr(array.flags, "writeable", True):  # CuPy's always are
        return array
    return array_module(array).array(array, order="C")


def _references(arrays: list[Array]) -> int:
    """How many references there are to the last of the arrays.

    The list's own is one, the call's another.  It is asked for as an entry of the list, not by a variable: since
    Python 3.14 a variable that is used may lend its reference, which is then counted once and not twice.
    """
    return sys.getrefcount(arrays[-1])


_UNSHARED = 2


def _counts_tell() -> bool:
    """Whether references, counted, tell an array that somebody else holds from one that nobody does.

    Tried on arrays of which it is known.  Without the lock (GIL) another thread may count as well, so there no.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED") or not hasattr(sys, "getrefcount"):
        return False
    variable, entries, key = np.empty(0), [np.empty(0)], {"entry": np.empty(0)}
    held = [
        _references([variable]),
        _references([entries[0]]),
        _references([key["entry"]]),
        _references([(lambda: variable)()]),
        *(_references([array]) for array in [np.empty(0)]),
        (lambda argument: _references([argument]))(np.empty(0)),
    ]
    return _references([np.empty(0)]) == _UNSHARED < min(held)


_COUNTS_TELL = _counts_tell()
