"""Engines that differ from the small right one in one method, and the effect of each for a user."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import cleandoc
from typing import Any

import numpy as np

from tests.mutants.zoo.small_engine import Engine, Node, Vjp, multiply, under_test
from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutation import Mutant

ENGINE_MUTANTS: list[Mutant] = []


def mutant(name, *cites, **claims):
    """The object below is the mutant of this name; its docstring is the story."""

    def add(broken):
        sut = under_test(name, broken(), **claims)
        ENGINE_MUTANTS.append(Mutant(name, sut, cleandoc(broken.__doc__), cites))
        return broken

    return add


@mutant("the-last-use-wins", "karpathy/micrograd#64", "apache/mxnet#17989")
class LastUseWins(Engine):
    """A value that is used twice gets the gradient of one use."""

    def collect(self, grads: dict[Node, Array], parent: Node, grad: Array) -> None:
        """Forget the earlier gradient."""
        grads[parent] = grad


@mutant("adds-in-place")
class AddsInPlace(Engine):
    """Adds in place into an array that add returned for two parents: (a + b) + a gives b a gradient of 2."""

    def collect(self, grads: dict[Node, Array], parent: Node, grad: Array) -> None:
        """Write into an array that may be another gradient too."""
        if parent in grads:
            grads[parent] += grad
        else:
            grads[parent] = grad


@mutant("recursion", "karpathy/micrograd#90")
class Recursive(Engine):
    """A thousand operations in a row raise RecursionError."""

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


@mutant("nearest-first", "karpathy/micrograd#68")
class NearestFirst(Engine):
    """Visits a node before all its gradients have arrived, so that those of deeper uses are lost."""

    def order(self, loss: Node) -> list[Node]:
        """In the order of discovery."""
        found = {loss: None}
        for node in (queue := [loss]):
            fresh = [p for p in dict.fromkeys(node.parents) if p.asks and p not in found]
            found |= dict.fromkeys(fresh)
            queue += fresh
        return list(found)

    def gradients(self, loss: Node, dloss: Array) -> dict[Node, Array]:
        """What arrives after a node was processed is lost."""
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


@mutant("every-path-by-itself")
class EveryPath(Engine):
    """Every path is followed: thirty levels of x + x take a thousand million steps."""

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


@mutant("backward-replaces")
class Replaces(Engine):
    """Gradients of micro-batches are not summed: only the last one counts."""

    def store(self, leaf: Node, grad: Array) -> None:
        """Overwrite."""
        leaf.grad = np.array(grad)


@mutant("any-dloss-will-do", "pytorch/pytorch#1198")
class AnyStart(Engine):
    """A gradient of a wrong shape is broadcast."""

    def checked(self, loss: Node, dloss: Array | None) -> Array:
        """No check."""
        return np.ones_like(loss.data) if dloss is None else np.array(np.broadcast_to(dloss, np.shape(loss.data)))


@mutant("remembers-everything")
class Remembers(Engine):
    """A global list keeps the graph of the last steps alive."""

    def __init__(self) -> None:
        super().__init__()
        self.tape: list[Node] = []

    def apply(self, op: Callable[..., tuple[Array, Vjp]], *nodes: Node) -> Node:
        """Write it down."""
        self.tape = [*self.tape[-100:], super().apply(op, *nodes)]
        return self.tape[-1]


@mutant("points-at-its-children")
class Circular(Engine):
    """Reference cycles: memory grows until the collector runs."""

    def apply(self, op: Callable[..., tuple[Array, Vjp]], *nodes: Node) -> Node:
        """Parents and children point to each other."""
        node = super().apply(op, *nodes)
        for parent in nodes:
            if parent.vjp is not None:
                parent.child = node  # type: ignore[attr-defined]
        return node


@mutant("a-second-walk-is-silent")
class SilentSecondWalk(Engine):
    """A second backward silently does nothing, or half."""

    def leave(self, node: Node) -> None:
        """Delete the graph."""
        node.vjp, node.parents = (lambda dy: ()), ()


@mutant("a-second-walk-doubles", second_backward="same")
class DoublingSecondWalk(Engine):
    """A second backward adds another amount."""

    def leave(self, node: Node) -> None:
        """A second backward pass passes on twice as much."""
        first = node.vjp
        assert first is not None
        node.vjp = lambda dy: tuple(2 * dx for dx in first(dy))


@mutant("records-constants")
class RecordsConstants(Engine):
    """Evaluation builds a graph, and memory grows with it."""

    def records(self, nodes: tuple[Node, ...]) -> bool:
        """Always."""
        return not self.off


@mutant("an-error-stops-recording")
class ErrorStopsRecording(Engine):
    """An operation that raises leaves recording off: nothing learns any more."""

    def apply(self, op: Callable[..., tuple[Array, Vjp]], *nodes: Node) -> Node:
        """No finally."""
        before, self.off = self.off, True
        op(*(node.data for node in nodes))
        self.off = before
        return super().apply(op, *nodes)


@mutant("saves-by-reference")
class SavesByReference(Engine):
    """A saved array is not copied: writing into it changes gradients, though it is declared safe."""

    def saved(self, data: Array) -> Array:
        """Not a copy."""
        return data


@mutant("zeros-for-all")
class ZerosForAll(Engine):
    """Unused parameters get a gradient of 0, so weight decay shrinks them."""

    def __init__(self) -> None:
        super().__init__()
        self.leaves: list[Node] = []

    def leaf(self, data: Array) -> Node:
        """Remember it."""
        self.leaves = [*self.leaves[-5:], super().leaf(data)]
        return self.leaves[-1]

    def backward(self, loss: Node, dloss: Array | None = None) -> None:
        """Zeros where no gradient arrived."""
        super().backward(loss, dloss)
        for leaf in self.leaves:
            if leaf.grad is None:
                leaf.grad = np.zeros(leaf.data.shape)


@mutant("constants-get-gradients")
class GradientsForConstants(Engine):
    """Constants get gradients."""

    def gradients(self, loss: Node, dloss: Array) -> dict[Node, Array]:
        """Constants included."""
        constants = [p for node in self.order(loss) for p in node.parents if not p.asks]
        return super().gradients(loss, dloss) | {p: np.ones(p.data.shape) for p in constants}


@mutant("integers-may-ask")
class IntegersMayAsk(Engine):
    """An integer leaf may require a gradient."""

    def leaf(self, data: Array) -> Node:
        """No check."""
        return Node(data, asks=True)


@mutant("one-switch-for-all-threads")
class OneSwitch(Engine):
    """The switch is global: one thread evaluates, and another stops learning."""

    switched_off = False

    @property
    def off(self) -> bool:
        """The one switch."""
        return self.switched_off

    @off.setter
    def off(self, value: bool) -> None:
        self.switched_off = value


@mutant("an-error-leaves-the-switch-off")
class LeavesOff(Engine):
    """After an interrupted evaluation nothing is recorded."""

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """No finally."""
        before, self.off = self.off, True
        yield
        self.off = before


@mutant("the-inner-block-switches-on")
class SwitchesOn(Engine):
    """After a nested no_grad the outer one records again."""

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """Off, then on."""
        self.off = True
        try:
            yield
        finally:
            self.off = False


@mutant("a-guard-without-a-name")
class Nameless(Engine):
    """The error says nan, but not where."""

    def complaint(self, op: Any) -> str:
        """Not what."""
        return "nan encountered"


@mutant("a-factor-off")
class FactorOff(Engine):
    """One of the two gradients of a product is 1.5 times too large."""

    @staticmethod
    def multiply(a: Array, b: Array) -> tuple[Array, Vjp]:
        """1.5 a for a."""
        y, vjp = multiply(a, b)
        return y, lambda dy: (vjp(dy)[0], 1.5 * vjp(dy)[1])


@mutant("keeps-every-gradient")
class KeepsGradients(Engine):
    """A list of all gradients grows with every step."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Array] = []

    def store(self, leaf: Node, grad: Array) -> None:
        """One more."""
        self.history.append(grad.copy())
        super().store(leaf, grad)


