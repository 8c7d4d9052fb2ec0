"""The chapter's figures: bars at several temperatures, the cut, entropy over temperature."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_gpt.backend import Array, require
from tinygrad_gpt.runs.plot import drawable_text, set_title
from tinygrad_gpt.sampling import SamplerSettings, probabilities
from tinygrad_gpt.sampling.chart import quote_visibly, truncate_to
from tinygrad_gpt.study.next_token.view import MAX_LABEL_COLUMNS, NextToken, entropy, limits_text

if TYPE_CHECKING:  # matplotlib is imported when a figure is drawn
    from matplotlib.figure import Figure

_COLOURS = ("#1f5fa8", "#d1601f", "#3a8f5c", "#8a4fa3", "#b08a1e", "#4c9aa8")
_GREY = "#8a8a8a"
_LEGEND_BELOW = {  # below the axes, where it covers no curve
    "loc": "upper center",
    "bbox_to_anchor": (0.5, -0.13),
    "fontsize": "small",
    "frameon": False,
}
_CURVE = np.geomspace(0.05, 10, 120)  # temperatures of the entropy curve


def figure(view: NextToken, temperatures: Sequence[float], cut: SamplerSettings, n: int = 10) -> "Figure":
    """Bars of the n likeliest tokens at each temperature; the cut, if any, at temperature 1; entropies."""
    require("matplotlib")
    from matplotlib.figure import Figure

    tokens = view.likeliest(n)
    names = [truncate_to(drawable_text(view.label(token)), MAX_LABEL_COLUMNS) for token in tokens]
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
        panels[1].tick_params(labelleft=False)  # the panel beside it names the tokens
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
        tick.label1.set_parse_math(False)  # a token may contain a $
    axes.invert_yaxis()
    axes.set_xlabel("probability")
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))  # space for numbers such as 0.0150
    axes.set_title(title, fontsize="small")
    axes.legend(ncols=2, **_LEGEND_BELOW)
    axes.spines[["top", "right"]].set_visible(False)


def _colours(n: int) -> Sequence[Any]:
    """n colours that can be told apart."""
    from matplotlib import colormaps

    return [*(_COLOURS[:n] if n <= len(_COLOURS) else colormaps["viridis"](np.linspace(0, 0.9, n)))]


def _draw_entropies(axes: Any, view: NextToken, temperatures: Sequence[float], cut: SamplerSettings) -> None:
    """Entropy over temperature, with and without the cut; the temperatures of the bars are marked."""
    from matplotlib.ticker import LogLocator

    # One curve where both are the same.
    for settings, colour in zip(dict.fromkeys((SamplerSettings(), cut)), _COLOURS, strict=False):
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
