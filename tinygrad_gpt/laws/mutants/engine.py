"""A small right engine, and engines that differ from it in one method."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_gpt.laws.engine.under_test import EngineUnderTest
from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutants.mutant import Mutant

Vjp = Callable[[Array], tuple[Array, ...]]


class Node:
    """A value, and where it came from."""

    def __init__(self, data: Array, asks: bool = False, parents: tuple["Node", ...] = (), vjp: Vjp | None = None):
        self.data, self.asks, self.parents, self.vjp = data, asks, parents, vjp
        self.depth: int = 1 + max(p.depth for p in parents) if parents else 0
        self.grad: Array | None = None


def add(a: Array, b: Array) -> tuple[Array, Vjp]:
    """Hands one array to both."""
    return a + b, lambda dy: (dy, dy)


def multiply(a: Array, b: Array) -> tuple[Array, Vjp]:
    """Of equal shapes, or with a number."""
    return a * b, lambda dy: (np.reshape(dy * b if a.shape else (dy * b).sum(), a.shape), dy * a)


def tanh(x: Array) -> tuple[Array, Vjp]:
    """tanh x"""
    y = np.tanh(x)
    return y, lambda dy: (dy * (1 - y * y),)


def total(x: Array) -> tuple[Array, Vjp]:
    """The sum of all entries."""
    return x.sum(), lambda dy: (np.full(x.shape, dy),)


class Engine:
    """Records operations, walks back deepest first, adds up into new arrays.  Saves copies."""

    multiply = staticmethod(multiply)

    def __init__(self) -> None:
        self.local = threading.local()
        self.guarded = False

    # ---- what the laws call

    def leaf(self, data: Array) -> Node:
        """A value that asks for a gradient."""
        if data.dtype.kind != "f":
            raise TypeError(f"a gradient needs floats; got {data.dtype}")
        return Node(data, asks=True)

    def apply(self, op: Callable[..., tuple[Array, Vjp]], *nodes: Node) -> Node:
        """Run an op; remember the way back if anybody asked for it."""
        data, vjp = op(*(self.saved(node.data) for node in nodes))
        if self.guarded and np.isnan(data).any():
            raise FloatingPointError(self.complaint(op))
        data = np.array(data)  # the op may keep its own
        return Node(data, True, nodes, vjp) if self.records(nodes) else Node(data)

    def backward(self, loss: Node, dloss: Array | None = None) -> None:
        """Add dloss/dleaf to the gradient of every leaf."""
        if not loss.asks:
            raise ValueError("nothing here asked for a gradient")
        for leaf, grad in self.gradients(loss, self.checked(loss, dloss)).items():
            self.store(leaf, grad)

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """Nothing is recorded in this block."""
        before = self.off
        self.off = True
        try:
            yield
        finally:
            self.off = before

    @contextmanager
    def nan_guard(self) -> Iterator[None]:
        """A nan that is made raises."""
        self.guarded = True
        try:
            yield
        finally:
            self.guarded = False

    # ---- what the mutants change

    @property
    def off(self) -> bool:
        """Whether recording is switched off, in this thread."""
        return bool(getattr(self.local, "off", False))

    @off.setter
    def off(self, value: bool) -> None:
        self.local.off = value

    def records(self, nodes: tuple[Node, ...]) -> bool:
        """Whether the way back is remembered."""
        return not self.off and any(node.asks for node in nodes)

    def saved(self, data: Array) -> Array:
        """What the op gets to see and to keep."""
        return data.copy()

    def complaint(self, op: Any) -> str:
        """What the guard says."""
        return f"{op.__name__} made a nan"

    def checked(self, loss: Node, dloss: Array | None) -> Array:
        """The gradient to start with."""
        if dloss is None:
            return np.ones_like(loss.data)
        if (dloss.shape, dloss.dtype) != (loss.data.shape, loss.data.dtype):
            raise ValueError(f"dloss is {dloss.dtype}{dloss.shape}, the loss {loss.data.dtype}{loss.data.shape}")
        return dloss

    def order(self, loss: Node) -> list[Node]:
        """Every node after all that were made from it."""
        seen, todo = {loss: None}, [loss]
        while todo:
            fresh = [p for p in dict.fromkeys(todo.pop().parents) if p.asks and p not in seen]
            seen |= dict.fromkeys(fresh)
            todo += fresh
        return sorted(seen, key=lambda node: -node.depth)

    def gradients(self, loss: Node, dloss: Array) -> dict[Node, Array]:
        """dloss/dleaf for every leaf that asked."""
        grads = {loss: dloss}
        for node in self.order(loss):
            if node.vjp is None:
                continue
            vjp, parents = node.vjp, node.parents
            self.leave(node)
            for parent, grad in zip(parents, vjp(grads.pop(node)), strict=True):
                if parent.asks:
                    self.collect(grads, parent, grad)
        return grads

    def leave(self, node: Node) -> None:
        """A node is walked once."""
        node.vjp, node.parents = walked, ()

    def collect(self, grads: dict[Node, Array], parent: Node, grad: Array) -> None:
        """One more term of a gradient."""
        grads[parent] = grads[parent] + grad if parent in grads else grad

    def store(self, leaf: Node, grad: Array) -> None:
        """Add to what the leaf has."""
        leaf.grad = np.array(grad) if leaf.grad is None else np.asarray(leaf.grad + grad)


def walked(dy: Array) -> tuple[Array, ...]:
    """Stands in for a vjp that was used."""
    raise RuntimeError("this graph has been walked already")


def under_test(name: str, engine: Engine, **claims: Any) -> EngineUnderTest:
    """An engine of this file, with the right claims for the one it was made from."""
    operations: dict[str, Any] = {
        "add": lambda a, b: engine.apply(add, a, b),
        "multiply": lambda a, b: engine.apply(engine.multiply, a, b),
        "tanh": lambda x: engine.apply(tanh, x),
        "sum": lambda x: engine.apply(total, x),
    }
    return EngineUnderTest(
        name=name,
        leaf=engine.leaf,
        constant=Node,
        operations=operations,
        backward=engine.backward,
        grad=lambda node: node.grad,
        data=lambda node: node.data,
        apply=engine.apply,
        no_grad=engine.no_grad,
        nan_guard=engine.nan_guard,
        **{"saved_writes": "safe"} | claims,
    )


class LastUseWins(Engine):
    """grads[p] = dp"""

    def collect(self, grads: dict[Node, Array], parent: Node, grad: Array) -> None:
        """Forget what came before."""
        grads[parent] = grad


class AddsInPlace(Engine):
    """grads[p] += dp"""

    def collect(self, grads: dict[Node, Array], parent: Node, grad: Array) -> None:
        """Write into what may be another's gradient."""
        if parent in grads:
            grads[parent] += grad
        else:
            grads[parent] = grad


