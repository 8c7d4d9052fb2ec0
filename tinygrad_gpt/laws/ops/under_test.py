"""An op under test: a function on arrays and its vjp, whoever wrote it."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.first_call import FirstCall, simplest_example
from tinygrad_gpt.laws.law import Area, Array, LawBroken, cases
from tinygrad_gpt.laws.source import literal
from tinygrad_gpt.laws.strategies import arrays as arrays_of
from tinygrad_gpt.laws.strategies import dyadic, seeds

Arrays = tuple[Array, ...]
Shape = tuple[int, ...]
Settings = dict[str, Any]
_Gradients = Any  # a sequence: dLoss/dx, or None, per array
Vjp = Callable[[Array], _Gradients]
Strategy = st.SearchStrategy[tuple[Arrays, Settings]]
SHAPES: tuple[Shape, ...] = ((), (1,), (3,), (2, 3), (3, 1), (2, 1, 3), (2, 2, 2))
SHAPE_EXAMPLES = 40  # examples where shapes and settings decide, not numbers
_DEFAULT = "the default arrays"
_FLOATS = ("float64", "float32", "float16")


@dataclass(frozen=True, eq=False, kw_only=True)
class OpUnderTest:
    """An op and its vjp, together or as two functions, and what is claimed about them.

    op(*arrays, **settings) -> (y, vjp), with vjp(dy) -> gradients.  Strategies draw (arrays, settings), float arrays as
    float64; the default is small arrays of numbers in [-3, 3].  A law that needs a claim is skipped without it.
    """

    area: ClassVar[Area] = "ops"

    name: str
    op: Callable[..., tuple[Array, Vjp]] | None = None
    forward: Callable[..., Array] | None = None
    """forward(*arrays, **settings) -> y, instead of op"""
    vjp: Callable[..., Any] | None = None
    """vjp(dy, *arrays, **settings) -> gradients, instead of op"""

    reference: Callable[..., Array] | None = None
    """an independent forward(*arrays, **settings); numerical derivatives are taken of it"""
    analytic: bool = True
    """whether the reference takes complex numbers; if not, derivatives are differences, which are less exact"""
    domain: Strategy | None = None
    """cases where the op is smooth"""
    arity: int = 1
    """number of arrays, where no domain is given"""
    broadcast: bool = False
    """whether the arrays broadcast together, as NumPy's do"""
    constants: tuple[int, ...] = ()
    """positions of float arrays that have no gradient; integers and bools never have one"""
    batched: tuple[int, ...] = ()
    """positions of arrays whose axis 0 is a batch, as is axis 0 of y"""
    gathers: bool = False
    """whether the op is (table, ids) -> table[ids]"""
    mixes: bool = False
    """whether float arrays of different dtypes may meet"""
    kinks: Strategy | None = None
    """cases where the op has no derivative"""
    subgradient: Callable[..., Any] | None = None
    """subgradient(dy, *arrays, **settings) -> what vjp(dy) returns there, as declared"""
    extremes: Strategy | None = None
    """cases with huge, tiny and -inf entries, for which nothing may overflow or become nan"""
    edges: Strategy | None = None
    """cases of 0-d and 0-size arrays; there is a default where no domain is given"""
    original: Callable[..., tuple[Array, Vjp]] | None = None
    """the op whose results this one must have, if it is a kernel"""

    aliasing: frozenset[str] = frozenset()
    """what may share memory: "y" (with an input), "dx" (with dy)"""
    atomics: bool = False
    """whether the order of summation changes from run to run"""
    dtypes: tuple[str, ...] = _FLOATS
    """dtypes that it supports; cases are in float64 if that is one of them, else in the first"""
    rtol: float = 1e-12
    """how closely y in float64 agrees with the reference"""

    def __post_init__(self) -> None:
        if (self.op is None) == (self.forward is None or self.vjp is None):
            raise TypeError(f"{self.name} must be given as op, or as forward and vjp")
        if (self.kinks is None) != (self.subgradient is None):
            raise TypeError(f"{self.name} must be given both kinks and subgradient, or neither")
        if unknown := set(self.aliasing) - {"y", "dx"}:
            raise ValueError(f"aliasing may hold 'y' and 'dx'; got {', '.join(sorted(unknown))}")

    @property
    def capabilities(self) -> frozenset[str]:
        """The claims that laws require."""
        claims = {
            "reference": self.reference,
            "broadcast": self.broadcast,
            "batched": self.batched,
            "gathers": self.gathers,
            "kinks": self.kinks,
            "extremes": self.extremes if set(self.dtypes) - {"float16"} else None,
            "edges": self.edge_cases,
            "original": self.original,
            "deterministic": not self.atomics,
            "float64": "float64" in self.dtypes,
            "derivative": "float64" in self.dtypes or self.reference is not None,  # of y, to differentiate numerically
            "float32": "float32" in self.dtypes,
        }
        return frozenset(name for name, claim in claims.items() if claim is not None and claim not in (False, ()))

    @property
    def policies(self) -> dict[str, object]:
        """The declared choices where several are right."""
        return {"aliasing": set(self.aliasing) or "none", "constants": self.constants, "atomics": self.atomics}

    def run(self, arrays: Arrays, settings: Settings) -> tuple[Array, Vjp]:
        """y and the vjp, which checks the number of gradients."""
        if self.op is not None:
            y, vjp = self.op(*arrays, **settings)
            return y, lambda dy: self._check_gradients(vjp(dy), arrays)
        assert self.forward is not None
        assert self.vjp is not None
        answer = self.vjp
        return self.forward(*arrays, **settings), lambda dy: self._check_gradients(
            answer(dy, *arrays, **settings), arrays
        )

    def _check_gradients(self, answer: _Gradients, arrays: Arrays) -> _Gradients:
        """The gradients that a vjp returned.  Raises LawBroken unless there is one per array."""
        if not isinstance(answer, tuple | list):
            raise LawBroken(f"a vjp that returns {type(answer).__name__}", "a tuple of one gradient per array")
        if len(answer) != len(arrays):
            raise LawBroken(
                f"{len(answer)} gradients for {len(arrays)} arrays", "one per array, None for an array without one"
            )
        for i in self.differentiable(arrays):
            if answer[i] is None:
                raise LawBroken(f"None as the gradient of array {i}", f"an array, or {i} among the declared constants")
        return answer

    def oracle(self, arrays: Arrays, settings: Settings) -> Array:
        """y by the reference; without one, by the op itself."""
        return self.run(arrays, settings)[0] if self.reference is None else self.reference(*arrays, **settings)

    @property
    def exact(self) -> bool:
        """Whether the complex step works on the oracle."""
        return self.analytic and self.reference is not None

    def differentiable(self, arrays: Arrays) -> tuple[int, ...]:
        """Positions of the arrays that have a gradient."""
        return tuple(i for i, x in enumerate(arrays) if x.dtype.kind == "f" and i not in self.constants)

    @property
    def cases(self) -> Strategy:
        """The domain; by default small arrays."""
        if self.domain is not None:
            return self.domain
        return shapes(self.arity, self.broadcast).flatmap(_of_shapes)

    @property
    def first_calls(self) -> list[FirstCall]:
        """Forward and backward on the simplest case of the domain; without one, on default arrays of each shape."""
        cases: list[tuple[Arrays, Settings]]
        if self.domain is not None:
            cases, on = simplest_example(self.domain), "the simplest case of its domain"
            remedy = "fix the op there, or leave such cases out of the domain"
        else:
            cases, on = [((*[np.resize([0.5, -1.0, 2.0], shape)] * self.arity,), {}) for shape in SHAPES], _DEFAULT
            remedy = (
                "give domain=, a strategy of (arrays, settings) that it accepts; or arity=, if it takes more arrays"
            )
        return [self._first_call(arrays, settings, on, remedy) for arrays, settings in cases]

    def _first_call(self, arrays: Arrays, settings: Settings, on: str, remedy: str) -> FirstCall:
        """Forward and backward on one case."""
        arrays = in_dtype(arrays, "float64" if "float64" in self.dtypes else self.dtypes[0])

        def forward_and_backward() -> None:
            y, vjp = self.run(arrays, settings)
            vjp(np.ones_like(y))

        arguments = [*map(literal, arrays), *(f"{name}={literal(value)}" for name, value in settings.items())]
        name = "op" if self.op is not None else "forward"
        source = f"sut.{name}({', '.join(arguments)}), and its vjp"
        return FirstCall("the op", source, forward_and_backward, remedy, on, decides_all=self.domain is None)

    @property
    def edge_cases(self) -> Strategy | None:
        """The edges; without a domain, arrays without axes or entries."""
        if self.edges is not None or self.domain is not None:
            return self.edges
        shape = st.sampled_from([(), (0,), (2, 0), (0, 3)])
        return shape.flatmap(lambda shape: _of_shapes((shape,) * self.arity))


