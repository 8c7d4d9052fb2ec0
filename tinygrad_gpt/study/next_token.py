"""The next token's distribution in figures: what temperature, top-k and top-p make of one row of logits.

table(view, ...)    for a terminal
figure(view, ...)   the chapter's figures: bars at several temperatures, the cut, entropy over temperature
page(view, ...)     one HTML file with sliders, which computes in the browser by the rules of `probabilities`
"""

import base64
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_gpt.backend import Array, require, to_host
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.runs.plot import drawable_text, set_title
from tinygrad_gpt.sampling import SamplerSettings, probabilities
from tinygrad_gpt.sampling.chart import bar, display_width, pad_to, percent, quote_visibly, truncate_to
from tinygrad_gpt.sampling.settings import RULES
from tinygrad_gpt.tape import no_grad
from tinygrad_gpt.text import Tokenizer

if TYPE_CHECKING:  # a name for mypy; matplotlib is loaded when a figure is drawn
    from matplotlib.figure import Figure

_LONGEST_LABEL = 20
_UNIFORM = "a number from 0 to below 1"
_COLOURS = ("#1f5fa8", "#d1601f", "#3a8f5c", "#8a4fa3", "#b08a1e", "#4c9aa8")
_GREY = "#8a8a8a"
_LEGEND_BELOW = {
    "loc": "upper center",
    "bbox_to_anchor": (0.5, -0.13),
    "fontsize": "small",
    "frameon": False,
}  # hides no mark
_CURVE = np.geomspace(0.05, 10, 120)  # temperatures of the curve of entropies


@dataclass(frozen=True)
class NextToken:
    """One row of logits (V,), the text that it continues, and how each token reads."""

    text: str
    logits: Array
    label: Callable[[int], str]

    def likeliest(self, n: int) -> list[int]:
        """The n likeliest tokens, of equals the lowest id first: the same at every temperature above 0."""
        return [int(token) for token in np.argsort(-self.logits, kind="stable")[:n]]


def next_token(model: GPT, tokenizer: Tokenizer, text: str) -> NextToken:
    """What the model expects after a text; of a text longer than its context it sees the last tokens.

    Raises ValueError for a text without a token, or logits that are not finite.
    """
    ids = tokenizer.encode(text)[-model.config.context_length :]
    if not len(ids):
        raise ValueError("text must hold at least one token: the model continues it")
    with no_grad():
        logits = to_host(model(ids[None]).data)[0, -1]
    probabilities(logits)  # raises, in one line, for what cannot be drawn from

    return NextToken(text, logits, lambda token: quote_visibly(tokenizer.label(token)))


def limits_text(cut: SamplerSettings) -> str:
    """The limits in words.

    >>> limits_text(SamplerSettings(top_k=3, top_p=0.9)), limits_text(SamplerSettings())
    ('top-k 3, top-p 0.9', 'no limit')
    """
    return ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in cut.limits().items()) or "no limit"


def entropy(probs: Array) -> float:
    """-Σ p ln p of one distribution (V,), in nats; its exponential, the perplexity, is the size of a fair choice."""
    p = probs[probs > 0]
    return float(-(p * np.log(p)).sum()) + 0.0  # + 0: no -0 for a certain token