class Recursive(Engine):
    """Walks by calling itself."""

    def order(self, loss: Node) -> list[Node]:
        """Depth first, reversed."""
        found: dict[Node, None] = {}

        def visit(node: Node) -> None:
            if node.asks and node not in found:
                for parent in node.parents:
                    visit(parent)
                found[node] = None

        visit(loss)
        return list(reversed(found))


class NearestFirst(Engine):
    """Breadth first: a node is dealt with when it is first met."""

    def order(self, loss: Node) -> list[Node]:
        """In the order of meeting."""
        found = {loss: None}
        for node in (queue := [loss]):
            fresh = [p for p in dict.fromkeys(node.parents) if p.asks and p not in found]
            found |= dict.fromkeys(fresh)
            queue += fresh
        return list(found)

    def gradients(self, loss: Node, dloss: Array) -> dict[Node, Array]:
        """What arrives after a node was dealt with is lost."""
        grads, answers = {loss: dloss}, {}
        for node in self.order(loss):
            grad = grads.pop(node, np.zeros_like(node.data))
            if node.vjp is None:
                answers[node] = grad
                continue
            for parent, term in zip(node.parents, node.vjp(grad), strict=True):
                if parent.asks:
                    self.collect(grads, parent, term)
            self.leave(node)
        return answers


