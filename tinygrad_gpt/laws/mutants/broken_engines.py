"""Engines that differ from the small right one in one method.  Their stories are in engine.py."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutants.small_engine import Engine, Node, Vjp, multiply


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


class KeepsGradients(Engine):
    """A history of all gradients, to look at later."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Array] = []

    def store(self, leaf: Node, grad: Array) -> None:
        """One more."""
        self.history.append(grad.copy())
        super().store(leaf, grad)


class KeepsLosses(Engine):
    """A history of all losses, as numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[float] = []

    def backward(self, loss: Node, dloss: Array | None = None) -> None:
        """One more."""
        self.history.append(float(loss.data.sum()))
        super().backward(loss, dloss)


class KeepsAnswers(Engine):
    """Copies what was handed to two leaves, and nothing else."""

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


class SharesGradients(Engine):
    """Stores the array that came, which may be another leaf's as well."""

    def store(self, leaf: Node, grad: Array) -> None:
        """No copy."""
        leaf.grad = np.asarray(grad) if leaf.grad is None else np.asarray(leaf.grad + grad)
