"""Pitfalls: wrong gradients and wrong losses that people really write, each with what catches it, and exercises.

A module per pitfall: the wrong code, a symptom to look at, the code mended, and the object that the laws check.

    pitfall = find("layer-norm-terms")
    pitfall.symptom(pitfall.wrong)      # prints
    pitfall.check()                     # raises laws.LawBroken
    pitfall.check_mended()              # does not

Needs Hypothesis, as the laws do.  `exercises` is about vjps to write oneself.
"""

from importlib import import_module

from tinygrad_gpt.study.pitfalls.pitfall import Pitfall as Pitfall

NAMES = (  # in the order of the numbers
    "broadcast-bias",
    "repeated-ids",
    "layer-norm-terms",
    "softmax-and-ones",
    "softmax-axis",
    "attention-scale",
    "saved-value",
    "grad-overwritten",
    "graph-order",
    "log-of-softmax",
    "mean-of-means",
    "mean-of-exps",
    "targets-not-shifted",
    "mask-off-by-one",
    "tied-by-copy",
    "dropout-in-evaluation",
    "bias-correction",
    "decay-in-the-gradient",
    "temperature-too-late",
    "top-k-ties",
)


def load(name: str) -> Pitfall:
    """The pitfall of this name, one of NAMES."""
    pitfall: Pitfall = import_module(f"{__name__}.{name.replace('-', '_')}").PITFALL
    return pitfall


def every() -> tuple[Pitfall, ...]:
    """All of them, in order."""
    return tuple(load(name) for name in NAMES)


def find(key: str) -> Pitfall:
    """The pitfall with this number, counted from 1, or this name; KeyError if there is none."""
    if key.isdecimal() and 1 <= int(key) <= len(NAMES):
        return load(NAMES[int(key) - 1])
    if key not in NAMES:
        raise KeyError(key)
    return load(key)