class EveryPath(Engine):
    """Hands every gradient on as it comes, once per path: right, and exponential."""

    def gradients(self, loss: Node, dloss: Array) -> dict[Node, Array]:
        """Follow all paths to the leaves."""
        grads: dict[Node, Array] = {}
        todo, met = [(loss, dloss)], {loss}
        while todo:
            node, grad = todo.pop()
            met.add(node)
            if node.vjp is None:
                self.collect(grads, node, grad)
            else:
                todo += [pair for pair in zip(node.parents, node.vjp(grad), strict=True) if pair[0].asks]
        for node in met:
            if node.vjp is not None:
                self.leave(node)
        return grads


class Replaces(Engine):
    """A second loss is all that counts."""

    def store(self, leaf: Node, grad: Array) -> None:
        """Overwrite."""
        leaf.grad = np.array(grad)


class AnyStart(Engine):
    """Broadcasts whatever dloss is given."""

    def checked(self, loss: Node, dloss: Array | None) -> Array:
        """No check."""
        return np.ones_like(loss.data) if dloss is None else np.array(np.broadcast_to(dloss, np.shape(loss.data)))


class Remembers(Engine):
    """A list of all nodes, as a tape might be."""

    def __init__(self) -> None:
        super().__init__()
        self.tape: list[Node] = []

    def apply(self, op: Callable[..., tuple[Array, Vjp]], *nodes: Node) -> Node:
        """Write it down."""
        self.tape = [*self.tape[-100:], super().apply(op, *nodes)]
        return self.tape[-1]


class Circular(Engine):
    """Children are known to their parents: a cycle, which only the garbage collector can free."""

    def apply(self, op: Callable[..., tuple[Array, Vjp]], *nodes: Node) -> Node:
        """Point both ways."""
        node = super().apply(op, *nodes)
        for parent in nodes:
            if parent.vjp is not None:
                parent.child = node  # type: ignore[attr-defined]
        return node


class SilentSecondWalk(Engine):
    """A node that was walked answers nothing more."""

    def leave(self, node: Node) -> None:
        """Forget the way back."""
        node.vjp, node.parents = (lambda dy: ()), ()


class DoublingSecondWalk(Engine):
    """Gradients of inner nodes stay and are added to."""

    def leave(self, node: Node) -> None:
        """A second walk hands on twice as much."""
        first = node.vjp
        assert first is not None
        node.vjp = lambda dy: tuple(2 * dx for dx in first(dy))


class RecordsConstants(Engine):
    """Builds a graph for everything."""

    def records(self, nodes: tuple[Node, ...]) -> bool:
        """Always."""
        return not self.off


class ErrorStopsRecording(Engine):
    """Switches recording off while an op runs, and back on only if it did not raise."""

    def apply(self, op: Callable[..., tuple[Array, Vjp]], *nodes: Node) -> Node:
        """No finally."""
        before, self.off = self.off, True
        op(*(node.data for node in nodes))
        self.off = before
        return super().apply(op, *nodes)


class SavesByReference(Engine):
    """Keeps the caller's arrays."""

    def saved(self, data: Array) -> Array:
        """Not a copy."""
        return data


class ZerosForAll(Engine):
    """Every leaf ever made gets a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.leaves: list[Node] = []

    def leaf(self, data: Array) -> Node:
        """Remember it."""
        self.leaves = [*self.leaves[-5:], super().leaf(data)]
        return self.leaves[-1]

    def backward(self, loss: Node, dloss: Array | None = None) -> None:
        """Zeros where nothing came."""
        super().backward(loss, dloss)
        for leaf in self.leaves:
            if leaf.grad is None:
                leaf.grad = np.zeros(leaf.data.shape)


class GradientsForConstants(Engine):
    """Does not look who asked."""

    def gradients(self, loss: Node, dloss: Array) -> dict[Node, Array]:
        """Constants included."""
        constants = [p for node in self.order(loss) for p in node.parents if not p.asks]
        return super().gradients(loss, dloss) | {p: np.ones(p.data.shape) for p in constants}


class IntegersMayAsk(Engine):
    """Rounds gradients of integers to integers, later."""

    def leaf(self, data: Array) -> Node:
        """No check."""
        return Node(data, asks=True)


class OneSwitch(Engine):
    """A global for all threads."""

    switched_off = False

    @property
    def off(self) -> bool:
        """The one switch."""
        return self.switched_off

    @off.setter
    def off(self, value: bool) -> None:
        self.switched_off = value


class LeavesOff(Engine):
    """Restores the switch only where nothing went wrong."""

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """No finally."""
        before, self.off = self.off, True
        yield
        self.off = before


class SwitchesOn(Engine):
    """Leaving a block switches recording on, whatever it was before."""

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """Off, then on."""
        self.off = True
        try:
            yield
        finally:
            self.off = False


class Nameless(Engine):
    """Says that something went wrong."""

    def complaint(self, op: Any) -> str:
        """Not what."""
        return "nan encountered"


class FactorOff(Engine):
    """One factor's gradient is half as large again."""

    @staticmethod
    def multiply(a: Array, b: Array) -> tuple[Array, Vjp]:
        """1.5 a for a."""
        y, vjp = multiply(a, b)
        return y, lambda dy: (vjp(dy)[0], 1.5 * vjp(dy)[1])


