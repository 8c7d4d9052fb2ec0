"""Cases for the laws of samplers: logits with settings that the sampler takes, k from V; and numbers as text."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws import strategies
from tinygrad_gpt.laws.law import Array, Case
from tinygrad_gpt.laws.sampling.under_test import SamplerUnderTest

# Multiples of 1/256 within 8 of 0: exact sums, and weights that never underflow to 0.
EXACT_LOGITS = (strategies.dyadic(8),)
TIED_LOGITS = (strategies.ties(), strategies.dyadic(8))


@st.composite
def logits_and_settings(
    draw: st.DrawFn,
    /,
    sut: SamplerUnderTest,
    *names: str,
    always: tuple[str, ...] = (),
    rows: tuple[int, int] = (1, 3),
    vocabulary: tuple[int, int] = (1, 8),
    **options: Any,
) -> Case:
    """logits (options as in `strategies.logits_of`) and those of the named settings (default: all) that the sampler
    takes.
    """
    shape = draw(strategies.shapes(rows, vocabulary))
    settings = draw(settings_for(sut, shape[-1], names or sut.settings, always))
    return {"logits": draw(strategies.logits_of(shape, **options)), "settings": settings}


@st.composite
def settings_for(
    draw: st.DrawFn, sut: SamplerUnderTest, vocabulary: int, names: tuple[str, ...], always: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Allowed values of some of these settings, and of all in `always`, as far as the sampler takes them."""
    taken = [name for name in names if name in sut.capabilities]
    return {
        name: draw(setting_values(sut, name, vocabulary)) for name in taken if name in always or draw(st.booleans())
    }


def setting_values(sut: SamplerUnderTest, name: str, vocabulary: int) -> st.SearchStrategy[Any]:
    """Values of one setting that the sampler's policies allow."""
    if name == "temperature":
        return strategies.temperatures()
    if name == "top_k":
        return strategies.ks(vocabulary).map(lambda k: allowed_k(sut, k, vocabulary))
    return strategies.fractions()


def allowed_k(sut: SamplerUnderTest, k: int, vocabulary: int) -> int:
    """k; at most V for a sampler whose policy is to refuse more."""
    return min(k, vocabulary) if sut.large_k == "error" else k


def format_array(values: Any, digits: int = 6) -> str:
    """Numbers for a message, rounded to this many digits; long arrays are abridged."""
    return np.array2string(np.asarray(values), precision=digits, threshold=40, max_line_width=90, separator=", ")


def row_difference(seen: Any, wanted: Any, note: str = "", first_row: int = 0) -> tuple[str, str]:
    """(observed, expected) for two arrays: the row where they differ most, with enough digits to see it."""
    seen, wanted = np.asarray(seen, np.float64), np.asarray(wanted, np.float64)
    if seen.shape != wanted.shape:
        return f"shape {seen.shape}{note}", f"shape {wanted.shape}"
    gaps = np.nan_to_num(np.abs(seen - wanted), nan=np.inf).max(-1, initial=0)
    row = int(gaps.argmax()) if gaps.size else 0
    for digits in (4, 8, 12, 17):
        texts = format_array(seen[row], digits), format_array(wanted[row], digits)
        if texts[0] != texts[1]:
            break
    return f"row {first_row + row}: {texts[0]}{note}", texts[1]


def allowed_ids(p: Array) -> list[int]:
    """The ids that can be drawn from p (V)."""
    return [int(i) for i in np.flatnonzero(p > 0)]


def uniform_grid(n: int) -> Array:
    """The midpoints of n equal parts of [0, 1)."""
    return (np.arange(n) + 0.5) / n
