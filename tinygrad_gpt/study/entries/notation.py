"""Sums in index notation, as a derivation writes them, so that a program can read them.

    y[n,o]       = Σ x[n,i] weight[i,o]
                 + bias[o]                          # the bias
    dweight[i,o] = Σ x[n,i] dy[n,o]
    dtable[v,c]  = Σ dy[n,c] where ids[n] = v

Each line is a term.  Σ means that the letters that are not on the left take all their values.  An index is

- a letter; a "wide" letter stands for several axes, such as n for all axes but the last;
- a number: y[n,0];
- an entry of an array of integers: table[ids[n],c];
- a group: in y[b,t,(h d)] the last axis has D channels for each head, so the index is h D + d.  In qkv[b,t,(0 h d)] it
  has three parts of H D, and 0 says which.

A factor is an entry, a function of an entry (e^x[n], 1/b[n]), or a number in braces that is in no array: {1/√D}.
`where` leaves out the terms for which a condition does not hold.  After # stands the way by which a term comes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[^\W\d_][\w\u0302]*(?:\[\d+\](?=\[))?(?=\[)")  # x̂ is a name; arrays[0] is one before an index
_COMPARISON = re.compile(r"(.+?) ?(<=|>=|=|<|>) ?(.+)")


@dataclass(frozen=True)
class Group:
    """Several indices in one axis; the last one runs fastest."""

    items: tuple["Item", ...]


@dataclass(frozen=True)
class Lookup:
    """An entry of an array of integers, as an index."""

    array: str
    index: tuple["Item", ...]


Item = str | int | Group | Lookup  # a letter, a number, ...


@dataclass(frozen=True)
class Entry:
    """A factor: an entry of the array `name`, or a function of it."""

    name: str
    index: tuple[Item, ...]
    form: str = "{}"

    @property
    def values(self) -> str:
        """The array of the factor's values: "x", or "e^x"."""
        return self.form.format(self.name)


@dataclass(frozen=True)
class Number:
    """A factor that is in no array, by its label: "1/32"."""

    label: str


@dataclass(frozen=True)
class Condition:
    """A comparison of two indices."""

    left: Item
    comparison: str
    right: Item


@dataclass(frozen=True)
class TermPattern:
    """The terms of one line: the same factors for all values of the letters that are summed over."""

    factors: tuple[Entry | Number, ...]
    conditions: tuple[Condition, ...]
    letters: tuple[str, ...]  # that are summed over
    way: str


@dataclass(frozen=True)
class SumPattern:
    """The sum for every entry of an array, or for those that `index` matches."""

    name: str
    index: tuple[Item, ...]
    terms: tuple[TermPattern, ...]
    formula: str


def parse_sums(text: str, wide: Mapping[str, int]) -> list[SumPattern]:
    """The sums of a text in this notation; `wide` gives the number of axes of each wide letter.

    Raises ValueError for a line that is not in the notation, or that has a sum without Σ or Σ without a sum.
    """
    found: list[tuple[str, list[str]]] = []
    for line in filter(str.strip, text.splitlines()):
        left, equals, right = line.partition(" = ")
        if line.lstrip()[0] in "+-":
            found[-1][1].append(line.strip())
        elif equals:
            found.append((left.strip(), [right.strip()]))
        else:
            raise ValueError(f"a sum must be NAME[...] = TERM; got {line!r}")
    return [_parse_sum(left, terms, wide) for left, terms in found]


def letters_in(item: Item) -> Iterator[str]:
    """The letters of an index, in order."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, Group | Lookup):
        for part in item.items if isinstance(item, Group) else item.index:
            yield from letters_in(part)


def _parse_sum(left: str, lines: list[str], wide: Mapping[str, int]) -> SumPattern:
    whole = _parse_entry(left, wide)
    own = {letter for item in whole.index for letter in letters_in(item)}
    terms = tuple(_parse_term(line, own, wide) for line in lines)
    formula = (
        " ".join(line.partition("#")[0].strip() for line in lines).removeprefix("+ ").replace("{", "").replace("}", "")
    )
    return SumPattern(whole.name, whole.index, terms, formula)


def _parse_term(line: str, own: set[str], wide: Mapping[str, int]) -> TermPattern:
    body, _, way = line.partition("#")
    product, _, conditions = body.partition(" where ")
    words = _split(product, " ")
    factors: list[Entry | Number] = []
    if words[0] in ("+", "-") and words.pop(0) == "-":
        factors.append(Number("-1"))
    summed = words[0] == "Σ"
    for word in words[summed:]:
        factors.append(Number(word[1:-1]) if word.startswith("{") else _parse_entry(word, wide))
    where = []
    for text in _split(conditions, ","):
        if (match := _COMPARISON.fullmatch(text)) is None:
            raise ValueError(f"a condition must be like t <= j; got {text!r}")
        (first,), (second,) = _parse_item(match[1], wide), _parse_item(match[3], wide)
        where.append(Condition(first, match[2], second))
    items = [item for factor in factors if isinstance(factor, Entry) for item in factor.index]
    items += [side for condition in where for side in (condition.left, condition.right)]
    letters = tuple(dict.fromkeys(letter for item in items for letter in letters_in(item) if letter not in own))
    if summed < bool(letters) or summed > bool(letters or any(n == 0 for n in wide.values())):
        raise ValueError(
            f"Σ must stand before a term that sums over letters ({', '.join(letters) or 'none'}): {line!r}"
        )
    return TermPattern(tuple(factors), tuple(where), letters, way.strip())


def _parse_entry(text: str, wide: Mapping[str, int]) -> Entry:
    if (match := _NAME.search(text)) is None:
        return Entry(text, ())
    start, end = match.end(), _end_of_bracket(text, match.end())
    return Entry(match[0], _parse_index(text[start + 1 : end], wide), f"{text[: match.start()]}{{}}{text[end + 1 :]}")


def _parse_index(text: str, wide: Mapping[str, int]) -> tuple[Item, ...]:
    return tuple(item for part in _split(text, ",") for item in _parse_item(part, wide))


def _parse_item(text: str, wide: Mapping[str, int]) -> tuple[Item, ...]:
    """One index; several for a wide letter."""
    if text.startswith("("):
        return (Group(tuple(item for part in text[1:-1].split() for item in _parse_item(part, wide))),)
    if text.lstrip("-").isdigit():
        return (int(text),)
    if _NAME.match(text):
        lookup = _parse_entry(text, wide)
        return (Lookup(lookup.name, lookup.index),)
    return tuple(f"{text}{i}" for i in range(wide[text])) if text in wide else (text,)


def _split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that are not in brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == separator and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _end_of_bracket(text: str, start: int) -> int:
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "[") - (text[i] == "]")
        if not depth:
            return i
    raise ValueError(f"a bracket is not closed: {text!r}")
