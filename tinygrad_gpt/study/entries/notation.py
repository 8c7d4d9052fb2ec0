"""Sums in index notation, as a derivation writes them.  A program can read them, too.

    y[n,o]       = Σ x[n,i] weight[i,o]
                 + bias[o]                          # the bias
    dweight[i,o] = Σ x[n,i] dy[n,o]
    dtable[v,c]  = Σ dy[n,c] where ids[n] = v

The third line is dW = xᵀ dy: the entry in row i and column o of dweight is the sum of x[n,i] dy[n,o] over all n.  So an
index letter on the left says which entry is meant.  All other letters of a line take all their values, and the line is
the sum over them: it then begins with Σ.  A line without Σ is a single term.  A line that begins with + or - goes on
with the sum above.

An index is

- a letter.  A "wide" letter stands for any number of axes; n is usually one, for all axes but the last;
- a number: y[n,0];
- an entry of an array of integers: table[ids[n],c] is in the row that ids[n] names;
- a group, for one axis that is several axes one after another.  In y[b,t,(h d)] the last axis has D channels for each
  head, so the index is h D + d.  In qkv[b,t,(0 h d)] it has three parts of H D channels; 0, 1 or 2 says which.

A factor is an entry, a function of an entry (e^x[n], 1/b[n]), or a number in braces that is in no array: {1/√D}.  A
line with `where` has only the terms for which all its conditions (with commas between them) are true.  The text after #
says by which way the terms of this line come about.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[^\W\d_][\w\u0302]*(?: \d+)?(?=\[)")  # before an index; also x̂ and array 0
_REST_OF_NAME = re.compile(r" \d+\[")
_LETTER = re.compile(r"[a-z]\d*'*")  # also i0 or j'
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
    formula: str  # the whole sum on one line, for a reader


def parse_sums(text: str, wide: Mapping[str, int]) -> list[SumPattern]:
    """The sums of a text in this notation; `wide` gives the number of axes of each wide letter.

    Raises ValueError for a line that is not in the notation, for a sum without Σ, and for Σ without a sum.
    """
    return [_parse_sum(left, lines, wide) for left, lines in _split_sums(text)]


def align_sums(text: str) -> str:
    """The sums of a text for a reader: signs and ways in columns, numbers without braces."""
    rows = []
    for left, lines in _split_sums(text):
        for i, line in enumerate(lines):
            term, hash_sign, way = line.partition("#")
            rows.append((_plain(left) if i == 0 else "", ("" if i else "= ") + _plain(term), hash_sign + way))
    left_width, term_width = (max(_width(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(
        f"{_padded(left, left_width)} {_padded(term, term_width)}   {way}".rstrip() for left, term, way in rows
    )


def _split_sums(text: str) -> list[tuple[str, list[str]]]:
    """The left side of each sum, and its lines."""
    found: list[tuple[str, list[str]]] = []
    for line in map(str.strip, text.splitlines()):
        left, equals, right = line.partition(" = ")
        if found and line.startswith(("+ ", "- ")):
            found[-1][1].append(line)
        elif equals and not line.startswith(("+ ", "- ")):
            found.append((left.strip(), [right.strip()]))
        elif line:
            raise ValueError(f"a sum must be NAME[...] = TERM; got {line!r}")
    return found


def _parse_sum(left: str, lines: list[str], wide: Mapping[str, int]) -> SumPattern:
    whole = _parse_entry(left, wide)
    if whole.form != "{}":
        raise ValueError(f"the left side of a sum must be NAME[...]; got {left!r}")
    own = {letter for item in whole.index for letter in _letters_in(item)}
    terms = tuple(_parse_term(line, own, wide) for line in lines)
    return SumPattern(whole.name, whole.index, terms, _formula(left, lines))


def _formula(left: str, lines: list[str]) -> str:
    terms = [_plain(line.partition("#")[0]) for line in lines]
    if len(terms) > 1:  # a condition must not seem to be one of the next term
        terms = [re.sub(r" (where .+)", r" (\1)", term) for term in terms]
    return f"{_plain(left)} = {' '.join(terms)}"


def _plain(text: str) -> str:
    """A side of a sum for a reader: numbers without braces and empty indices, - ∞ for + -∞."""
    return text.replace("{", "").replace("}", "").replace("[]", "").replace("+ -", "- ").strip()


def _width(text: str) -> int:
    """The columns of a text; the hat of x̂ takes none."""
    return sum(not unicodedata.combining(character) for character in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _letters_in(item: Item) -> Iterator[str]:
    """The letters of an index, in order."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, Group | Lookup):
        for part in item.items if isinstance(item, Group) else item.index:
            yield from _letters_in(part)


def _parse_term(line: str, own: set[str], wide: Mapping[str, int]) -> TermPattern:
    body, _, way = line.partition("#")
    product, _, conditions = body.partition(" where ")
    words = _split(product, " ")
    factors: list[Entry | Number] = []
    if words and words[0] in ("+", "-") and words.pop(0) == "-":
        factors.append(Number("-1"))
    summed = words[:1] == ["Σ"]
    if not words[summed:]:
        raise ValueError(f"a term must have a factor; got {line!r}")
    for word in words[summed:]:
        factors.append(Number(word[1:-1]) if word.startswith("{") else _parse_entry(word, wide))
    where = tuple(_parse_condition(text, wide) for text in _split(conditions, ","))
    items = [item for factor in factors if isinstance(factor, Entry) for item in factor.index]
    items += [side for condition in where for side in (condition.left, condition.right)]
    letters = tuple(dict.fromkeys(letter for item in items for letter in _letters_in(item) if letter not in own))
    may_be_empty = any(axes == 0 for axes in wide.values())  # Σ over a wide letter that stands for no axis
    if summed != bool(letters) and not (summed and may_be_empty):
        raise ValueError(
            f"Σ must stand before a term that sums over letters ({', '.join(letters) or 'none'}): {line!r}"
        )
    return TermPattern(tuple(factors), where, letters, way.strip())


def _parse_condition(text: str, wide: Mapping[str, int]) -> Condition:
    if match := _COMPARISON.fullmatch(text):
        left, right = _parse_item(match[1], wide), _parse_item(match[3], wide)
        if len(left) == len(right) == 1:
            return Condition(left[0], match[2], right[0])
    raise ValueError(f"a condition must compare two indices, like t <= j; got {text!r}")


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
    if not _LETTER.fullmatch(text):
        raise ValueError(f"an index must be a letter, a number, an entry or a group; got {text!r}")
    return tuple(f"{text}{axis}" for axis in range(wide[text])) if text in wide else (text,)


def _split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that are not in brackets."""
    parts, depth = [""], 0
    for i, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == separator and not depth and not _REST_OF_NAME.match(text, i):
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