class SharesGradients(Engine):
    """Stores the array that came, which may be another leaf's as well."""

    def store(self, leaf: Node, grad: Array) -> None:
        """No copy."""
        leaf.grad = np.asarray(grad) if leaf.grad is None else np.asarray(leaf.grad + grad)


def mutant(name: str, engine: type[Engine], story: str, *cites: str, **claims: Any) -> Mutant:
    """One of the engines above, with its story."""
    return Mutant(name, under_test(name, engine(), **claims), story, cites)


RIGHT_ENGINE = under_test("small engine", Engine())

ENGINE_MUTANTS: tuple[Mutant, ...] = (
    mutant(
        "the-last-use-wins",
        LastUseWins,
        "A value used twice gets the gradient of one use.",
        "karpathy/micrograd#64",
        "apache/mxnet#17989",
    ),
    mutant(
        "adds-in-place",
        AddsInPlace,
        "Adds into an array that add has handed to two parents: (a + b) + a gives b a gradient of 2.",
    ),
    mutant("recursion", Recursive, "A thousand operations in a row raise RecursionError.", "karpathy/micrograd#90"),
    mutant(
        "nearest-first",
        NearestFirst,
        "Visits a node before all its gradients have come, so those of deeper uses are lost.",
        "karpathy/micrograd#68",
    ),
    mutant("every-path-by-itself", EveryPath, "Thirty levels of x + x take a thousand million steps."),
    mutant("backward-replaces", Replaces, "Gradients of micro-batches are not summed: only the last one counts."),
    mutant("any-dloss-will-do", AnyStart, "A gradient of a wrong shape is broadcast.", "pytorch/pytorch#1198"),
    mutant("remembers-everything", Remembers, "A global list keeps the graph of the last steps alive."),
    mutant("points-at-its-children", Circular, "Reference cycles: memory grows until the collector runs."),
    mutant("a-second-walk-is-silent", SilentSecondWalk, "A second backward does nothing, or half, without a word."),
    mutant(
        "a-second-walk-doubles", DoublingSecondWalk, "A second backward adds another amount.", second_backward="same"
    ),
    mutant("records-constants", RecordsConstants, "Evaluation builds a graph, and memory grows with it."),
    mutant("an-error-stops-recording", ErrorStopsRecording, "After one failed operation nothing learns any more."),
    mutant(
        "saves-by-reference", SavesByReference, "Gradients change with arrays written to since, though declared safe."
    ),
    mutant("zeros-for-all", ZerosForAll, "Unused parameters get a gradient of 0, so weight decay shrinks them."),
    mutant("constants-get-gradients", GradientsForConstants, "Constants are given gradients nobody asked for."),
    mutant("integers-may-ask", IntegersMayAsk, "An integer leaf may ask for a gradient."),
    mutant("one-switch-for-all-threads", OneSwitch, "One thread evaluates, and another stops learning."),
    mutant("an-error-leaves-the-switch-off", LeavesOff, "After an interrupted evaluation nothing is recorded."),
    mutant("the-inner-block-switches-on", SwitchesOn, "After a nested no_grad the outer one records again."),
    mutant("a-guard-without-a-name", Nameless, "Says nan, and not where."),
    mutant("a-factor-off", FactorOff, "One of two gradients of a product is half as large again."),
    mutant("one-gradient-for-two-leaves", SharesGradients, "Scaling one gradient in place scales another."),
)
