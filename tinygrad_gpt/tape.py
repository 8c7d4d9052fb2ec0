"""The tape: which op made which tensor, and how gradients go back through it.

`apply` runs an op on the tensors' arrays and saves the op's vjp in a node.  `backward` starts at the loss with
dLoss/dLoss = 1 and visits each node after all nodes that used its result (deepest first).  So a node's gradient is
complete when its vjp runs:

    dLoss/dparent  +=  vjp(dLoss/dnode)

A tensor that is used in several places gets one term from each of them.  Its gradient is their sum, by the chain rule
for several variables.

A node stores the shape of its result, not the entries.  The tape keeps in memory only the arrays that the vjps use.
They are references, not copies: if you write into `.data` between forward and backward, the gradients are wrong, and no
error is raised.  Optimizers write after backward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

from tinygrad_gpt import ops
from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels import context_value, dispatch, op_name
from tinygrad_gpt.notebook import as_html
from tinygrad_gpt.ops.where import check_mask
from tinygrad_gpt.ownership import pop_owned
from tinygrad_gpt.tensor_methods import Number, Operand, TensorMethods, array_of, as_array, as_operand, call_numpy

_recording: ContextVar[bool] = ContextVar("recording", default=True)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Node:
    """One op's result on the tape: the vjp, and the parents that get the vjp's gradients.

    A parent is a leaf or another node, or None for an input that requires no gradient.
    """

    op: str
    shape: tuple[int, ...]
    dtype: Any
    vjp: Vjp
    parents: tuple[Tensor | Node | None, ...]
    depth: int  # one more than the deepest parent's; a leaf's is 0

    def __str__(self) -> str:
        if self.vjp is _already_used:
            return f"{self.op}, already used by backward"
        inputs = ", ".join("a constant" if parent is None else str(parent.shape) for parent in self.parents)
        return f"{self.op} of {inputs}"


def apply(op: Callable[..., tuple[Array, Vjp]], *inputs: Operand, **settings: Any) -> Tensor:
    """Run op on the inputs' arrays, and put its vjp on the tape if an input requires a gradient.

    An op is a function on arrays that returns its result and its vjp, as those in `ops` do.  If it raises an error, the
    op's name and the shapes are put before the error's text.
    """
    arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
    name = op_name(op)
    try:
        out, vjp = dispatch(op, *arrays, **settings)(*arrays, **settings)
    except (ValueError, TypeError, IndexError) as error:
        if not callable(op):
            raise TypeError(f"op must be a function on arrays, such as ops.gelu; got {op!r}") from None
        kind = next(kind for kind in (ValueError, TypeError, IndexError) if isinstance(error, kind))
        shapes = ", ".join(str(getattr(array, "shape", array)) for array in arrays)
        raise kind(f"{name} of {shapes}: {error}") from error
    parents = tuple((x.node or x) if isinstance(x, Tensor) and x.requires_grad else None for x in inputs)
    if not is_recording() or all(parent is None for parent in parents):
        return Tensor(out)  # nobody stores the vjp: what it saved is freed
    depth = 1 + max((parent.depth for parent in parents if isinstance(parent, Node)), default=0)
    return Tensor(out, True, Node(name, tuple(out.shape), out.dtype, vjp, parents, depth))


@dataclass(eq=False, repr=False, slots=True, weakref_slot=True)
class Tensor(TensorMethods):
    """An array, and the node that made it.

    A leaf has no node.  You make it: Tensor(array, requires_grad=True).  `apply` makes all other tensors.  After
    backward, a leaf's `grad` is dLoss/dleaf, summed over all calls of `backward` since `grad` was last None.

    Optimizers write into the leaves that require a gradient.  Therefore such a leaf copies its array when it is made;
    `leaf_without_copy` makes one that uses the array itself.  Other tensors share the array that they are given.

    Operators and NumPy's methods are in the base class, `TensorMethods`.
    """

    data: Array
    requires_grad: bool = False
    node: Node | None = None  # None for a leaf, and where nothing is recorded
    grad: Array | None = None

    _apply = staticmethod(apply)  # what the operators call

    def __post_init__(self) -> None:
        if isinstance(self.data, Tensor):
            raise TypeError("data must be an array or numbers; got a Tensor")
        given = self.data
        self.data = as_array(given)
        if self.data.dtype.kind not in "fiub" and self.data.dtype.name != "bfloat16":
            raise TypeError(f"data must be an array of real numbers; got dtype {self.data.dtype}")
        if self.requires_grad and self.node is None:
            _check_floating(self.data)
            if not isinstance(given, list | tuple | Number):  # an array that others may hold, or a view of one
                self.data = array_module(self.data).array(self.data)

    def backward(self, dself: Array | None = None) -> None:
        """Add dLoss/dleaf to leaf.grad, for every leaf that requires a gradient.

        dself is dLoss/dself, the gradient to start with.  A scalar is the loss itself, and starts with 1.  A tape can
        be used once.  If several losses share a part of it, call backward on their sum: (a + b).backward().

        Raises ValueError as the function `backward` does; RuntimeError, before anything is added, if backward already
        ran on a part of the tape.  If a vjp raises, the terms that were computed before it have been added.
        """
        for leaf, grad in _leaf_gradients(self, dself):
            if leaf.grad is None:
                leaf.grad = grad
            else:
                leaf.grad += grad

    def detach(self) -> Tensor:
        """A tensor with the same array, detached from the tape."""
        return Tensor(self.data)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return call_numpy(function, args, kwargs, recording=is_recording())

    def _repr_html_(self) -> str:
        """For a notebook: shape, dtype, entries, the op that made them, and the gradient."""
        if self.node is not None:
            return as_html(self.data, {"made by": str(self.node), "gradient": "passed on, not stored: not a leaf"})
        if not self.requires_grad:
            return as_html(self.data, {"gradient": "not required"})
        norm = None if self.grad is None else math.sqrt(float((self.grad.astype("float64") ** 2).sum()))
        return as_html(self.data, {"gradient": "none yet" if norm is None else f"in .grad, of norm {norm:.4g}"})


def backward(loss: Tensor, dloss: Array | None = None) -> dict[Tensor, Array]:
    """dLoss/dleaf for every leaf that requires a gradient.

    dloss is the gradient to start with; a scalar loss starts with 1.  A tape can be used once: each node releases what
    its vjp saved as soon as the vjp has run.

    Raises ValueError if dloss is missing and the loss is not a scalar, if dloss has another shape or dtype than the
    loss, or if no leaf requires a gradient; RuntimeError if backward already ran on a part of the tape.
    """
    grads: dict[Tensor, Array] = {}
    for leaf, grad in _leaf_gradients(loss, dloss):
        if leaf in grads:
            grads[leaf] += grad
        else:
            grads[leaf] = grad
    return grads


def _leaf_gradients(loss: Tensor, dloss: Array | None) -> Iterator[tuple[Tensor, Array]]:
    """Go back through the tape and yield (leaf, term of its gradient) as soon as each term is known.

    A leaf may occur several times; its terms add up to its gradient.  Each term is an array that nobody else holds.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"loss must be a Tensor; got {type(loss).__name__}")
    if not loss.requires_grad:
        raise ValueError("backward needs a loss that depends on a tensor with requires_grad=True")
    if loss.node is None:
        yield loss, pop_owned([_first_gradient(loss, dloss)])
        return
    grads: dict[Node, Array] = {loss.node: _first_gradient(loss, dloss)}
    todo = deepest_first(loss)
    del loss, dloss  # so that this function does not keep used nodes and arrays alive
    while todo:
        node = todo.pop()
        vjp, parents, dy = node.vjp, node.parents, grads.pop(node)
        node.vjp, node.parents = _already_used, ()
        dparents = [*vjp(dy)]
        _check_gradients(vjp, parents, dparents)
        del vjp, dy
        dparents.reverse()  # so that pop() gives them in the order of parents
        for parent in parents:
            if isinstance(parent, Tensor):
                yield parent, pop_owned(dparents)
            elif parent is None:
                dparents.pop()
            elif parent in grads:
                grads[parent] = grads[parent] + dparents.pop()  # not +=: arrays may be shared
            else:
                grads[parent] = dparents.pop()


