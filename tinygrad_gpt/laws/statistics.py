"""Tests of frequencies that are not flaky: a false alarm in one of 1,000,000,000 checks.

The bounds are true for every number of draws, and need only NumPy: no table, no limit theorem.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Law, LawBroken

ALPHA = 1e-9  # the chance that a correct object fails one check; a statistical law makes one check per case
BUDGET = 1e-6  # the largest sum of these chances in one run


def false_alarm(laws: Iterable[Law], examples: int) -> float:
    """An upper bound of the chance that a correct object fails one of these laws, with this many cases for each."""
    counting = [law for law in laws if law.level == "statistical"]
    return ALPHA * sum(min(examples, law.examples or examples) for law in counting)


def assert_frequencies(counts: Any, p: Any, alpha: float = ALPHA) -> None:
    """Raise LawBroken unless counts (V) look like sum(counts) draws from p (V).

    A draw of an id with p = 0 fails at once.  Otherwise the relative entropy of the counts to p is tested; a correct
    sampler fails with a chance of at most alpha, for any number of draws.  The message says which discrepancy this many
    draws show.  Raises ValueError unless both are finite and not negative.
    """
    counts, p = np.asarray(counts), np.asarray(p, np.float64)
    for name, values in {"counts": counts, "p": p}.items():
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise ValueError(f"{name} must be finite and at least 0; got {values}")
    if counts.shape != p.shape or not p.sum() > 0:
        raise ValueError(f"p must have the shape of counts, {counts.shape}, and a sum above 0; got {p}")
    n = int(counts.sum())
    impossible = np.flatnonzero((p == 0) & (counts > 0))
    if len(impossible):
        id = int(impossible[0])
        raise LawBroken(f"id {id} drawn {int(counts[id])} times in {n}", f"never: its probability is {p[id]}")
    cells, entropy = int((p > 0).sum()), relative_entropy(counts, p)
    tail = relative_entropy_tail(entropy, cells)
    if tail < alpha:
        expected = n * p / p.sum()
        worst = int(np.argmax(np.abs(counts - expected)))
        raise LawBroken(
            f"{n} draws with relative entropy {entropy:.1f}/{n} over {cells} ids (chance at most {tail:.1e}); "
            f"id {worst} drawn {int(counts[worst])} times, {expected[worst]:.1f} expected",
            f"a chance of at least {alpha:.0e}; {n} draws show any total variation above "
            f"{detectable_variation(cells, n, alpha):.3f} in 99 of 100 runs",
        )


def relative_entropy(counts: Any, p: Any) -> float:
    """n KL(counts/n, p) = sum c log(c / (n p)) in nats; counts of 0 add nothing."""
    seen = counts > 0
    c = np.asarray(counts[seen], np.float64)
    return float((c * (np.log(c / c.sum()) - np.log(p[seen]) + np.log(p.sum()))).sum())


def assert_uniform(u: Any, alpha: float = ALPHA) -> None:
    """Raise LawBroken unless u (n) looks like n uniform numbers in [0, 1): Kolmogorov-Smirnov.

    The bound 2 exp(-2 n d^2) on the chance of a distance d is true for every n.
    Source.  Massart 1990, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality".
    """
    u = np.sort(np.asarray(u, np.float64).reshape(-1))
    n = len(u)
    if not n:
        raise ValueError("u must hold at least one number")
    steps = np.arange(n + 1) / n
    distance = float(max((steps[1:] - u).max(), (u - steps[:-1]).max()))
    limit = math.sqrt(math.log(2 / alpha) / (2 * n))
    if not distance <= limit:
        raise LawBroken(
            f"{n} numbers at distance {distance:.4f} from uniform",
            f"at most {limit:.4f}; {n} numbers show any distance above "
            f"{detectable_distance(n, alpha):.3f} in 99 of 100 runs",
        )


def detectable_distance(n: int, alpha: float = ALPHA, power: float = 0.99) -> float:
    """The distance from uniform that n numbers show with at least this power (Massart's bound, twice)."""
    return (math.sqrt(math.log(2 / alpha)) + math.sqrt(math.log(2 / (1 - power)))) / math.sqrt(2 * n)


def relative_entropy_tail(t: float, cells: int) -> float:
    """A bound on the chance that n draws from p over this many cells have n KL(counts/n, p) >= t, for every n and p.

    Source.  Agrawal 2020, "Finite-sample concentration of the multinomial in relative entropy", theorem 1.2.
    """
    m = cells - 1
    return 1.0 if m == 0 or t <= m else math.exp(-t + m * (1 + math.log(t / m)))


def detectable_variation(cells: int, n: int, alpha: float = ALPHA, power: float = 0.99) -> float:
    """The total variation from p that n draws show with at least this power, in any direction, for every p.

    The ids A that q makes likelier than p have the share q(A) = p(A) + TV.  At most 1 - power of runs observe a share
    below q(A) - sqrt(log(1 / (1 - power)) / 2n) (Hoeffding), and n KL >= 2n (observed share - p(A))^2 (Pinsker).
    Many discrepancies show earlier.  Raises ValueError unless cells and n are at least 1.
    """
    if cells < 1 or n < 1:
        raise ValueError(f"cells and n must be at least 1; got {cells} and {n}")
    critical = _critical_entropy(cells, alpha)
    return (math.sqrt(critical) + math.sqrt(-math.log1p(-power))) / math.sqrt(2 * n)


def _critical_entropy(cells: int, alpha: float) -> float:
    """The t above which the tail is below alpha; 0 for one cell, where any other id is impossible."""
    if cells == 1:
        return 0.0
    return _bisect(lambda t: relative_entropy_tail(t, cells) - alpha, 4.0 * cells - 2 * math.log(alpha))


def _bisect(falling: Any, above: float) -> float:
    """The zero of a falling function between 0 and above."""
    low, high = 0.0, above
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return high
