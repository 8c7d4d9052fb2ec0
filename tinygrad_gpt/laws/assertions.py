"""Comparing observed with expected arrays; a finding names the worst entry in full, and the tolerance."""

from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array, LawBroken


def require_within(what: str, got: Any, want: Any, bound: Any, policy: str = "", nan_is_nan: bool = False) -> None:
    """Raise LawBroken unless the shapes agree and |got - want| <= bound entry by entry; inf equals inf."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        raise LawBroken(f"{what} of shape {got.shape}", f"shape {want.shape}", policy)
    bound = np.broadcast_to(bound, got.shape)
    with np.errstate(all="ignore"):  # inf - inf
        apart = np.abs(got - want)
    wrong = ~((apart <= bound) | (got == want))
    if nan_is_nan:
        wrong &= ~(np.isnan(got) & np.isnan(want))
    if wrong.any():
        excess = np.where(np.isfinite(apart), apart - bound, np.inf)
        worst = np.unravel_index(np.argmax(np.where(wrong, excess, -np.inf)), wrong.shape)
        raise LawBroken(
            f"{_entry_name(what, worst)} = {got[worst].item()!r}",
            f"{want[worst].item()!r}, to within {float(bound[worst]):.1e}",
            policy,
        )


def require_same(what: str, got: Array | None, want: Array | None, policy: str = "") -> None:
    """Raise LawBroken unless both are None, or of the same shape, dtype and bits."""
    if got is None or want is None:
        if got is not want:
            raise LawBroken(f"{what} is {got!r}", f"{want!r}", policy)
        return
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        raise LawBroken(f"{what} of {got.dtype}{got.shape}", f"{want.dtype}{want.shape}", policy)
    if got.tobytes() != want.tobytes():
        place = next(k for k in np.ndindex(got.shape) if got[k].tobytes() != want[k].tobytes())
        raise LawBroken(
            f"{_entry_name(what, place)} = {got[place].item()!r}", f"{want[place].item()!r}, bit by bit", policy
        )


def _entry_name(what: str, place: Any) -> str:
    """what, or what[i, j]."""
    return f"{what}[{', '.join(str(int(i)) for i in place)}]" if len(place) else what