def shapes(count: int, broadcast: bool) -> st.SearchStrategy[tuple[Shape, ...]]:
    """`count` shapes that broadcast together, or are all the same."""
    whole = st.sampled_from(SHAPES)
    if broadcast:
        return whole.flatmap(lambda shape: st.tuples(*[st.sampled_from(_shapes_within(shape))] * count))
    return whole.map(lambda shape: (shape,) * count)


def _shapes_within(shape: Shape) -> list[Shape]:
    """Every shape that broadcasts to this one, the fullest first."""
    stretched = list(itertools.product(*[(n, 1) if n > 1 else (n,) for n in shape]))
    return list(dict.fromkeys(full[start:] for start in range(len(shape) + 1) for full in stretched))


def _of_shapes(shapes: tuple[tuple[int, ...], ...]) -> Strategy:
    """Arrays of these shapes, and no settings."""
    return st.tuples(st.tuples(*(arrays_of(shape, dyadic(3)) for shape in shapes)), st.just({}))


def plain_cases(sut: OpUnderTest, drawn: Strategy | None = None, **more: st.SearchStrategy[Any]) -> Any:
    """Cases of arrays, settings and what else a law draws; `drawn` instead of the domain if it is given."""
    both = st.tuples(sut.cases if drawn is None else drawn, cases(**more))
    dtype = "float64" if "float64" in sut.dtypes else sut.dtypes[0]
    return both.map(lambda found: {"arrays": in_dtype(found[0][0], dtype), "settings": found[0][1], **found[1]})


def op_cases(sut: OpUnderTest, drawn: Strategy | None = None, **more: st.SearchStrategy[Any]) -> Any:
    """plain_cases with a seed, from which dy is made."""
    return plain_cases(sut, drawn, **more, seed=seeds())


def in_dtype(arrays: Arrays, dtype: str) -> Arrays:
    """The float arrays in another dtype, the others as they are."""
    return tuple(x.astype(dtype) if x.dtype.kind == "f" else x for x in arrays)