def table(view: NextToken, temperatures: Sequence[float], cut: SamplerSettings, n: int = 10, width: int = 80) -> str:
    """The n likeliest tokens at each temperature, after the cut; below them entropy, perplexity, how many remain."""
    rows = [probabilities(view.logits, temperature=T, **cut.limits()) for T in temperatures]
    tokens = view.likeliest(n)
    names = [truncate_to(view.label(token), _LONGEST_LABEL) for token in tokens]
    widest = max(len("can be drawn"), *(display_width(name) for name in names))
    cell = max(14, min(30, (width - widest) // len(rows) - 2))
    scale = max(1, cell - 7) / max(float(row.max()) for row in rows)

    def line(name: str, cells: Iterable[str]) -> str:
        return f"{pad_to(name, widest)}  {'  '.join(f'{text:<{cell}}' for text in cells)}".rstrip()

    return "\n".join(
        [
            line("token", (f"temperature {T:g}" for T in temperatures)),
            *(
                line(name, (f"{percent(row[token])} {bar(row[token] * scale)}" for row in rows))
                for token, name in zip(tokens, names, strict=True)
            ),
            "",
            line("entropy", (f"{entropy(row):.3f} nats" for row in rows)),
            line("perplexity", (f"{math.exp(entropy(row)):,.2f}" for row in rows)),
            line("can be drawn", (f"{int((row > 0).sum()):,} of {row.size:,}" for row in rows)),
        ]
    )


def figure(view: NextToken, temperatures: Sequence[float], cut: SamplerSettings, n: int = 10) -> "Figure":
    """Bars of the n likeliest tokens at each temperature; the cut, if any, at temperature 1; entropy over it."""
    require("matplotlib")
    from matplotlib.figure import Figure

    tokens = view.likeliest(n)
    names = [truncate_to(drawable_text(view.label(token)), _LONGEST_LABEL) for token in tokens]
    size = (11 if cut.limits() else 8, max(5, 2 + 0.25 * len(tokens)))  # inches
    drawn = Figure(figsize=size, layout="constrained")
    set_title(drawn, f"next token after {truncate_to(drawable_text(quote_visibly(view.text)), 70)}")
    panels = drawn.subplots(1, 3 if cut.limits() else 2, width_ratios=(1.2, 1, 0.8) if cut.limits() else (1.2, 0.8))
    by_temperature, over_temperature = panels[0], panels[-1]
    _draw_bars(
        by_temperature,
        names,
        {f"temperature {T:g}": probabilities(view.logits, temperature=T)[tokens] for T in temperatures},
        "temperature alone",
    )
    _draw_entropies(over_temperature, view, temperatures, cut)
    if cut.limits():
        before, after = probabilities(view.logits), probabilities(view.logits, **cut.limits())
        _draw_bars(
            panels[1],
            names,
            {"before": before[tokens], "after": after[tokens]},
            f"{limits_text(cut)}\nat temperature 1",
        )
        panels[1].tick_params(labelleft=False)  # the tokens are those of the panel beside it
    if cut.top_k is not None and cut.top_k < len(tokens):
        panels[1].axhline(cut.top_k - 0.5, color=_GREY, linestyle=(0, (4, 2)), linewidth=1)
    return drawn


def _draw_bars(axes: Any, names: Sequence[str], series: dict[str, Array], title: str) -> None:
    """Groups of horizontal bars, one group per token, the likeliest on top."""
    from matplotlib.ticker import MaxNLocator

    height = 0.8 / len(series)
    for i, ((name, values), colour) in enumerate(zip(series.items(), _colours(len(series)), strict=True)):
        places = np.arange(len(names)) - 0.4 + height * (i + 0.5)
        axes.barh(places, values, height, label=name, color=colour)
    for tick in axes.set_yticks(range(len(names)), names):
        tick.label1.set_parse_math(False)  # a token may hold a $
    axes.invert_yaxis()
    axes.set_xlabel("probability")
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))  # room for numbers such as 0.0150
    axes.set_title(title, fontsize="small")
    axes.legend(ncols=2, **_LEGEND_BELOW)
    axes.spines[["top", "right"]].set_visible(False)


def _colours(n: int) -> Sequence[Any]:
    """n colours that can be told apart."""
    from matplotlib import colormaps

    return [*(_COLOURS[:n] if n <= len(_COLOURS) else colormaps["viridis"](np.linspace(0, 0.9, n)))]


def _draw_entropies(axes: Any, view: NextToken, temperatures: Sequence[float], cut: SamplerSettings) -> None:
    """Entropy over temperature, without and with the cut, the temperatures of the bars marked."""
    from matplotlib.ticker import LogLocator

    for settings, colour in zip(
        dict.fromkeys((SamplerSettings(), cut)), _COLOURS, strict=False
    ):  # one curve where both are the same
        curve = [entropy(probabilities(view.logits, temperature=T, **settings.limits())) for T in _CURVE]
        axes.plot(_CURVE, curve, color=colour, label=limits_text(settings).replace(", ", ",\n"))
    for T in temperatures:
        if _CURVE[0] <= T <= _CURVE[-1]:
            axes.axvline(T, color=_GREY, linewidth=0.7, linestyle=(0, (4, 2)))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("temperature")
    axes.set_ylabel("entropy (nats)")
    axes.set_title("how many tokens it is between", fontsize="small")
    perplexity = axes.secondary_yaxis("right", functions=(np.exp, lambda x: np.log(np.maximum(x, 1e-300))))
    perplexity.set_ylabel("perplexity")
    decades = np.ptp(axes.get_ylim()) / math.log(10)
    perplexity.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,)))
    perplexity.yaxis.set_major_formatter("{x:,g}")
    axes.legend(**_LEGEND_BELOW)
    axes.spines["top"].set_visible(False)


def page(view: NextToken, temperature: float, cut: SamplerSettings, n: int = 10) -> str:
    """One HTML file, whole in itself, with sliders for temperature, top-k, top-p, min-p and the uniform number.

    It carries the logit and the text of every id, since a draw may be any: some 0.9 MB for GPT-2's 50,257.
    """
    logits = np.ascontiguousarray(view.logits, view.logits.dtype.newbyteorder("<"))
    data = {
        "text": view.text,
        "dtype": view.logits.dtype.name,
        "logits": base64.b64encode(logits.tobytes()).decode(),
        "labels": [view.label(token) for token in range(len(logits))],
        "shown": n,
        "settings": {name: temperature if name == "temperature" else getattr(cut, name) for name in RULES},
        "allowed": {name: rule.allowed.replace("None", "empty") for name, rule in RULES.items()} | {"u": _UNIFORM},
    }
    safe = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # a token may read </script>
    template = files("tinygrad_gpt.study").joinpath("next_token.html").read_text("utf-8")
    return template.replace("/* DATA */ null", safe)
