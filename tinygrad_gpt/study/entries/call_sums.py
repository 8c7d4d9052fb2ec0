"""The terms of an entry, from the sums in index notation of its op."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.entry import Block, Column, Computation, EntrySum, Index, is_inside
from tinygrad_gpt.study.entries.notation import (
    Condition,
    Entry,
    Group,
    Item,
    Lookup,
    Number,
    TermPattern,
    parse_sums,
)

Letters = Mapping[str, Array]  # the values of each letter, one for each term
_COMPARE: Mapping[str, Callable[[Array, Array], Array]] = {
    "=": np.equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@dataclass(frozen=True)
class Rules:
    """The sums of one call of an op, as a text in the notation of `notation`.

    `wide` has the number of axes of each wide letter, `sizes` the letters whose size follows from no array's shape.
    `inside` makes the arrays that are neither inputs nor y nor dy.  A function of an entry is such an array, too: the
    factor e^x[n] is entry n of "e^x".  `numbers` has the values of factors in braces; a fraction needs none.
    """

    text: str
    wide: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    inside: Mapping[str, Callable[[], Array]] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)


class CallSums:
    """The sums of all arrays of a call."""

    def __init__(self, call: Computation, rules: Rules) -> None:
        self.call, self.rules = call, rules
        self.patterns = parse_sums(rules.text, rules.wide)
        self.sizes = dict(rules.sizes)
        self._made: dict[str, Array] = {}
        self._infer_sizes()

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays whose entries are sums."""
        return tuple(dict.fromkeys(pattern.name for pattern in self.patterns))

    def entry(self, name: str, index: Index) -> EntrySum:
        """The sum of an entry.  Raises ValueError as `entry_sum` does."""
        if name not in self.names:
            raise ValueError(f"name must be one of {', '.join(self.names)}; got {name!r}")
        if self.call.dy is None and name.startswith("d"):
            raise ValueError(f"no gradient came back to this {self.call.op.__name__}")
        if (shape := self.shape(name)) is None or not is_inside(index, shape):
            raise ValueError(f"{name} has shape {shape}, so there is no entry {index}")
        for pattern in self.patterns:
            if pattern.name == name and (letters := self._match(pattern.index, index)) is not None:
                blocks = [block for term in pattern.terms if (block := self._block(term, letters)) is not None]
                return EntrySum(name, index, pattern.formula, tuple(blocks))
        raise AssertionError(f"the rules of {self.call.op.__name__} have no sum for {name}{list(index)}")

    @np.errstate(all="ignore")  # as in sums.py
    def array(self, name: str) -> Array:
        """An array of the call, or one inside it; floats in float64."""
        if name in self.rules.inside:
            if name not in self._made:
                self._made[name] = np.asarray(self.rules.inside[name]())
            return self._made[name]
        return self.call.array(name)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of an array; None as long as a letter's size is unknown."""
        for known in (name, name.removeprefix("d")):
            if known in ("y", "dy") or self.call.inputs.get(known) is not None:
                return self.call.shape("y" if known == "dy" else known)
        for pattern in self.patterns:
            if pattern.name == name:
                sizes = [self._size(item) for item in pattern.index]
                return None if None in sizes else tuple(size for size in sizes if size is not None)
        return None

    @property
    def inside(self) -> tuple[str, ...]:
        """The arrays that the sums read and that are neither inputs nor y nor dy."""
        return tuple(self.rules.inside)

    @property
    def numbers(self) -> dict[str, float]:
        """The factors that are in no array, by their labels."""
        return {factor.label: self._number(factor.label) for factor in self._factors if isinstance(factor, Number)}

    @property
    def entries(self) -> list[Entry]:
        """The entries on the left sides, and those that are factors as they are: which letters index which array."""
        left = [Entry(pattern.name, pattern.index) for pattern in self.patterns]
        return left + [factor for factor in self._factors if isinstance(factor, Entry) and factor.form == "{}"]

    @property
    def _factors(self) -> list[Entry | Number]:
        return [factor for pattern in self.patterns for term in pattern.terms for factor in term.factors]

    def _number(self, label: str) -> float:
        return self.rules.numbers[label] if label in self.rules.numbers else float(Fraction(label))

    def _infer_sizes(self) -> None:
        """Each letter's size, from the shapes of the arrays that it is an index of."""
        entries, known = self.entries, -1
        while known < len(self.sizes):
            known = len(self.sizes)
            for entry in entries:
                if (shape := self.shape(entry.name)) is not None:
                    for item, size in zip(entry.index, shape, strict=True):
                        self._learn(item, size)

    def _learn(self, item: Item, size: int) -> None:
        if isinstance(item, str) and self.sizes.setdefault(item, size) != size:
            raise AssertionError(f"{self.call.op.__name__}: {item} is {self.sizes[item]} and {size}")

    def _size(self, item: Item) -> int | None:
        """How many values a letter has, if that is known; 1 for a number."""
        return self.sizes.get(item) if isinstance(item, str) else 1 if isinstance(item, int) else None

    def _match(self, items: tuple[Item, ...], index: Index) -> dict[str, int] | None:
        """The letters of an entry's index, or None if a number in it is another one."""
        letters: dict[str, int] = {}
        for item, i in zip(items, index, strict=True):
            parts = item.items if isinstance(item, Group) else (item,)
            for part in parts[:0:-1]:
                assert isinstance(part, str)
                i, letters[part] = divmod(i, self.sizes[part])
            if isinstance(parts[0], str):
                letters[parts[0]] = i
            elif parts[0] != i:
                return None
        return letters

    def _block(self, term: TermPattern, own: Mapping[str, int]) -> Block | None:
        """The terms of a line, or None if there are none."""
        sizes = [self.sizes[letter] for letter in term.letters]
        n = math.prod(sizes)
        letters: Letters = {
            **{letter: np.full(n, i) for letter, i in own.items()},
            **dict(zip(term.letters, np.indices(sizes).reshape(len(sizes), n), strict=True)),
        }
        for condition in term.conditions:
            holds = np.broadcast_to(self._holds(condition, letters), n)
            letters, n = {letter: values[holds] for letter, values in letters.items()}, int(holds.sum())
        if not n:
            return None
        return Block(tuple(self._column(factor, letters, n) for factor in term.factors), term.way)

    def _holds(self, condition: Condition, letters: Letters) -> Array:
        first, second = (self._index(side, letters) for side in (condition.left, condition.right))
        return _COMPARE[condition.comparison](first, second)

    def _column(self, factor: Entry | Number, letters: Letters, n: int) -> Column:
        if isinstance(factor, Number):
            return Column(factor.label, self._number(factor.label))
        at = np.zeros((n, len(factor.index)), int)
        for axis, item in enumerate(factor.index):
            at[:, axis] = self._index(item, letters)
        array = self.array(factor.values)
        values = array[tuple(at.T)] if at.shape[1] else np.full(n, array)
        if factor.form != "{}" and (shape := self.shape(factor.name)) is not None and shape != array.shape:
            at = at[:, array.ndim - len(shape) :] * np.array([size != 1 for size in shape], int)  # it was broadcast
        return Column(factor.name, values, at, factor.form)

    def _index(self, item: Item, letters: Letters) -> Array:
        if isinstance(item, str):
            return letters[item]
        if isinstance(item, Group):
            found = self._index(item.items[0], letters)
            for part in item.items[1:]:
                found = found * (self._size(part) or 1) + self._index(part, letters)
            return found
        if isinstance(item, Lookup):
            return self.array(item.array)[tuple(self._index(part, letters) for part in item.index)]
        return np.array(item)
