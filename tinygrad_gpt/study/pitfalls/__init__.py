"""Pitfalls: wrong gradients and wrong losses that people really write, each with what catches it, and exercises.

`cases/` has one module per pitfall: the wrong code, a symptom to look at, the fixed code, and the object that the laws
check.  `exercises/` has vjps to write.

    pitfall = find("layer-norm-terms")
    pitfall.symptom(pitfall.wrong)      # prints
    pitfall.check()                     # raises laws.LawBroken
    pitfall.check_fixed()               # does not

A pitfall needs Hypothesis, as the laws do; the list of them does not.
"""

import ast
from importlib import import_module
from importlib.resources import files

from tinygrad_gpt.study.pitfalls.pitfall import Pitfall as Pitfall

NAMES = (  # in the order of their numbers
    *("broadcast-bias", "repeated-ids", "layer-norm-terms", "softmax-and-ones", "softmax-axis", "attention-scale"),
    *("saved-value", "grad-overwritten", "graph-order", "log-of-softmax", "mean-of-means", "mean-of-exps"),
    *("targets-not-shifted", "mask-off-by-one", "tied-by-copy", "dropout-in-evaluation", "bias-correction"),
    *("decay-in-the-gradient", "temperature-too-late", "top-k-ties", "root-of-zero"),
)
_CASES = f"{__name__}.cases"


def listing() -> str:
    """A line per pitfall: number, name, area, title."""
    return "\n".join(_line(number, name) for number, name in enumerate(NAMES, 1))


def _line(number: int, name: str) -> str:
    texts = _texts_of(name)
    return f"{number:>2}  {name:<22} {texts['area']:<10} {texts['title']}"


def _texts_of(name: str) -> dict[str, str]:
    """The texts in a case's `PITFALL = Pitfall(...)`, read without running the module, which needs Hypothesis."""
    source = files(_CASES).joinpath(f"{_module(name)}.py").read_text("utf-8")
    call = next(node.value for node in ast.parse(source).body[::-1] if isinstance(node, ast.Assign))
    assert isinstance(call, ast.Call)
    return {str(k.arg): str(k.value.value) for k in call.keywords if isinstance(k.value, ast.Constant)}


def _module(name: str) -> str:
    return name.replace("-", "_")


def _load(name: str) -> Pitfall:
    pitfall: Pitfall = import_module(f"{_CASES}.{_module(name)}").PITFALL
    return pitfall


def every() -> tuple[Pitfall, ...]:
    """All of them, in order."""
    return tuple(_load(name) for name in NAMES)


def find(key: str) -> Pitfall:
    """The pitfall with this number, counted from 1, or this name; KeyError if there is none."""
    if key.isdecimal() and 1 <= int(key) <= len(NAMES):
        return _load(NAMES[int(key) - 1])
    if key not in NAMES:
        raise KeyError(key)
    return _load(key)