def _check_gradients(vjp: Vjp, parents: tuple[Tensor | Node | None, ...], dparents: list[Array | None]) -> None:
    """Raise ValueError unless each parent that needs a gradient gets one of its own shape and dtype."""
    for parent, grad in zip(parents, dparents, strict=True):
        if parent is not None and (grad is None or grad.shape != parent.shape or grad.dtype != parent.dtype):
            got = "None" if grad is None else f"{grad.dtype}{grad.shape}"
            raise ValueError(f"{vjp.__qualname__} must return {parent.dtype}{parent.shape}, as its input; got {got}")


def _first_gradient(loss: Tensor, dloss: Array | None) -> Array:
    """dloss, checked; without it dLoss/dLoss = 1."""
    if dloss is None:
        if loss.size != 1:
            raise ValueError(f"backward of a tensor of shape {loss.shape} needs dloss, a gradient of that shape")
        return array_module(loss.data).ones_like(loss.data)
    dloss = array_module(loss.data).asarray(dloss)
    if dloss.shape != loss.shape or dloss.dtype != loss.dtype:
        raise ValueError(f"dloss must be {loss.dtype}{loss.shape}, as the loss; got {dloss.dtype}{dloss.shape}")
    return dloss


def deepest_first(loss: Tensor) -> list[Node]:
    """Every node that the loss depends on, the deepest last: pop from the end to get each after all nodes that used it.

    Raises RuntimeError if backward already ran on one of them.
    """
    todo = [] if loss.node is None else [loss.node]
    seen = dict.fromkeys(todo)  # a dict has an order, a set has none: so sums are added in the same order every time
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
    """The vjp of a node whose own vjp has been used."""
    raise RuntimeError(
        "backward already ran on a part of this tape; add losses that share a part and call backward once, "
        "or run the forward pass again"
    )