@mutant("keeps-every-loss")
class KeepsLosses(Engine):
    """A list of all losses grows with every step."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[float] = []

    def backward(self, loss: Node, dloss: Array | None = None) -> None:
        """One more."""
        self.history.append(float(loss.data.sum()))
        super().backward(loss, dloss)


@mutant("keeps-what-a-vjp-returned")
class KeepsAnswers(Engine):
    """Stores the array that a vjp returned, which the operation may have saved for another backward pass."""

    def gradients(self, loss: Node, dloss: Array) -> dict[Node, Array]:
        """Look for the same array among the others."""
        grads = super().gradients(loss, dloss.copy())
        arrays = list(grads.values())
        return {
            leaf: grad.copy() if any(grad is other for other in arrays[:i]) else grad
            for i, (leaf, grad) in enumerate(grads.items())
        }

    def store(self, leaf: Node, grad: Array) -> None:
        """No copy."""
        leaf.grad = np.asarray(grad) if leaf.grad is None else np.asarray(leaf.grad + grad)


@mutant("one-gradient-for-two-leaves")
class SharesGradients(Engine):
    """Scaling one gradient in place scales another."""

    def store(self, leaf: Node, grad: Array) -> None:
        """No copy."""
        leaf.grad = np.asarray(grad) if leaf.grad is None else np.asarray(leaf.grad + grad)
