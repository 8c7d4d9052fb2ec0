"""Pitfalls: wrong gradients and wrong losses that people really write, each with what catches it, and exercises.

A module per pitfall: the wrong code, a symptom to look at, the code mended, and the object that the laws check.

    pitfall = find("layer-norm-terms")
    pitfall.symptom(pitfall.wrong)      # prints
    pitfall.check()                     # raises laws.LawBroken
    pitfall.check_mended()              # does not

A pitfall needs Hypothesis, as the laws do; the list of them does not.  `exercises` is about vjps to write oneself.
"""

from importlib import import_module

from tinygrad_gpt.study.pitfalls.pitfall import Pitfall as Pitfall

CONTENTS = (  # name, area and title in the order of the numbers, for a list that needs no Hypothesis
    ("broadcast-bias", "gradient", "the bias that grew"),
    ("repeated-ids", "gradient", "a rose is a rose, once"),
    ("layer-norm-terms", "gradient", "the loss falls, and then it cannot"),
    ("softmax-and-ones", "gradient", "the check that passes anything"),
    ("softmax-axis", "gradient", "a row that minds its neighbours"),
    ("attention-scale", "gradient", "the wider the head, the larger"),
    ("saved-value", "gradient", "right until dropout is on"),
    ("grad-overwritten", "engine", "the last use wins"),
    ("graph-order", "engine", "a node that could not wait"),
    ("log-of-softmax", "loss", "one token, and the loss is infinite"),
    ("mean-of-means", "loss", "a loss that depends on the batch size"),
    ("mean-of-exps", "loss", "ten tokens that ruin a thousand"),
    ("targets-not-shifted", "data", "a loss of 0, and nothing learned"),
    ("mask-off-by-one", "model", "better than possible"),
    ("tied-by-copy", "model", "the file holds half of the model"),
    ("dropout-in-evaluation", "loss", "looking changes the run"),
    ("bias-correction", "optimizer", "a first step that is too short"),
    ("decay-in-the-gradient", "optimizer", "large gradients do not decay"),
    ("temperature-too-late", "sampling", "a knob that does nothing"),
    ("top-k-ties", "sampling", "the k likeliest, and some more"),
    ("root-of-zero", "gradient", "they met, and were never seen again"),
)
NAMES = tuple(name for name, _, _ in CONTENTS)


def listing() -> str:
    """A line per pitfall: number, name, area, title."""
    return "\n".join(f"{i:>2}  {name:<22} {area:<10} {title}" for i, (name, area, title) in enumerate(CONTENTS, 1))


def _load(name: str) -> Pitfall:
    """The pitfall of this name, one of NAMES."""
    pitfall: Pitfall = import_module(f"{__name__}.{name.replace('-', '_')}").PITFALL
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
