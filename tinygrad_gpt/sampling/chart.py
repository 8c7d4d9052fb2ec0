"""One step of generation as bars: the model's own distribution beside the one from which the token was drawn."""

import unicodedata
from collections.abc import Callable, Sequence

import numpy as np

from tinygrad_gpt.backend import Array, to_host

_BLOCKS = " ▏▎▍▌▋▊▉█"  # eighths of a column
_MARK = ">"
_LONGEST_LABEL = 20
_PERCENT = 7  # "100.0% "
_GAP = 2


def probability_bars(
    before: Array,
    after: Array,
    labels: Sequence[str | bytes] | Callable[[int], str | bytes],
    n: int = 10,
    width: int = 80,
    *,
    chosen: int | None = None,
) -> str:
    """The n likeliest tokens with bars before and after temperature, top-k and so on, `width` columns wide.

    before, after (V,) are probabilities.  labels[id] or labels(id) is a token's text, or its bytes if it is part of a
    character.  All bars have one scale.  "-" stands for a token that cannot be drawn.  ">" marks the chosen token,
    which is listed even if it is not among the n.
    Raises ValueError for n below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}")
    before, after = to_host(before), to_host(after)
    tokens = np.argsort(-before, kind="stable")[:n].tolist()
    if chosen is not None and chosen not in tokens:
        tokens.append(chosen)
    text = labels if callable(labels) else labels.__getitem__
    names = [truncate_to(quote_visibly(text(token)), _LONGEST_LABEL) for token in tokens]
    widest = max(len("token"), *(display_width(name) for name in names))
    bar_width = max(1, (width - len(_MARK) - 1 - widest - 2 * (_GAP + _PERCENT)) // 2)
    scale = bar_width / max(before[tokens].max(), after[tokens].max())

    def cell(p: float) -> str:
        return f"{percent(p)} {bar(p * scale)}"

    head = f"  {pad_to('token', widest)}  {'before':<{_PERCENT + bar_width}}  after"
    lines = [
        f"{_MARK if token == chosen else ' '} {pad_to(name, widest)}  "
        f"{cell(before[token]):<{_PERCENT + bar_width}}  {cell(after[token])}"
        for token, name in zip(tokens, names, strict=True)
    ]
    return "\n".join(line.rstrip() for line in [head, *lines])


def percent(p: float) -> str:
    """p in six columns; an impossible token looks different from an unlikely one."""
    if p == 0:
        return f"{'-':>6}"
    return f"{'<0.1%':>6}" if p < 0.0005 else f"{p:6.1%}"


def bar(length: float) -> str:
    """A bar of this many columns, rounded to an eighth of a column."""
    eighths = round(8 * length)
    return (_BLOCKS[8] * (eighths // 8) + _BLOCKS[eighths % 8]).rstrip()


def quote_visibly(text: str | bytes) -> str:
    """text in quotes, with newlines, tabs and other control characters escaped; bytes as b'\\xe2'."""
    return repr(text)


def display_width(text: str) -> int:
    """The number of terminal columns of a text: two for a wide character, none for a combining one."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def pad_to(text: str, width: int) -> str:
    """text, filled up with spaces to `width` columns."""
    return text + " " * (width - display_width(text))


def truncate_to(text: str, width: int) -> str:
    """text, or as much of its beginning as fits into `width` columns with an ellipsis."""
    if display_width(text) <= width:
        return text
    while display_width(text) > width - 1:
        text = text[:-1]
    return text + "…"