def is_recording() -> bool:
    """Whether ops are recorded on the tape here: not within `no_grad`."""
    return _recording.get()


def no_grad() -> AbstractContextManager[None]:
    """Within this block, in this thread, nothing is recorded on the tape."""
    return context_value(_recording, False)


def recompute_in_backward(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """function(*inputs), saving only the inputs: backward runs the function a second time (activation checkpointing).

    This takes about 1.5 times as long, but memory does not grow with what function saves.  function must compute the
    same both times, and must not depend on another tensor that requires a gradient.
    Source.  Chen et al. 2016, arXiv:1604.06174, section 3.
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
        with context_value(_recording, True):
            return backward(function(*leaves), dy)

    context = copy_context()  # the second run has the settings of the first: precision, kernels, observers
    op.__name__ = "recomputed"
    return apply(op, *inputs)


def concatenate(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Tensors joined along an axis.  Arrays and lists among them are constants."""
    if not len(tensors):
        raise ValueError("concatenate needs one tensor or more; got none")
    return apply(ops.concatenate, *(as_operand(tensor, _first_tensor(*tensors)) for tensor in tensors), axis=axis)


def where(mask: Array, a: Operand, b: Operand) -> Tensor:
    """Entries of a where the mask, an array of bool, is True, and of b elsewhere; a and b may be arrays or numbers."""
    like = _first_tensor(a, b)
    mask = array_of(mask)
    check_mask(mask)  # the op checks it too, but after dispatch, which needs an array
    return apply(ops.where, mask, as_operand(a, like), as_operand(b, like))


def _first_tensor(*operands: Operand) -> Tensor:
    """The first operand that is a Tensor, else a Tensor of the first: numbers beside it take its dtype."""
    found = [x for x in operands if isinstance(x, Tensor)]
    return found[0] if found else Tensor(operands[0])


def _check_floating(array: Array) -> None:
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise TypeError(f"requires_grad needs floating-point data; got {array.dtype}")


def leaf_without_copy(array: Array) -> Tensor:
    """A leaf that requires a gradient and uses this very array, not a copy: the caller must not write to it again."""
    _check_floating(array)
    leaf = Tensor(array)
    leaf.requires_grad = True
    return leaf
