"""A docstring's formula, written for a terminal, as LaTeX: √(2/π) x̂_i becomes \\sqrt{2/\\pi}\\, \\hat{x}_{i}.

It knows only what the docstrings use.  Words that are not in its lists of functions and quantities are text.
"""

import re

_FUNCTIONS = ("mean", "max", "tanh", "ln", "log", "exp", "erf", "softmax", "rowsum", "cross_entropy")
_QUANTITIES = (
    *("table", "ids", "key", "targets", "target", "loss", "dloss", "dlogits", "nll", "value", "rate"),
    *("count", "dtable"),
)
_SYMBOLS = {
    **{"μ": r"\mu", "ε": r"\varepsilon", "π": r"\pi", "Φ": r"\Phi", "Σ": r"\sum", "∘": r"\circ", "·": r"\cdot"},
    **{"½": r"\tfrac{1}{2}", "…": r"\dots", "²": "^{2}", "³": "^{3}", "ᵀ": r"^{\top}", "inf": r"\infty"},
    "+=": r"\text{ += }",
}
_ACCENTS = {"\u0302": r"\hat", "\u0304": r"\bar"}
_TOKEN = re.compile(
    rf"(?P<function>(?:{'|'.join(_FUNCTIONS)})(?![a-z]))"
    rf"|(?P<infinity>inf(?![a-z]))"
    rf"|(?P<quantity>(?:{'|'.join(sorted(_QUANTITIES, key=len, reverse=True))})(?![a-z]))"
    r"|(?P<accented>d?[a-z][\u0302\u0304])"
    r"|(?P<gradient>d[a-zA-Z](?:/?d[a-zA-Z])?(?![a-zA-Z]))"
    r"|(?P<word>[A-Za-z]{2,}(?:-[a-z]+)?)"
    r"|(?P<letter>[A-Za-z])"
    r"|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<space> +)"
    r"|(?P<raised>\^)"
    r"|(?P<lowered>_)"
    r"|(?P<root>√)"
    r"|(?P<symbol>[μεπΦΣ∘·½…²³ᵀ])"
    r"|(?P<adding>\+=)"
    r"|(?P<sign>[-+=/(),:;.\[\]<>|{}])"
)
_GAP = re.compile(r"(?:,)? {2,}")
_JOINING = re.compile(r"(?:[\w})\]]|\\top)$")


def formula(lines: list[str]) -> str:
    """The lines of a formula as one LaTeX array, with a cell for each part between wide gaps."""
    rows = [cells(line) for line in lines]
    starts = _columns([start for row in rows for start, _ in row])
    places = [[max(i for i, first in enumerate(starts) if first <= start) for start, _ in row] for row in rows]
    if len(rows) == 1 or any(row[-1] - row[0] >= len(row) for row in places):  # no table, or one with empty cells
        return _stacked([r" \qquad ".join(tex(text) for _, text in row) for row in rows])
    table = []
    for row, filled in zip(rows, places, strict=True):
        texts = dict(zip(filled, (tex(text) for _, text in row), strict=True))
        table.append(r" \quad & ".join(texts.get(i, "") for i in range(len(starts))))
    return _stacked(table, len(starts))


def _stacked(rows: list[str], n_columns: int = 1) -> str:
    """Rows below each other; a single row needs no array."""
    if len(rows) == 1:
        return rows[0]
    body = " \\\\[4pt]\n".join(rows)
    return f"\\begin{{array}}{{{'l' * n_columns}}}\n{body}\n\\end{{array}}"


def cells(line: str) -> list[tuple[int, str]]:
    """The parts of a line between gaps of two spaces or more, and the columns where they start."""
    found, start = [], len(line) - len(line.lstrip())
    for gap in [*_GAP.finditer(line, start), None]:
        end = gap.start() if gap else len(line)
        found.append((sum(c not in _ACCENTS for c in line[:start]), line[start:end]))
        start = gap.end() if gap else end
    return found


def _columns(starts: list[int]) -> list[int]:
    """Where columns start: starts that differ by two at most are one column (one of them may have a sign)."""
    found: list[int] = []
    for start in sorted(set(starts)):
        if not found or start - found[-1] > 2:
            found.append(start)
    return found


def tex(text: str) -> str:
    r"""One formula as LaTeX.

    >>> tex("y = ½ x (1 + tanh u)²")
    'y = \\tfrac{1}{2}\\, x\\, (1 + \\operatorname{tanh} u)^{2}'
    """
    written, words = "", ""
    at, space = 0, ""
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise ValueError(f"tex does not know {text[at]!r}, in {text!r}")
        kind, token, at = found.lastgroup, found[0], found.end()
        if kind == "space":
            space = " "
            continue
        if kind == "word" or words.endswith("the"):  # as in "through the mean"
            words += f"{space if words or written else ''}{token}"
            space = ""
            continue
        if words:
            written, words = f"{written}\\text{{{words}{space}}}", ""
            space = ""
        made, at = _latex_of(str(kind), token, text, at)
        if token in "-:" and (token == ":" or written.endswith(r" }")):  # after words it is not a minus
            made = f"{{{token}}}"
        written += _joint(written, made, str(kind), space) + made
        space = ""
    return f"{written}\\text{{{words}}}" if words else written


def _latex_of(kind: str, token: str, text: str, at: int) -> tuple[str, int]:
    """The LaTeX of a token that ends at `at`, and where the rest of the text begins."""
    if kind == "function":
        return r"\operatorname{" + token.replace("_", r"\_") + "}", at
    if kind == "quantity":
        return rf"\mathit{{{token}}}", at
    if kind == "accented":
        return f"{'d' if len(token) > 2 else ''}{_ACCENTS[token[-1]]}{{{token[-2]}}}", at
    if kind in ("raised", "lowered"):
        inside, at = _operand(text, at, r"[\w,]+" if kind == "lowered" else r"\w+")
        letters = re.fullmatch("[a-z]{2}", inside)  # two indices, not a word
        return f"{'^' if kind == 'raised' else '_'}{{{inside if letters else tex(inside)}}}", at
    if kind == "root":
        inside, at = _operand(text, at, r"\w+")
        return rf"\sqrt{{{tex(inside)}}}", at
    if token in "{}":
        return rf"\{token}", at
    return _SYMBOLS.get(token, token), at


def _operand(text: str, at: int, plain: str) -> tuple[str, int]:
    """The operand of a root, an exponent or an index: the inside of (...) or {...}, or a run of plain characters."""
    if at < len(text) and text[at] in "({":
        depth = 0
        for end in range(at, len(text)):
            depth += (text[end] in "({") - (text[end] in ")}")
            if depth == 0:
                return text[at + 1 : end], end + 1
    run = re.compile(plain).match(text, at)
    if not run:
        raise ValueError(f"nothing to raise, lower or take the root of, in {text!r}")
    return run[0].rstrip(","), at + len(run[0].rstrip(","))


def _joint(written: str, made: str, kind: str, space: str) -> str:
    """The space between two pieces: thin between factors, else as in the text."""
    if not space:
        return ""
    factors = _JOINING.search(written) and (made[0] in "([\\" or made[0].isalnum())
    after_function = re.search(r"\\operatorname\{[^}]*\}$", written)
    operator = re.match(r"\\(?:circ|cdot)\b", made) or re.search(r"\\(?:circ|cdot|sum(?:_\{\w+\})?)$", written)
    return r"\, " if factors and not operator and not after_function else " "
